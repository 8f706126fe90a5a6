# prism's commands. `make demo` and `make test` are all a newcomer needs; both build what they need.

PYTHON ?= python3
VENV ?= .venv
TARGET := $(or $(CARGO_TARGET_DIR),target)
TRADES ?= $(TARGET)/w1/trades_2000000.parquet
OUT ?= $(TARGET)/w1/out
WORKERS ?= 1
STRIDE ?= 600
W1 ?= ../shared/w1
PRISM_DATA ?= ../shared/data

RUNS ?= 200
SEED ?= 1
PARSERS ?= decoders wires plain books decimals segments importers
FOR ?= 600
EVENTS ?= 2000000
CORE ?= 0
KAFKA ?= kafka://127.0.0.1:$(or $(KAFKA_PORT),9092)
QUESTDB ?= questdb://127.0.0.1:$(or $(QUESTDB_PORT),9000)

FUZZ := CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 cargo fuzz

.PHONY: demo test chaos survive fuzz image bench bench-feeds bench-import bench-w1 bench-books bench-latency bench-live bench-pipeline oracle services services-stop fmt lint

demo: ## everything in one process on a synthetic market; ARGS="--port 8001 --for 30s"
	cargo run --quiet --bin prism -- demo $(ARGS)

test: ## format, lints and all tests; ends with `N passed, 0 failed, K skipped`
	@bash .ci/test

chaos: ## the connectors against the emulated venue with faults: [RUNS=200] [SEED=1] [SPEED=60] [BREAK=gap|duplicate|crossed]
	@cargo build --quiet --bin prism
	@$(TARGET)/debug/prism chaos --runs $(RUNS) --seed $(SEED) $(if $(SPEED),--speed $(SPEED)) $(if $(BREAK),--break $(BREAK))

survive: ## prism, Kafka and QuestDB killed hard at seeded moments, every fourth run over servers: [RUNS=200] [SEED=1] [BREAK=evidence|identity|frontier]
	@cargo build --quiet --bin prism
	@SURVIVE_RUNS=$(RUNS) SURVIVE_SEED=$(SEED) $(if $(BREAK),SURVIVE_BREAK=$(BREAK)) \
		cargo test --quiet --test integration -- --nocapture --exact survive::whatever_is_killed_the_tables_end_as_undisturbed

fuzz: ## parsers given whatever a fuzzer thinks of, so many seconds each: [PARSERS="decoders importers"] [FOR=600]
	@cargo fuzz --version >/dev/null 2>&1 || { echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked"; exit 1; }
	@set -e; for parser in $(PARSERS); do \
		mkdir -p $(TARGET)/fuzz/$$parser; features=fuzzer; [ $$parser != importers ] || features=fuzzer,importers; \
		$(FUZZ) run --fuzz-dir tests/fuzz --sanitizer none --no-default-features \
			--features $$features $$parser $(TARGET)/fuzz/$$parser tests/fuzz/corpus/$$parser \
			-- -max_total_time=$(FOR) -rss_limit_mb=1024 -timeout=10 -print_final_stats=1; \
	done

fmt: ## formats the code
	cargo fmt --all

lint: ## clippy with warnings denied
	cargo clippy --workspace --all-targets -- -D warnings

$(VENV)/ready: tests/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

oracle: $(VENV)/ready ## replays a million real trades, some late, and compares every row with an independent recomputation
	cargo build --quiet --bin prism
	$(VENV)/bin/python tests/oracle/oracle.py --prism $(TARGET)/debug/prism --data $(PRISM_DATA)
	$(VENV)/bin/python tests/oracle/books.py --prism $(TARGET)/debug/prism --data $(PRISM_DATA)

bench-w1: ## workload W1: TRADES=FILE.parquet OUT=DIR [WORKERS=1] [STRIDE=600]
	@cargo build --quiet --release -p prism-dataflow --example w1
	@$(TARGET)/release/examples/w1 $(TRADES) $(OUT) $(WORKERS) $(STRIDE)

image: ## the image's root file system without an engine, tried: demo, health check, TLS (root and debootstrap)
	cargo build --quiet --bin prism
	@bash tests/image.sh $(TARGET)/debug/prism $(TARGET)/image

services: ## real Kafka and QuestDB without Docker (Java 17 and Maven); SERVICES_DIR, KAFKA_PORT, QUESTDB_PORT, ... as in tests/services/services.sh
	@bash tests/services/services.sh start

services-stop: ## ends what `make services` started, nothing else
	@bash tests/services/services.sh stop

bench-books: ## a log through the whole graph, an event, an update of a book and a level: LOG=data/log or FILES=RECORDINGS
	@test -z "$(FILES)" || { rm -rf $(TARGET)/books-log; cargo run --quiet --bin prism -- import $(FILES) --log $(TARGET)/books-log >&2; }
	@cargo run --quiet --release -p prism-pipeline --example books -- $(if $(FILES),$(TARGET)/books-log,$(LOG))

bench-latency: ## from receive time to the forming score in clients' hands: [RATE=20000] [SYMBOLS=100] [CLIENTS=100] [EACH=10] [SECONDS=10]; the last line is JSON
	@cargo bench --quiet --profile pipeline --bench latency

bench-live: ## rows in memory, written and read at once, beside a tree of cells: [MINUTES=120]; the last line is JSON
	@cargo bench --quiet --profile pipeline -p prism-queries --bench live

bench-pipeline: ## Kafka to QuestDB, stage by stage, over running servers: [EVENTS=2000000] [KAFKA=kafka://..] [QUESTDB=questdb://..]
	@cargo build --quiet --profile pipeline --bin prism
	@$(TARGET)/pipeline/prism bench --log $(KAFKA) --store $(QUESTDB) --events $(EVENTS)

bench-feeds: ## decoding beside sonic-rs alone, book updates, memory of books; the last line is JSON
	@PRISM_DATA=$(abspath $(PRISM_DATA)) cargo bench --quiet -p prism-sources --bench feeds

bench-import: $(VENV)/ready ## Binance's public files into events and into a log beside polars on one core: [CORE=0] [IMPORT_MB=120] [ROUNDS=5]; the last line is JSON
	@cargo bench --quiet -p prism-sources --bench import --no-run
	@PYTHON=$(abspath $(VENV)/bin/python) taskset -c $(CORE) cargo bench --quiet -p prism-sources --bench import

bench: $(VENV)/ready ## W1 at strides 600, 100, 10 and 1, and the cost of each stage
	@test -f $(TRADES) || $(VENV)/bin/python $(W1)/gen.py $(dir $(TRADES)) 2000000
	@cargo build --quiet --release -p prism-dataflow --example w1
	@for stride in 600 100 10 1; do $(TARGET)/release/examples/w1 $(TRADES) $(OUT) $(WORKERS) $$stride; done
	@$(TARGET)/release/examples/w1 $(TRADES) $(OUT) $(WORKERS) $(STRIDE) 0 stages
