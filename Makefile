# Everything a newcomer needs. Each target makes its own virtual environment in .venv first, once.
#
#   make demo                 see it run: processes are killed, the work goes on   (DIR=... measures that directory)
#   make test                 all tests; installs PostgreSQL if it may (ARGS="-k timers" to choose)
#   make test-ray             the core of the Ray tests on the oldest Ray that is supported  (RAY=2.52.0: on another)
#   make unit                 the tests that need no cluster and no server: seconds
#   make lint                 ruff, formatting, mypy
#   make docs                 the site, in site/
#   make bench                measure against raw Ray, as ratios; PEERS=1: and the peers  (ARGS=...)
#
# PYTHON=python3.12 chooses the interpreter (3.11 or newer) of a new .venv; `make clean` removes the old one.

PYTHON ?= python3
DIR ?=
ARGS ?=
RAY ?= 2.48.0

VENV := .venv
BIN := $(VENV)/bin
KERNEL_VENV := $(VENV)-ipykernel-6

.DEFAULT_GOAL := help
.PHONY: help demo test test-ray unit lint docs bench clean

help:
	@sed -n 's/^#   //p' Makefile

# Running the project takes the core install; working on it takes everything.
$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "durable-ray needs Python 3.11 or newer, and $(PYTHON) is not: try make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/core.stamp: pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(VENV)/pyvenv.cfg
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/core.stamp

demo: $(VENV)/core.stamp
	$(BIN)/python examples/demo.py $(DIR)

test: $(VENV)/dev.stamp $(KERNEL_VENV)/stamp
	scripts/test_servers.sh
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not (ray or slow)"
	$(BIN)/python -m pytest -m "ray and not slow"
else
	$(BIN)/python -m pytest $(ARGS)
endif

# Notebooks are tested on the ipykernel of .venv and on the one before: its wheel alone, beside everything else of .venv.
$(KERNEL_VENV)/stamp: $(VENV)/dev.stamp
	rm -rf $(KERNEL_VENV)
	$(BIN)/python -m venv --without-pip $(KERNEL_VENV)
	$(BIN)/pip --python $(KERNEL_VENV)/bin/python install --quiet --no-deps 'ipykernel<7' nest-asyncio
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> $$($(KERNEL_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beside.pth
	@touch $@

# An environment with another Ray, which takes everything else from .venv: only Ray's wheel is fetched.
RAY_VENV := $(VENV)-ray-$(RAY)
RAY_TESTS := tests/ray/test_singleton.py tests/ray/test_kills.py

$(RAY_VENV)/stamp: $(VENV)/dev.stamp
	rm -rf $(RAY_VENV)
	$(BIN)/python -m venv --without-pip $(RAY_VENV)
	$(BIN)/pip --python $(RAY_VENV)/bin/python install --quiet --no-deps ray==$(RAY)
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> $$($(RAY_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beside.pth
	@touch $@

test-ray: $(RAY_VENV)/stamp
	$(RAY_VENV)/bin/python -c 'import ray; assert ray.__version__ == "$(RAY)", ray.__version__'
	$(RAY_VENV)/bin/python -m pytest -m "ray and not slow" $(if $(strip $(ARGS)),$(ARGS),$(RAY_TESTS))

unit: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m "not (ray or postgres or fault or slow)" $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/dev.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks --keep $(if $(PEERS),--peers) $(ARGS)

clean:
	rm -rf $(VENV) $(VENV)-ray-* $(KERNEL_VENV) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache orchestrations/.ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
