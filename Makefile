# On a fresh Debian or Ubuntu machine with Python 3.11 and make: `make demo` and `make test`.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= auto
STAMP := $(VENV)/.installed

# Tests start hundreds of Python processes, which would compile the package again without its bytecode on disk.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-fast test-faults test-heavy bench lint spelling types docs check clean system-tools

help:  ## Show this list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: $(STAMP)  ## Train the demo sweep on real digits (about 4 minutes on 2 cores), print its table, draw its figures.
	$(BIN)/lthsweep run digits-mobilenetv2
	$(BIN)/lthsweep report results/digits-mobilenetv2
	@echo "open results/digits-mobilenetv2/report.html"

# Tests with real data read $LTHSWEEP_DATA where it is set.
test: $(STAMP) system-tools  ## Run the tests, including sweeps on a real SLURM.
	$(BIN)/python -m pytest -q -n $(WORKERS) -rs -m "not heavy and not faults"

test-fast: $(STAMP)  ## Run the tests that take less than a few seconds each.
	$(BIN)/python -m pytest -q -n $(WORKERS) --hypothesis-profile fast -m "not slow and not chaos and not slurm and not heavy and not faults"

# One test at a time: each starts and kills several daemons. A failure is repeated once, alone, before it counts,
# because daemons on a busy machine can be late.
test-faults: $(STAMP) system-tools  ## Run the deterministic fault tests: killed submission, preemption, power cut, zombie worker.
	@bash tests/heavy.sh $(BIN)/python faults

test-heavy: $(STAMP) system-tools  ## Run the tests of many minutes: more faults and limits on a real SLURM, a thousand cells, the benchmark.
	@bash tests/heavy.sh $(BIN)/python heavy

bench: $(STAMP)  ## Measure against a nested loop (an hour; six minutes with QUICK=1): bench.json and docs/benchmarks.md.
	$(BIN)/python -m tests.benchmarks --out bench.json $(if $(QUICK),--size quick,--size full --document)

lint: $(STAMP) spelling  ## Check style, formatting, spelling.
	$(BIN)/ruff check . slurm/devcluster
	$(BIN)/ruff format --check . slurm/devcluster

spelling: $(STAMP)  ## Check spelling (American English), and words that the project avoids.
	$(BIN)/typos
	$(BIN)/python -m tests.prose

types: $(STAMP)  ## Check types.
	$(BIN)/mypy
	MYPYPATH=slurm/devcluster.d $(BIN)/mypy slurm/devcluster.d/*.py

docs: $(STAMP)  ## Build the documentation into site/.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

check: lint types docs test test-faults test-heavy  ## Run everything that CI runs.

# h5dump, strace, chromium, SLURM and Open MPI let more tests run. The script reports missing programs and which
# tests are skipped.
system-tools:
	@bash tests/system_tools.sh

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: apt-get install python3.11 python3.11-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is older than Python 3.11; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' \
		|| { echo "this Python has no venv: apt-get install python3-venv (Debian, Ubuntu)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev,slurm,mpi]"
	@touch $(STAMP)

clean:  ## Remove the environment and all generated files except results.
	rm -rf $(VENV) site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
