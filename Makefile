# Three targets: `make demo`, `make test`, `make .venv`. Nothing but Python >= 3.11, pip and git is needed.
PYTHON ?= python3
BIN := .venv/bin
STUDY_OUT ?= runs

.PHONY: demo test

demo: .venv
	$(BIN)/bakeoff run demo --out $(STUDY_OUT)

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

# The versions in constraints.txt are those the tests have passed with.
.venv: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable . --constraint constraints.txt
	@touch .venv

.venv/dev: .venv
	$(BIN)/pip install --quiet --editable '.[dev]' --constraint constraints.txt
	@touch .venv/dev
