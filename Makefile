# Two commands matter: `make demo` (train, export, serve, play) and `make test`.
# Both make their own virtual environment and need Python 3.11 or newer, pip, and the Python package index.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV ?= .venv
BASE_VENV ?= .venv-base
BIN := $(VENV)/bin

.PHONY: help install demo test lint types imports protos docs unit slow results clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## Make .venv with everything that training, playing and testing need

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "==> making $(VENV) and installing the project with its pinned dependencies (a minute or two)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[host,train,sc2,sweep,dev,docs]'
	@touch $@

$(BASE_VENV)/.installed: pyproject.toml constraints.txt
	@echo "==> making $(BASE_VENV): the base install alone, what one agent needs, without torch"
	@$(PYTHON) -m venv $(BASE_VENV)
	@$(BASE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

demo: install  ## Train LAN on 3m, export it, start three agents, play 32 battles, print one table
	@$(BIN)/python -m benchmarks.demo

test: lint types imports protos docs unit  ## Everything that must hold before a change lands

lint: install  ## Style and common mistakes
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .

types: install  ## Types, strictly, on the five packages
	@echo "==> mypy --strict"
	@$(BIN)/mypy

imports: install  ## Who may import whom
	@echo "==> import rules"
	@$(BIN)/lint-imports --no-cache | sed -n '/^Analyzed/,$$p'

protos: install  ## The generated code is what protos/*.proto give
	@echo "==> generated protocol code"
	@$(BIN)/python -m protos.generate --check

docs: install  ## The documentation as a site, in site/; links that lead nowhere are errors
	@echo "==> documentation"
	@$(BIN)/sphinx-build -q -W --keep-going -b html -c docs . site

unit: install $(BASE_VENV)/.installed  ## The fast tests
	@echo "==> tests"
	@LAN_BASE_PYTHON=$(abspath $(BASE_VENV))/bin/python $(BIN)/pytest -m "not slow" -n 2

slow: install $(BASE_VENV)/.installed  ## The long tests
	@LAN_BASE_PYTHON=$(abspath $(BASE_VENV))/bin/python $(BIN)/pytest -m slow

results: install  ## Draw the figures of results/ again from their CSV files
	@$(BIN)/python -m benchmarks.results

clean:  ## Remove virtual environments and caches
	rm -rf .venv .venv-* build site *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
