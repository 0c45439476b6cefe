# Installs a lock file into the environment of $PIP; `make install` calls it.
set -eu
uv="$(dirname "$PIP")/uv"
python="$(dirname "$PIP")/python"
rest="$(mktemp)"
trap 'rm -f "$rest"' EXIT
[ "$EXTRA" = cpu ] && size="1.2 GB, 5 GB on the disk" || size="4.1 GB"
echo "Downloading what $LOCK pins into $(dirname "$(dirname "$PIP")"): $size, some minutes"
"$PIP" install -qq uv
if [ "$EXTRA" = cpu ]; then
  # The CPU build of torch: from where this machine's pip looks, else from PyTorch's own index.
  torch="$(grep '^torch==' "$LOCK")"
  "$PIP" install "$torch" 2>/dev/null ||
    "$uv" pip install --python "$python" --torch-backend cpu "$torch"
fi
grep -v '^torch==.*+cpu' "$LOCK" > "$rest"
# Compiled: a run starts dozens of processes, and without bytecode each compiles Ray and vLLM anew
# where it may not be written (PYTHONDONTWRITEBYTECODE, an image of another user).
"$uv" pip install --python "$python" --no-deps --compile-bytecode -r "$rest"
"$uv" pip install --python "$python" --no-deps -e .
