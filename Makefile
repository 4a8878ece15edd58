# People and CI run the same targets. They need Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
LOGGERS := .venv-loggers
TOOLS := .venv-tools

.PHONY: demo test test-fast test-loggers test-lowest faults fuzz check docs bench lock dist clean

demo: $(VENV)/.installed
	$(BIN)/coarse2fine demo

# One pytest worker per core. A module's tests stay together, because they share its fixtures.
test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadscope

# For the edit loop: all tests but the slow ones.
test-fast: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist loadscope -m "not slow"

# The clients of Weights & Biases and MLflow, offline, in an environment of its own; without them these tests are skipped.
test-loggers: $(LOGGERS)/.installed
	$(LOGGERS)/bin/python -m pytest tests/runtime/test_metric_loggers.py

# With the lowest versions that pyproject.toml allows, in an environment of its own (several gigabytes). It shows whether
# a lower bound is too low.
test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest -n auto --dist loadscope -m "not slow"

# Small inputs that users have and that once went wrong, such as masks of another size than their photo.
faults: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -v -rs -m fault

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
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/kill.py

# Write constraints.txt anew: the newest versions of all dependencies that fit together. To install exactly these versions,
# for example to reproduce a figure: PIP_CONSTRAINT=constraints.txt make test
lock: $(TOOLS)/.installed
	$(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --upgrade --output-file constraints.txt pyproject.toml

# Wheel and source distribution. Equal sources give equal files, byte for byte.
dist: $(TOOLS)/.installed
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(TOOLS)/bin/python -m build --outdir dist .

clean:
	rm -rf $(VENV) $(LOGGERS) $(LOWEST) $(TOOLS) .site dist demo .mypy_cache .ruff_cache .pytest_cache

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

$(LOGGERS)/.installed: pyproject.toml
	$(PYTHON) -m venv $(LOGGERS)
	$(LOGGERS)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[mlflow,wandb]' pytest
	touch $@

$(TOOLS)/.installed:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check build uv
	touch $@
