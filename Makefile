# `make demo`, `make test`, `make docs`, `make .venv`. Nothing but Python >= 3.11, pip and git is needed.
PYTHON ?= python3
BIN := .venv/bin
STUDY_OUT ?= runs

.PHONY: demo test docs

demo: .venv
	$(BIN)/bakeoff run demo --out $(STUDY_OUT)

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile
	$(MAKE) docs

# The site, into site/; a dead link or an undocumented name is an error.
docs: .venv/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The versions in constraints.txt are those the tests have passed with.
.venv: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable . --constraint constraints.txt
	@touch .venv

.venv/dev: .venv
	$(BIN)/pip install --quiet --editable '.[dev]' --constraint constraints.txt
	@touch .venv/dev
