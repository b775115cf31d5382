# Every target makes its own environment in .venv first: `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all check format bench calibrate wheel clean

PYTHON ?= $(firstword $(foreach name,python3.11 python3 python,$(if $(shell $(name) -c 'import sys; print(sys.version_info[:2] == (3, 11))' 2>/dev/null | grep True),$(name))))
VENV := .venv
STAMP := $(VENV)/.installed
INSTALL := -c constraints.txt -e '.[test,docs]'
RUN := $(VENV)/bin
CODE := synth clip privacy tests examples benchmarks

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

demo: $(STAMP) ## synthetic pairs -> CLIP -> zero-shot -> audit -> demo/report.html, some five minutes of two cores; repeat to continue
	PATH="$(CURDIR)/$(RUN):$$PATH" $(RUN)/python examples/demo/run.py --out demo

# One thread a process: two OpenMP pools on two cores stand in each other's way.
test: $(STAMP) ## tests, two at a time, without those marked slow; ARGS="-k name" for some
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -n 2 --dist loadfile -m "$(MARK)" $(ARGS)

test-all: MARK := slow or not slow
test-all: test ## all tests: kills, several processes, whole commands too

check: $(STAMP) ## ruff, ruff format, pyright, the pages
	$(RUN)/ruff check $(CODE)
	$(RUN)/ruff format --check $(CODE)
	$(RUN)/pyright
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --strict --quiet --site-dir build/site

format: $(STAMP) ## put the code into shape
	$(RUN)/ruff check --fix $(CODE)
	$(RUN)/ruff format $(CODE)

# copies.py wants records of real photographs.
bench: $(STAMP) ## every benchmark that needs no photographs, short form
	for script in $(filter-out benchmarks/copies.py,$(wildcard benchmarks/*.py)); do $(RUN)/python $$script --quick; done

calibrate: $(STAMP) ## false alarms of the audit and the leaks it finds -> docs/results/calibration.md, some five minutes of a core; repeat to continue
	OMP_NUM_THREADS=1 $(RUN)/python benchmarks/calibrate.py --out docs/results/calibration.md

wheel: $(STAMP) ## build dist/visionclip-*.whl
	rm -rf build
	$(RUN)/python -m pip wheel --no-deps --wheel-dir dist .

clean: ## remove what make made, the environment too
	rm -rf $(VENV) build dist demo *.egg-info .pytest_cache .ruff_cache .hypothesis
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 found; install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' || { echo "make: $(PYTHON) has no venv; on Debian: apt install python3.11-venv python3.11-dev" >&2; exit 2; }
	test -x $(RUN)/pip || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install -q -c constraints.txt uv || echo "make: no uv to be had; pip does it, in twice the time" >&2
	if test -x $(RUN)/uv && $(RUN)/uv pip install --python $(RUN)/python $(INSTALL); then :; \
	else $(RUN)/python -m pip install $(INSTALL); fi
	touch $@
