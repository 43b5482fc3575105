# Two commands do everything on a fresh machine with Python >= 3.11 and make: `make golden-path` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
RUNS := .venv/.runs
TESTS := .venv/.tests
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

# Kept bytecode: otherwise each of the many processes that are started here compiles the whole package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: golden-path recovery test check bench soak kills clean
.DEFAULT_GOAL := golden-path

golden-path: $(RUNS)  ## the main job, on the embedded cloud
	$(BIN)/netra-loop run golden-path

recovery: $(RUNS)  ## from red to green: a defective service, fixers that edit it, their commits, the goal met
	$(BIN)/netra-loop run recovery

test: $(TESTS)  ## all tests; many wait for processes of their own, so three at a time suit two cores
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: $(TESTS)  ## lint, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(TESTS)  ## time and memory, each against its peer in the same run (docs/performance.md); about 25 minutes
	$(BIN)/python benchmarks/execution.py --workers 16
	$(BIN)/python benchmarks/execution.py
	$(BIN)/python benchmarks/execution.py --workers 256 --no-xdist
	$(BIN)/python benchmarks/trivial.py
	$(BIN)/python benchmarks/imports.py
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/evidence.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/memory.py --cloud
	$(BIN)/python benchmarks/workers_memory.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/sessions.py
	$(BIN)/python benchmarks/signatures.py
	$(BIN)/python benchmarks/logs.py
	$(BIN)/python benchmarks/stopping.py

soak: $(TESTS)  ## ten minutes of sessions under random kills, stops and full disks
	$(BIN)/python benchmarks/soak.py

# Made anew whenever what the project needs has changed, and not otherwise. Running needs less than testing.
$(RUNS): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) .
	touch $@

$(TESTS): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) '.[dev]'
	touch $(RUNS) $@

kills: $(TESTS)  ## the recovery demo, killed at twenty random moments and gone on with; about fifteen minutes
	$(BIN)/python benchmarks/recovery_kills.py

clean:  ## forget the environment and all sessions
	rm -rf .venv .netra-loop
