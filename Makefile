# Every target does all its own set-up in .venv; `make` alone lists them.
# PYTHON=python3.12 chooses the interpreter, ARGS="..." is handed to star or pytest.

PYTHON ?=
WORKERS ?= 2
ARGS ?=
STAR = .venv/bin/star
PORT ?= 8080
CONFIG ?= addition
ROUNDS ?= 2
NAMES ?=
AIRFLOW = .venv/bin/python -m pipeline.airflow.standalone --port $(PORT)
# The tests of a file stay in one process; tests/conftest.py puts the files with slow tests first.
PYTEST = .venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Nothing here needs the network once set up, and nothing reports home.
export HF_HUB_OFFLINE = 1
export HF_HUB_DISABLE_TELEMETRY = 1
export DO_NOT_TRACK = 1
export VLLM_NO_USAGE_STATS = 1
export SCARF_ANALYTICS = false
export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED = False
export TOKENIZERS_PARALLELISM = false
# One thread a process: several of them share the cores, and two threads are slower than one on a busy machine.
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help airflow airflow-demo bench demo demo-ablation test test-fast lint format clean locks setup setup-demo setup-gpu

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup-demo ## bootstrap a small model on this machine: six rounds, a report with plots (5 minutes after set-up on an idle CPU)
	@$(STAR) demo $(ARGS)

demo-ablation: setup-demo ## the demo beside: no rationalization, and no filter
	@$(STAR) demo --ablation $(ARGS)

airflow: setup ## Airflow of this project's own, on 127.0.0.1 with a password (PORT=8080); Ctrl-C stops it
	@$(AIRFLOW) $(ARGS)

airflow-demo: setup ## the same, with an experiment triggered and followed (CONFIG=addition ROUNDS=2)
	@$(AIRFLOW) --demo $(CONFIG) --demo-rounds $(ROUNDS) $(ARGS)

test: setup ## all tests
	$(PYTEST) $(ARGS)

test-fast: setup ## the tests that take seconds
	$(PYTEST) -m "not slow" $(ARGS)

bench: setup ## tables of speed and memory, each beside the plain way (an hour; NAMES="generation training")
	.venv/bin/python -m benchmarks.speed $(NAMES)

lint: setup ## style, types, and who imports whom
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

format: setup ## put the style right
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean: ## remove .venv, caches and builds; runs/ and .airflow/ are kept
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

locks: setup ## write locks/*.txt anew from pyproject.toml and locks/pins.txt (UPGRADE=1: newest versions)
	.venv/bin/python locks/compile.py $(if $(UPGRADE),--upgrade)

setup: ## everything, for the CPU; a set-up for a GPU is kept
	@$(call install,full)

setup-demo: ## what the demo needs: no vLLM, no Airflow
	@$(call install,demo)

setup-gpu: ## everything, with vLLM for CUDA
	@$(call install,gpu)

# The first interpreter that fits: PYTHON if given, else the one .venv has, else what the machine offers.
FITS = import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
define install
for python in $(or $(PYTHON),.venv/bin/python python3.11 python3.12 python3 python); do \
  if "$$python" -c '$(FITS)' 2>/dev/null; then exec "$$python" locks/install.py $(1); fi; \
done; \
echo "No fitting Python: this project needs 3.11 or 3.12 with its venv module; tried: $(or $(PYTHON),python3.11 python3.12 python3 python)." >&2; \
echo "Install one (Debian: apt-get install python3.11 python3.11-venv) or name one: make $(or $(MAKECMDGOALS),demo) PYTHON=/path/to/python3.12" >&2; \
exit 1
endef
