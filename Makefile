# The few commands of this repository; CI calls the same ones.
#
#   make run      MovieLens (or a made world) imported and served, learning beside the lists, on http://127.0.0.1:8000
#   make test     every test, two parts at a time;   PART=unit for one of them
#   make check    style, types, floors, spelling
#   make bench    the measurements of docs/experiments.md;   PART=name for one of them
#   make bench-serve   those of the server alone: events, lists, a million items, restart; half an hour of a quiet machine
#   make docs     the pages that are made from the code
#   make page     the web page, built from web/ with Node.js; `make setup` does it where Node.js is there
#
# PORT=8001 and DATA_DIR=path change where `make run` listens and stores. TORCH can name another build, such as
# TORCH='torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu'.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.everbrook-setup
PAGE := src/everbrook/page/index.html
PORT ?= 8000
DATA_DIR ?= data/demo
TORCH ?= torch==2.13.0
PART ?=
PARTS := integration unit e2e property browser
BENCHES := log control gate freshness large kill9 importing state index counting neighbours replay_speed scale splits streams curve training backbones ader_backbone ader floods faults serve_ingest kill_tree serve_lists restart stops page schema_fuzz two_hours
SERVING := serve_ingest serve_lists restart
CANDIDATES := $(PYTHON) python3 python3.13 python3.12 python3.11
PIP := $(PY) -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt

export OMP_NUM_THREADS ?= 2

.PHONY: help setup run check check-style check-types check-floors check-spelling test bench bench-serve docs page clean

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

setup: $(STAMP)

# Standard output stays free for the command that was asked for: what setting up has to say goes to standard error.
$(STAMP): pyproject.toml constraints.txt
	@for candidate in $(CANDIDATES); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found="$$candidate"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Python must be 3.11 or newer; got $$(python3 --version 2>&1 || echo none). Install one, or name it: make PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$($$found --version) (once; PyTorch makes it a minute or two) ..." >&2; \
	[ -x $(PY) ] || "$$found" -m venv $(VENV)
	@# PyTorch first and alone, so that no resolver chooses another build of it for the sake of something else.
	@$(PIP) $(TORCH) >&2
	@$(PIP) setuptools==84.2.1 >&2
	@$(PIP) --no-build-isolation -e '.[dev]' >&2
	@if command -v npm >/dev/null; then $(MAKE) $(PAGE) >&2 || echo "The page was not built; make page says why." >&2; \
	  else echo "No Node.js: the server answers at / with how to build its page (make page)." >&2; fi
	@# Modules as bytecode, once and on all cores: else each process compiles PyTorch and all else anew where the environment
	@# keeps Python from writing it. Files that are no Python of this version stay as they are.
	@$(PY) -m compileall -q -j 0 $(VENV)/lib src >/dev/null 2>&1 || true
	@touch $(STAMP)
	@echo "Set up." >&2

page: $(PAGE)

# npm takes the versions that package-lock.json names; nothing of them is kept in the repository.
$(PAGE): web/package-lock.json web/package.json web/build.mjs web/tsconfig.json $(shell find web/src -type f)
	@command -v npm >/dev/null || { echo "The page must be built with Node.js 18 or newer; there is no npm." >&2; exit 1; }
	@cd web && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --loglevel=error; }
	@cd web && npm run --silent build

# What was changed since the last time, as bytecode too: see above.
.PHONY: bytecode
bytecode: $(STAMP)
	@$(PY) -m compileall -q src

run: bytecode
	@exec $(PY) -m everbrook.cli.main demo --data "$(DATA_DIR)" --port "$(PORT)"

check: $(STAMP)
	@$(MAKE) -j2 check-types check-style check-floors check-spelling
	@echo "check: passed"

check-style:
	@$(VENV)/bin/ruff check --quiet src tests bench .ci

check-types:
	@$(PY) -m mypy --no-error-summary

check-floors:
	@$(VENV)/bin/lint-imports --no-logo 2>/dev/null >$(VENV)/floors.log || { cat $(VENV)/floors.log; exit 1; }

check-spelling:
	@$(VENV)/bin/codespell src tests bench docs *.md Makefile .ci

# Two parts at a time, each on one thread: two threads in each of small models wait for each other more than they work.
test: bytecode
	@$(MAKE) -j2 --output-sync=target $(addprefix test-,$(or $(PART),$(PARTS)))
	@echo "test: passed"

test-%: bytecode
	@echo "== tests/$*"
	@OMP_NUM_THREADS=1 $(PY) -m pytest tests/$* --session-timeout=2400

bench: bytecode
	@set -e; for part in $(or $(PART),$(BENCHES)); do \
	  echo "== bench/$$part.py" >&2; \
	  $(PY) bench/$$part.py; \
	done

bench-serve: bytecode
	@OMP_NUM_THREADS=1 $(MAKE) bench PART="$(SERVING)"
	@OMP_NUM_THREADS=1 $(PY) bench/serve_lists.py --only http --wished 1000000 --connections 4 8 16

docs: $(STAMP)
	@$(PY) -m everbrook.cli.main settings --markdown > docs/settings.md.new
	@mv docs/settings.md.new docs/settings.md

clean:
	rm -rf $(VENV) build dist web/node_modules src/everbrook/page .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
