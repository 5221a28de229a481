# Every target sets up what it needs; a machine needs python3 (3.11 or later) and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS_INSTALLED := $(VENV)/.installed-bench
FUZZ_INSTALLED := $(VENV)/.installed-fuzz
AZURITE := 3.37.0
AZURITE_INSTALLED := $(VENV)/.installed-azurite-$(AZURITE)
MUTATION_INSTALLED := $(VENV)/.installed-mutation
FUZZ_SECONDS ?= 600
MUTATION_CHILDREN ?= 2
MACHINE_EXAMPLES ?= 300
MACHINE_STEPS ?= 50
# A file stays at one worker, so that its server is started once; tests/order.py says which files begin first.
PYTEST_FLAGS ?= -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help install demo serve test campaign machine check format bench absence bench-compare bench-baseline profiles \
  kill-puts kill-streams kill-uploads stores vectors fuzz mutation

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

install: $(INSTALLED) ## the virtual environment, as the lock file names it

$(INSTALLED): uv.lock pyproject.toml tools/bootstrap.py
	@$(PYTHON) tools/bootstrap.py --venv $(VENV)

# What is measured against and with; `make check` reads its types.
$(PEERS_INSTALLED): $(INSTALLED)
	@$(PYTHON) tools/bootstrap.py --venv $(VENV) --group bench

$(FUZZ_INSTALLED): $(INSTALLED)
	@$(PYTHON) tools/bootstrap.py --venv $(VENV) --group fuzz

$(MUTATION_INSTALLED): $(INSTALLED)
	@$(PYTHON) tools/bootstrap.py --venv $(VENV) --group mutation

demo: $(INSTALLED) ## the whole product on real files, in under 30 seconds
	@$(BIN)/hushtag demo

serve: $(INSTALLED) ## a server with an embedded PostgreSQL in ./hushtag-data
	@$(BIN)/hushtag-server serve

test: $(INSTALLED) ## every test, on real PostgreSQL and real HTTP
	@$(BIN)/python -m compileall -q src server
# Whatever the environment says of bytecode: pytest keeps what it made of each test, and need not make it again.
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(PYTEST_FLAGS)

campaign: $(INSTALLED) ## every attack on every operation, and many made-up requests to each; `make test` runs a share
	@HUSHTAG_TEST_CAMPAIGN=full $(BIN)/python -m pytest $(PYTEST_FLAGS) --timeout 0 \
	  tests/evil/test_campaign.py tests/server/test_fuzz_api.py

check: $(PEERS_INSTALLED) ## lint, types, import contracts, vectors byte for byte, README blocks
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m vectors.generate --check
	@$(BIN)/python -m vectors.generators.phrase_support.words --check
	@$(BIN)/hushtag vectors verify
	@$(BIN)/python -m pytest -q tests/documents

format: $(INSTALLED) ## let ruff write the code
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format .

bench: $(PEERS_INSTALLED) ## ratios against floors of the same run, into benchmarks/results; BENCH='--quick --only growth'
	@$(BIN)/python -m benchmarks $(BENCH)

absence: $(PEERS_INSTALLED) ## can an observer tell a phrase that opens something? 10,000 attempts of each kind
	@BENCH_ABSENCE=10000 $(BIN)/python -m benchmarks --only absence

bench-compare: $(PEERS_INSTALLED) ## what was measured last beside the baseline; COMPARE='--all' for what did not change too
	@$(BIN)/python -m benchmarks.compare $(COMPARE)

bench-baseline: $(PEERS_INSTALLED) ## keep what was measured last as the baseline
	@$(BIN)/python -m benchmarks.compare --keep

profiles: $(PEERS_INSTALLED) ## a flame graph of every server path, and the tables of PROFILES.md, into benchmarks/results
	@$(BIN)/python -m benchmarks.profiles $(PROFILES)

kill-puts: $(INSTALLED) ## kill server and database inside 80 puts each, of 1,000
	@HUSHTAG_KILL_ROUNDS=10 $(BIN)/python -m pytest -q -s --timeout 0 tests/promises/test_p9_kill.py

kill-streams: $(INSTALLED) ## kill server and database 50 times each in uploads of 256 MiB
	@HUSHTAG_KILL_ROUNDS=50 HUSHTAG_KILL_MIB=256 $(BIN)/python -m pytest -q -s tests/streams/test_kill.py

$(AZURITE_INSTALLED): $(INSTALLED)
	@command -v npm >/dev/null || { echo "make stores needs Node 20 or later, with npm, for Azure's emulator" >&2; exit 1; }
	@npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(VENV)/azurite azurite@$(AZURITE)
	@touch $@

stores: $(AZURITE_INSTALLED) ## the tests of object stores on every emulator: S3's, Google's, and Azure's, which needs Node 20
	@HUSHTAG_TEST_STORES="s3 azure gcs" $(BIN)/python -m pytest -q tests/streams/test_object_stores.py

kill-uploads: $(INSTALLED) ## kill the client and cut the network, 50 times each, in uploads of 256 MiB
	@$(BIN)/python -m tests.client.killed_uploads --rounds 50 --mib 256

vectors: $(INSTALLED) ## regenerate every vector file
	@$(BIN)/python -m vectors.generate

fuzz: $(FUZZ_INSTALLED) ## every parser under a coverage-guided fuzzer, FUZZ_SECONDS=600 each
	@$(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

mutation: $(MUTATION_INSTALLED) ## mutate the core and the ceremonies; MUTANTS='hushtag.head*' for some of them
	@$(BIN)/mutmut run --max-children $(MUTATION_CHILDREN) $(MUTANTS)
	@$(BIN)/python tools/mutation_score.py

machine: $(INSTALLED) ## model against the real system, in a long run; MACHINE_EXAMPLES=300, MACHINE_STEPS=50
	@HUSHTAG_MACHINE_EXAMPLES=$(MACHINE_EXAMPLES) HUSHTAG_MACHINE_STEPS=$(MACHINE_STEPS) HUSHTAG_MACHINE_SHRINK=yes \
	  $(BIN)/python -m pytest -q --timeout 0 tests/machine
