# Installs a lock file into the environment of $PIP; `make install` calls it.
set -eu
"$PIP" install -q uv
uv="$(dirname "$PIP")/uv"
python="$(dirname "$PIP")/python"
rest="$(mktemp)"
trap 'rm -f "$rest"' EXIT
if [ "$EXTRA" = cpu ]; then
  # The CPU build of torch: from where this machine's pip looks, else from PyTorch's own index.
  torch="$(grep '^torch==' "$LOCK")"
  echo "Installing $torch"
  "$PIP" install -q "$torch" || "$uv" pip install --python "$python" --torch-backend cpu "$torch"
fi
grep -v '^torch==.*+cpu' "$LOCK" > "$rest"
echo "Installing $(wc -l < "$rest") pinned packages (about 4 GB, some minutes)"
# Compiled: a run starts dozens of processes, and without bytecode each compiles Ray and vLLM anew
# where it may not be written (PYTHONDONTWRITEBYTECODE, an image of another user).
"$uv" pip install -q --python "$python" --no-deps --compile-bytecode -r "$rest"
"$uv" pip install -q --python "$python" --no-deps -e .
