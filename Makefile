# People and CI run the same targets. They need Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest

.PHONY: demo test test-fast test-lowest fuzz check docs bench clean

demo: $(VENV)/.installed
	$(BIN)/coarse2fine demo

# One pytest worker per core. A module's tests stay together, because they share its fixtures.
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadscope

# For the edit loop: all tests but the slow ones.
test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadscope -m "not slow"

# With the lowest versions that pyproject.toml allows, in an environment of its own (several gigabytes). It shows whether
# a lower bound is too low.
test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest -n auto --dist loadscope -m "not slow"

# Damaged files for every reader, FUZZ_EXAMPLES of each: several hours. `make test` reads a few dozen of each.
fuzz: $(VENV)/.installed-dev
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100000} $(BIN)/python -m pytest -n auto tests/fuzz

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src experiments

# The documentation site, in .site/html. A warning, such as a broken link, is an error.
docs: $(VENV)/.installed-dev
	$(BIN)/python docs/make_site.py

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/predict.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/kill.py

clean:
	rm -rf $(VENV) $(LOWEST) .site demo .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "coarse2fine needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(VENV)/.installed $@

$(LOWEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[dev]'
	touch $@
