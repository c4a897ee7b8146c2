PYTHON ?= python3
VENV := .venv
INSTALLED := $(VENV)/installed

.PHONY: demo docs test test-slow lint

# Stages a simulated night from an EDF file; see examples/demo.py.
demo: $(INSTALLED)
	$(VENV)/bin/python examples/demo.py

test: $(INSTALLED)
	$(VENV)/bin/python -m pytest -m "not slow" --cov --cov-report=term:skip-covered --cov-fail-under=90

# Trains for minutes on data beside the project; skips, saying so, without them.
test-slow: $(INSTALLED)
	$(VENV)/bin/python -m pytest -m slow -s

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports

# Builds the site into docs/_build/html; needs no network once installed.
docs: $(INSTALLED)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --group docs
	$(VENV)/bin/python -m sphinx -W --keep-going --quiet -b html docs docs/_build/html

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	touch $@
