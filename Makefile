PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/installed
DOCS_INSTALLED := $(VENV)/docs-installed
OLDEST := .venv-oldest
PLAIN := .venv-plain
# One process for each core, but not more than the memory is enough for.
PYTEST := -m pytest -m "not slow" --numprocesses auto --maxprocesses 4
# Other versions of Python to test, if installed.
OTHER_PYTHONS ?= 3.12 3.13

# Threads of OpenMP wait actively, which is slow on a busy machine.
export OMP_NUM_THREADS ?= 1

.PHONY: demo docs test test-slow test-docs-code test-oldest test-pythons lint types words

# Stage a real recording, or a simulated night without a network.
demo: $(INSTALLED)
	$(VENV)/bin/python examples/demo.py

test: $(INSTALLED)
	$(VENV)/bin/python $(PYTEST) --cov --cov-report=term:skip-covered --cov-fail-under=90

# Train for minutes on data beside the repository; skipped without them.
test-slow: $(INSTALLED)
	$(VENV)/bin/python -m pytest -m slow -s

# Run the code of the pages in an environment with only `pip install .`.
test-docs-code: $(PLAIN)/installed
	$(PLAIN)/bin/python docs/run_code.py

# Test with the oldest versions that pyproject.toml allows, except of torch. Warnings
# are not errors, because old versions give more of them.
test-oldest: $(OLDEST)/installed
	$(OLDEST)/bin/python $(PYTEST) -W default

# Test on each other version of Python, in a separate environment. pyenv starts only
# the version in PYENV_VERSION.
test-pythons:
	@for version in $(OTHER_PYTHONS); do \
		export PYENV_VERSION=$$version; \
		if python$$version --version >/dev/null 2>&1; then \
			$(MAKE) test PYTHON=python$$version VENV=.venv-$$version || exit 1; \
		else echo "Skipped Python $$version: no interpreter is installed."; fi; \
	done

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy
	$(VENV)/bin/python docs/check_readme_types.py
	$(VENV)/bin/python docs/check_words.py

types: $(INSTALLED)
	$(VENV)/bin/mypy

# Find words to avoid (docs/style_words.txt).
words:
	@$(PYTHON) docs/check_words.py

# Build the site into docs/_build/html; needs no network once installed.
docs: $(DOCS_INSTALLED)
	$(VENV)/bin/python -m sphinx -W --keep-going -b html docs docs/_build/html

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --group docs
	touch $@

$(PLAIN)/installed: pyproject.toml constraints.txt $(shell find mne_mc2sleep -type f ! -name '*.pyc')
	$(PYTHON) -m venv $(PLAIN)
	$(PLAIN)/bin/python -m pip install --quiet --constraint constraints.txt .
	touch $@

$(OLDEST)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	sed -n '/^dependencies/,/^]/s/ *"\([a-z_-]*\)>=\([0-9.]*\).*/\1==\2/p' pyproject.toml \
		| grep -v ^torch > $(OLDEST)/oldest.txt
	grep ^torch== constraints.txt >> $(OLDEST)/oldest.txt
	$(OLDEST)/bin/python -m pip install --quiet --constraint $(OLDEST)/oldest.txt --editable . --group test
	touch $@
