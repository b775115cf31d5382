# Every target makes its own environment in .venv first: `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-lowest check format fuzz soak bench calibrate pictures wheel bundle locks clean

FOUND = $(firstword $(foreach name,python3.11 python3.12 python3.13 python3.14 python3 python,$(if $(shell $(name) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null | grep True),$(name))))
PYTHON ?= $(FOUND)
# `make bundle PYTHON=3.12` names the Python of another machine, not one of this.
ifneq ($(filter 3.%,$(PYTHON)),)
TARGET := $(PYTHON)
override PYTHON := $(FOUND)
endif
VENV := .venv
CONSTRAINTS := constraints.txt
# The same versions with the hashes of their files: uv compares them, pip cannot beside `-e`.
HASHES := -c locks/hashes.txt
# What the three commands need, and what tests, checks and pages need besides.
USE := $(VENV)/.use
DEVELOP := $(VENV)/.develop
RUN := $(VENV)/bin
# TORCH=cpu: torch without CUDA, from an index that has such wheels (or a mirror of it, file:///... too).
TORCH ?= default
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
CODE := synth clip privacy tests examples benchmarks tools
comma := ,
# By uv; by pip where there is none or it finds no index, but not where a file is not the one that was locked.
define install
if test -x $(RUN)/uv && $(RUN)/uv pip install --python $(RUN)/python -c $(CONSTRAINTS) $(HASHES) -e '$(1)' 2>&1 | tee $(VENV)/install.log; then :; \
	elif grep -q 'Hash mismatch' $(VENV)/install.log 2>/dev/null; then exit 1; \
	else $(RUN)/python -m pip install -c $(CONSTRAINTS) -e '$(1)'; fi
endef
# Renew file $(1) under the heading that it has.
define lock
heading=$$(grep '^#' $(1)); \
	$(RUN)/uv pip compile --quiet --python-version 3.11 --no-annotate --no-header --no-emit-package visionclip --extra test --extra docs $(2) pyproject.toml -o $(1); \
	lines=$$(cat $(1)); printf '%s\n' "$$heading" "$$lines" > $(1)
endef

# uv does not read pip's settings: hand over the index and the certificates that pip would use.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_EXTRA_INDEX_URL
export UV_INDEX ?= $(PIP_EXTRA_INDEX_URL)
endif
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif
# Of tests, which: `make test-all` asks for every one.
MARK ?= not slow
# Nothing here fetches weights or data.
export HF_HUB_OFFLINE ?= 1

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

demo: $(USE) ## TORCH=cpu without CUDA; synthetic pairs -> CLIP -> zero-shot -> audit -> demo/report.html, some ten minutes of two cores; repeat to continue
	PATH="$(CURDIR)/$(RUN):$$PATH" $(RUN)/python examples/demo/run.py --out demo

# One thread a process: two OpenMP pools on two cores stand in each other's way.
test: $(DEVELOP) ## tests, two at a time, without those marked slow; ARGS="-k name" for some
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -n 2 --dist loadfile -m "$(MARK)" $(ARGS)

test-all: MARK := slow or not slow
test-all: test ## all tests: kills, several processes, whole commands too

test-lowest: ## all tests with the oldest versions of locks/lowest.txt, in .venv-lowest
	$(MAKE) test-all VENV=.venv-lowest CONSTRAINTS=locks/lowest.txt HASHES=

check: $(DEVELOP) ## ruff, ruff format, pyright, the pages, advisories of the packages where there is a network
	$(RUN)/ruff check $(CODE)
	$(RUN)/ruff format --check $(CODE)
	$(RUN)/pyright
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --strict --quiet --site-dir build/site
	$(RUN)/python tools/advisories.py

format: $(DEVELOP) ## put the code into shape
	$(RUN)/ruff check --fix $(CODE)
	$(RUN)/ruff format $(CODE)

fuzz: $(DEVELOP) ## damage every kind of file N times and run the verb that reads it (docs/reliability.md), some hours of a core; repeat to continue
	$(RUN)/python tools/fuzz.py --out .fuzz --n $(or $(N),2000) --seed $(or $(SEED),0)

soak: $(DEVELOP) ## kill, pause, starve and fill the disk under commands for MINUTES=30, then compare every byte (docs/reliability.md); SEED=1
	$(RUN)/python tools/soak.py --out .soak --minutes $(or $(MINUTES),30) --seed $(or $(SEED),0)

# Those that want records of real photographs, or have no short form.
LONG = copies reidentify reference_models whole_audits
bench: $(DEVELOP) ## every benchmark that needs no photographs, short form
	for script in $(filter-out $(LONG:%=benchmarks/%.py),$(wildcard benchmarks/*.py)); do $(RUN)/python $$script --quick; done

calibrate: $(DEVELOP) ## false alarms of the audit and the leaks it finds -> docs/results/calibration.md, some fifteen minutes of a core; repeat to continue
	OMP_NUM_THREADS=1 $(RUN)/python benchmarks/calibrate.py --out docs/results/calibration.md

pictures: $(DEVELOP) ## the pictures of README and of the glossary, after another generator ships
	$(RUN)/python tools/sheet.py --out docs/pictures

wheel: $(DEVELOP) ## build dist/visionclip-*.whl, and dist/sbom.json of the environment that it was tested in
	rm -rf build
	$(RUN)/python -m pip wheel --no-deps --wheel-dir dist .
	$(RUN)/python tools/sbom.py --out dist/sbom.json

bundle: $(DEVELOP) ## dist/visionclip-*/ to install from on a machine without internet; PYTHON=3.12 PLATFORM=manylinux_2_28_x86_64 TORCH=cpu SLIM=1
	$(RUN)/python tools/bundle.py --out dist --python $(or $(TARGET),3.11) --platform $(or $(PLATFORM),manylinux_2_28_x86_64) \
		$(if $(SLIM),--slim) $(if $(filter cpu,$(TORCH)),--torch-index $(TORCH_INDEX))

locks: $(DEVELOP) ## renew locks/lowest.txt and locks/hashes.txt, and what constraints.txt lacks (uv)
	$(call lock,constraints.txt,--universal --no-emit-package lmdb - <<< uv)
	$(call lock,locks/hashes.txt,--universal --generate-hashes -c constraints.txt)
	$(call lock,locks/lowest.txt,--resolution lowest-direct)

clean: ## remove what make made, the environment too
	rm -rf .venv .venv-lowest build dist demo .fuzz .soak *.egg-info .pytest_cache .ruff_cache .hypothesis
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

$(USE): pyproject.toml $(CONSTRAINTS) locks/hashes.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later found; install it, or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "make: $(PYTHON) has no venv; on Debian: apt install python3-venv" >&2; exit 2; }
	test -x $(RUN)/pip || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install -q -c constraints.txt uv || echo "make: no uv to be had; pip does it, in twice the time" >&2
	$(if $(filter cpu,$(TORCH)),$(RUN)/python -m pip install -q --no-deps --index-url $(TORCH_INDEX) $(shell grep -E '^torch(vision)?==' $(CONSTRAINTS)))
	$(call install,.)
	touch $@

$(DEVELOP): $(USE)
	$(call install,.[test$(comma)docs])
	touch $@
