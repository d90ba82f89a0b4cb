# Two commands: `make tutorial` runs the tutorial, `make test` checks it. Both set everything up first.
PYTHON ?= python3.11
BIN := .venv/bin
JOBS ?= 2
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: tutorial test setup lint unit notebooks bench lab clean

tutorial: setup  ## fetch the data and the encoder, run every notebook, print the leaderboard
	$(BIN)/llmers fetch ml-100k all-MiniLM-L6-v2
	$(BIN)/llmers run --run tutorial --jobs $(JOBS)
	$(BIN)/llmers board tutorial

test: lint unit notebooks  ## everything CI checks

setup: .venv/.complete

.venv/.complete: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/llmers check

unit: setup
	$(BIN)/llmers fetch ml-100k all-MiniLM-L6-v2
	$(BIN)/pytest -q -n $(JOBS) --dist loadscope --ignore tests/notebooks tests

# Every stored output is compared with a fresh run; tests/conftest.py holds the tolerance.
notebooks: setup
	$(BIN)/pytest -q -n $(JOBS) --dist loadscope --nbval --nbval-current-env --nbval-cell-timeout 300 \
	    tests/notebooks notebooks

# Each peer has an environment of its own; MovieLens-1M takes part where LLMERS_SHARED has it.
PEERS := recbole torch_rechub cornac implicit

bench: setup $(PEERS:%=.cache/peers/%/.complete)  ## speed against other libraries, some 40 minutes
	$(BIN)/python -m tests.benchmarks.run $(BENCH)

.cache/peers/%/.complete: tests/benchmarks/peers/%.txt
	rm -rf $(@D)
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

lab: setup
	$(BIN)/jupyter lab notebooks

clean:
	rm -rf .venv .cache *.egg-info
