# Needs Python >= 3.11, git and make; `make setup` puts everything else into .venv.
# ARGS passes on to the command: make test ARGS="-k chess", make run ARGS="--port 9000".

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done
ARGS ?=
# Spread over the processors. ARGS comes after, so -n0 runs in one process, as a debugger needs it.
SPREAD := -n auto --maxprocesses 4 --dist worksteal
ONLY ?=
NOTE ?=
CHECK ?=

.DEFAULT_GOAL := help
.PHONY: help setup run play test test-fast test-long faults simulate lint format types check diagrams docs bench screenshots lock ci clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(STAMP) ## make .venv from requirements.lock

# Again only when what is installed has changed; a half-made .venv is made anew.
$(STAMP): pyproject.toml requirements.lock
	@sh .ci/venv $(VENV)
	@sh .ci/graphviz
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@# setuptools comes from the lock, so the build needs no environment of its own, and no network.
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
	@echo "Ready. Next: make run, then make play in a second terminal."

run: $(STAMP) ## serve on 127.0.0.1:8080
	@exec $(BIN)/steward serve $(ARGS)

play: $(STAMP) ## play chess against a running server, in this terminal
	@exec $(BIN)/steward play $(ARGS)

test: $(STAMP) ## every test
	@$(BIN)/python -m pytest $(SPREAD) $(ARGS)

test-fast: $(STAMP) ## the tests that take no more than a few seconds each
	@$(BIN)/python -m pytest $(SPREAD) -m "not slow and not e2e" $(ARGS)

faults: $(STAMP) ## the long campaigns: a bad network (200 sessions, 2 clients each, 2,000 events), 300 kill -9; ARGS="--seed 7"
	@$(BIN)/python -m tests.faults $(ARGS)

simulate: $(STAMP) ## histories under seeded faults until one breaks a promise, told with its seed; ARGS="--lifecycle FILE"
	@$(BIN)/steward simulate --histories 10000000 --jobs $$(getconf _NPROCESSORS_ONLN) --shrink --trace $(ARGS)

test-long: $(STAMP) ## the long forms of tests: 2,000 clients and a SIGTERM, 10,000 junk connections, 2,000 histories, a failing disk
	@LONG_FORMS=1 $(BIN)/python -m pytest -s -o timeout=3600 -o faulthandler_timeout=3600 -k "crowd or junk or promises" tests/server $(ARGS)
	@LONG_FORMS=1 $(BIN)/python -m pytest -s --timeout 0 -k "same_history_again" tests/simulation $(ARGS)
	@LONG_FORMS=1 $(BIN)/python -m pytest -s -k "disk_that_fails or flipped or whatever_is_damaged" tests/journal $(ARGS)
	@LONG_FORMS=1 $(BIN)/python -m pytest -o faulthandler_timeout=3600 -k "disk_refuses" tests/server/test_wire_disk.py $(ARGS)

lint: $(STAMP) ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(STAMP) ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(STAMP) ## mypy --strict
	@$(BIN)/mypy

check: $(STAMP) ## check lifecycle.yaml
	@$(BIN)/steward check $(ARGS)

diagrams: $(STAMP) ## draw lifecycle.yaml again, into diagrams/
	@$(BIN)/steward diagram -o diagrams $(ARGS)

docs: $(STAMP) diagrams ## write the generated parts again: diagrams, JSON Schema, tables of docs/
	@$(BIN)/python -m engine.language.reference --write
	@$(BIN)/python -m server.reference --write

bench: $(STAMP) ## measure, beside the references: make bench ONLY=engine,start; CHECK=1 fails on a missed bar
	@$(BIN)/python -m benchmarks --only "$(ONLY)" --note "$(NOTE)" $(if $(CHECK),--check) $(ARGS)

screenshots: $(STAMP) ## take the pictures of docs/screenshots again, with a Chromium
	@sh .ci/chromium
	@$(BIN)/python -m tests.browser.screenshots docs/screenshots

lock: ## resolve pyproject.toml again, into requirements.lock
	@bash .ci/lock requirements.lock

ci: ## what has to pass before anything lands
	@bash .ci/run

clean: ## remove everything that can be made again
	rm -rf $(VENV) benchmarks/.peers benchmarks/.work build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
