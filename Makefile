# Two commands on a fresh machine: `make quickstart` and `make test`. Each sets itself up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: quickstart test slow campaign docs lint clean

quickstart: $(READY)
	$(BIN)/rld-distill quickstart --out quickstart

test: $(READY)
	$(BIN)/python -m pytest --numprocesses auto

slow: $(READY)
	$(BIN)/python -m pytest -m slow

# damaged and hostile files, kills, full disks: some 20 minutes, see docs/reliability.md
campaign: $(READY)
	$(BIN)/python tests/campaign.py --seed 0 --minutes 30

# the documentation site, in build/site; mkdocs-material's notice about mkdocs 2 is of no concern to readers
docs: $(VENV)/.ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/markers.py

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,experts,hub,minari,ray]"
	touch $(READY)

$(VENV)/.ready-docs: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) quickstart
