# Everything here works on a machine with python3 (venv, pip) and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help demo test check bench soak clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

# one environment, one stamp for each set of extras that has been installed
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

demo: $(VENV)/installed-examples  ## train a digit classifier, write demo/
	$(BIN)/slotgrad demo

test: $(VENV)/installed-dev $(VENV)/installed-examples  ## run the tests
	$(BIN)/python -m pytest -n auto

check: $(VENV)/installed-dev  ## style, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

bench: $(VENV)/installed-bench  ## measure, beside the peers
	$(BIN)/python -m benchmarks

soak: $(VENV)/installed-dev  ## long runs that CI does not do
	SLOTGRAD_FUZZ=1 $(BIN)/python -m pytest -n auto tests/soak tests/fuzz tests/ops/test_index.py

clean:  ## remove what the targets made
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache
