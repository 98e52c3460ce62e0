# make demo    a table with a planted rule, and a comparison of models on it
# make test    style, types and all quick tests
# make slow    the tests that take minutes
# make docs    the documentation as a web site, in build/site
# make clean   remove what the others made
#
# Each builds .venv once, with the versions of constraints.txt, and again when they or pyproject.toml change.

PYTHON := $(shell for python in python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)
BIN := .venv/bin
DEMO := build/demo
JOBS := 2

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test slow docs clean

# Peptides made at random are not related: by similarity, those with the planted motif would all be one group.
demo: .venv/.core
	@mkdir -p $(DEMO)
	$(BIN)/seqloom simulate -o $(DEMO)/peptides.csv --rule "has(KRK)" --noise 0.05
	$(BIN)/seqloom compare $(DEMO)/peptides.csv --split random -o $(DEMO)/comparison

test: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -n $(JOBS) -m "not slow"

slow: .venv/.dev
	$(BIN)/pytest -n $(JOBS) -m slow

docs: .venv/.docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/.core: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing seqloom into .venv (a few minutes the first time)"
	@$(INSTALL) -e .
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing seqloom and what its tests need into .venv (a few minutes the first time)"
	@$(INSTALL) -e '.[dev,boost,chem,family,fast]'
	@touch .venv/.core $@

.venv/.docs: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing what the documentation needs into .venv"
	@$(INSTALL) -e '.[docs]'
	@touch .venv/.core $@

$(BIN)/python:
ifeq ($(PYTHON),)
	@echo "seqloom needs Python 3.11 or newer, and neither python3.11 nor python3 is one." >&2
	@echo "On Debian or Ubuntu type: sudo apt-get install python3.11 python3.11-venv" >&2
	@exit 1
endif
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv; on Debian or Ubuntu type: sudo apt-get install $$($(PYTHON) -c \
		'import sys; print("python3.%d-venv" % sys.version_info[1])')" >&2; exit 1; }
	@rm -rf .venv
	"$(PYTHON)" -m venv .venv
