# make demo    train a small ResNet and its plain twin on real data, and look at the result
# make test    install what the tests need, and run them all: pytest, ruff, mypy
# make release build the source distribution and the wheel, and try the wheel in a fresh environment
# make light   install without torch in an environment of its own, measure it, and run what needs no torch
# PYTHON=python3.12 chooses another Python; TORCH=... another torch (see the README for a CPU-only one on Linux).

PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help install demo test pytest lint light release hostile fuzz bench findings clean

help:
	@grep -E '^# ' Makefile | cut -c3-
	@echo "also: install, pytest, lint, hostile, fuzz, bench, findings, clean"

# Stamps: made again where what they depend on has changed, so that a second run starts at once.
.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip --version >/dev/null || { echo "this Python makes no venv with pip (Debian: apt-get install python3-venv)"; exit 1; }
	@$(BIN)/python -m pip show --quiet torch 2>/dev/null || { echo "installing $(TORCH) (once; it is large)"; $(PIP) "$(TORCH)"; }
	@touch $@

.venv/installed: .venv/made pyproject.toml
	@echo "installing resnet-dsl"
	@$(PIP) --editable ".[torch]"
	@$(BIN)/python -m compileall -q resnet_dsl cli
	@touch $@

.venv/dev: .venv/installed
	@echo "installing what the tests need"
	@$(PIP) --editable ".[dev]"
	@touch $@

install: .venv/installed

demo: .venv/installed
	@$(BIN)/resnet-dsl demo

test: pytest lint

# One thread a worker: the workers share the cores.
pytest: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy resnet_dsl benchmarks

# The size is that of what is installed, without the empty environment. Bytecode is Python's own and is told apart.
light:
	@rm -rf build/light && $(PYTHON) -m venv build/light
	@kilobytes() { echo $$(( $$(du -sk build/light | cut -f1) * 1024 / 1000 )); }; before=$$(kilobytes) && \
	    build/light/bin/python -m pip install --disable-pip-version-check --quiet --no-compile . && installed=$$(kilobytes) && \
	    build/light/bin/python -m compileall -q build/light/lib && compiled=$$(kilobytes) && size=$$(( (installed - before) / 1000 )) && \
	    echo "resnet-dsl without extras: $$size MB, with bytecode $$(( (compiled - before) / 1000 )) MB" && test $$size -le 60
	@build/light/bin/python -m pip install --disable-pip-version-check --quiet pytest pytest-timeout hypothesis jsonschema
	cd build/light && bin/python -m pytest -q -p no:cacheprovider $(CURDIR)/tests

# The wheel is built from the source distribution, as an installer would; see docs/releasing.md.
release:
	@test -z "$$(git status --porcelain)" || { echo "the working tree has changes; commit them first"; exit 1; }
	@rm -rf dist build/release && $(PYTHON) -m venv build/release
	@build/release/bin/python -m pip install --disable-pip-version-check --quiet build twine
	build/release/bin/python -m build --outdir dist .
	build/release/bin/python -m twine check --strict dist/*
	@rm -rf build/tried && $(PYTHON) -m venv build/tried
	@build/tried/bin/python -m pip install --disable-pip-version-check --quiet dist/*.whl
	cd build/tried && bin/resnet-dsl --version && bin/resnet-dsl check resnet50 && bin/resnet-dsl inspect resnet50 --by net && \
	    bin/resnet-dsl draw resnet18 -o resnet18.svg && bin/resnet-dsl emit resnet18 -o resnet18.py && bin/resnet-dsl doctor
	@ls -l dist

# A suite of hostile specs that lives outside of this repository. STRICT=--strict also judges columns, carets and helps.
hostile: .venv/installed
	@test -n "$(HOSTILE_SUITE)" || { echo "set HOSTILE_SUITE to the folder of the suite: the one with run.py"; exit 2; }
	scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && \
	    $(BIN)/python "$(HOSTILE_SUITE)/run.py" --cmd '$(CURDIR)/$(BIN)/resnet-dsl check {}' $(STRICT) --jobs 2 --special "$$scratch"

# Damaged files through the commands that need no torch: FUZZ_SECONDS=600 by default. Failures are kept in build/fuzz.
fuzz: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz.py

bench: .venv/installed
	$(BIN)/python benchmarks/start.py

# Every study and probe that docs/findings.md tells of: most of an hour on two cores. Runs are kept in build/findings.
findings: .venv/installed
	$(BIN)/python docs/collect.py
	$(BIN)/python docs/findings.py > build/findings.md && mv build/findings.md docs/findings.md

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
