# Every target makes its own .venv from nothing but make and a Python >= 3.11.
#   make run PYTHON=python3.13       another interpreter        VENV=.venv-3.13   another environment
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help run test fast lint bench chaos clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' Makefile

run: $(STAMP)  ## the demo: workers to kill, in the foreground
	@$(BIN)/ninelives run config/demo.toml

test: lint  ## everything CI runs; what needs root or systemd says so when it is skipped
	@$(BIN)/python -m compileall -q supervisor workers  # hundreds of processes would each compile what they import
	@$(if $(ARGS),$(BIN)/pytest $(ARGS),$(BIN)/python -m tests.lanes)

fast: $(STAMP)  ## the tests without processes
	@$(BIN)/pytest -q --hypothesis-profile=fast tests/unit tests/virtual $(ARGS)

lint: $(STAMP)  ## ruff and mypy --strict
	@$(BIN)/ruff check
	@$(BIN)/mypy

bench: $(STAMP)  ## the figures, side by side with other supervisors and pools
	@$(BIN)/python bench/run.py $(ARGS)

chaos: $(STAMP)  ## five minutes of every fault, on 200 workers (a day: make chaos ARGS='--for 24h --workers 1000')
	@$(BIN)/ninelives chaos soak $(ARGS)

clean:  ## remove the environment and what tools left
	@rm -rf $(VENV) bench/out .mypy_cache .ruff_cache .hypothesis dist
	@find supervisor workers tests bench -name __pycache__ -prune -exec rm -rf {} +

$(STAMP): pyproject.toml tests/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "ninelives needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@echo "installing into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module (Debian package python3-venv)" >&2; exit 1; }
	@PIP_CONSTRAINT=tests/constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
