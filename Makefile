# Two commands from a fresh clone: `make demo` and `make test`. Both set up .venv first if need be.
PYTHON ?= python3
BIN := .venv/bin
# Set-up is done again only when what is installed would differ.
STAMP := .venv/ready-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

# Each worker begins with a half of the tests, and takes some of the other's when it is done.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

.PHONY: help setup demo test everything fuzz lint lock adapter bench results clean

help:
	@echo "make demo        set up, then run the main job on a real LM"
	@echo "make test        set up, then lint, types, import contract and the quick tests"
	@echo "make everything  the same with all tests, those with real LMs too, as CI runs it"
	@echo "make fuzz        change files and commands at random, a hundred times as often as CI does"
	@echo "make results     run every study of docs/results.md and write it (about 40 minutes; goes on where it was)"
	@echo "make bench       measure how fast pairs are made, and a small sweep"
	@echo "make adapter     train the belief-tracking adapter again (up to 45 minutes)"
	@echo "make lock        write constraints.txt from what pyproject.toml allows today"

setup: $(STAMP)

$(STAMP):
	@echo "Setting up .venv (a minute or two, once) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cfgen needs Python 3.11 or newer; run make PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@rm -f .venv/ready-* && touch $@

demo: setup
	@$(BIN)/cfgen demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(PYTEST) -m "not slow"

everything: lint
	$(PYTEST)

fuzz: setup
	CFGEN_FUZZ=100 $(PYTEST) -k hostile

results: setup
	$(BIN)/python tools/results.py

bench: setup
	$(BIN)/python benchmarks/generate.py
	$(BIN)/python benchmarks/sweep.py --quick

adapter: setup
	$(BIN)/python tools/train_adapter.py

lock:
	tools/lock

clean:
	rm -rf .venv
