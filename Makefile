# Two commands do everything on a fresh machine with Python >= 3.11 and make: `make golden-path` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: golden-path test check bench clean
.DEFAULT_GOAL := golden-path

golden-path: $(READY)  ## the main job, on the embedded cloud
	$(BIN)/netra-loop run golden-path

test: $(READY)  ## all tests
	$(BIN)/python -m pytest

check: $(READY)  ## lint, types, import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## what measures speed, each against its peer
	$(BIN)/python benchmarks/execution.py

# Made anew whenever what the project needs has changed, and not otherwise.
$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $@

clean:  ## forget the environment and all sessions
	rm -rf .venv .netra-loop
