# Cohelix: the commands of the interface. Each works as the first one on a fresh clone.

SHELL := /bin/sh
.SHELLFLAGS := -euc
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PROOFS := counts beacon conformance crash releases ledger integrity malformed fuzz quality linear meta components applications application_kills membership same_answers tokens access_matrix revocation audit openapi portal
SOURCES := src tests scripts benchmarks validation

.PHONY: help demo test check bench prove pins runtime tools

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

demo: runtime ## four nodes, a hub, real genomes, the portal's address; ARGS="--once --report r.json"
	@exec $(BIN)/cohelix demo $(ARGS)

test: tools ## the whole test suite, as the build server runs it; ARGS="-k words"
	@$(PYTHON) scripts/make_referees.py
	@exec $(BIN)/pytest -n auto --dist worksteal $(ARGS)

check: tools ## format, lint, types, import contracts, fast tests
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@exec $(BIN)/pytest -n auto --dist worksteal -m "not slow and not browser" $(ARGS)

bench: ## benchmarks at full size with the referee beside them; writes benchmarks/results/
	@$(PYTHON) scripts/make_venv.py test bench
	@$(PYTHON) scripts/make_referees.py
	@exec $(BIN)/python -m benchmarks $(ARGS)

prove: ## every acceptance figure at full volume (hours); writes validation/
	@$(PYTHON) scripts/make_venv.py test bench
	@$(PYTHON) scripts/make_referees.py
	@for proof in $(PROOFS); do echo "proof: $$proof"; $(BIN)/python -m validation.$$proof $(ARGS); done

pins: ## write constraints.txt anew from the newest versions that the dependencies allow
	@$(PYTHON) scripts/make_pins.py

runtime:
	@$(PYTHON) scripts/make_venv.py

tools:
	@$(PYTHON) scripts/make_venv.py test
