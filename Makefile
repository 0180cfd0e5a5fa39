# Two commands for everybody: `make demo` and `make test`. Each sets itself up on a bare machine with Python 3.11 and pip.
PYTHON ?= python3
BIN := .venv/bin
# Tests run in a process a core, whole files each; a process has one thread, since two that both want both cores take many times as long.
PYTEST := OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses=4 --dist loadfile
export TOKENIZERS_PARALLELISM := false

.PHONY: install demo test test-all stress lint docs release clean

install: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "score-rag needs Python 3.11 or newer; say which: make PYTHON=python3.12 install")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch -e '.[train,offline,mcp,serve,ann,plot,mlflow,ablate,sweep,ray,dev,docs]'
	@touch $@

demo: install
	$(BIN)/score-rag run sample
	$(BIN)/score-rag recommend --user 42 --item 101

test: install lint
	$(PYTEST) -m "not slow"

test-all: install lint
	$(PYTEST)

# Kills, readers, corruption, leaks, full disks: a quarter of an hour on two free cores. docs/reliability.md has the figures.
stress: install
	OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 $(BIN)/python -m benchmarks.stress --minutes $(or $(MINUTES),10)

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy examples/*.py
	$(BIN)/lint-imports

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Wheel, sdist, bill of materials, audit; the audit needs a network.
release:
	scripts/release.sh $(PYTHON) dist

clean:
	rm -rf runs build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
