# The commands of the repository; `make` alone lists them.
#
# `make test` is what a change must pass. Its time goes into building, so every stage but clippy and
# rustdoc builds the same profile into the same folder: what one has compiled, the next one finds.

CARGO ?= cargo
CARGO_TARGET_DIR ?= target
# One folder for all workspaces, also when make is called with a relative path. Not by abspath, for
# which a path ends at a space.
export CARGO_TARGET_DIR := $(if $(filter /%,$(CARGO_TARGET_DIR)),,$(CURDIR)/)$(CARGO_TARGET_DIR)

# Where `make install` puts what it builds with this Cargo profile.
PREFIX ?= /usr/local
PROFILE ?= release

# Packages of bench/ that `make test` looks at.
BENCH_TESTED := -p msec-bench -p msec-bench-micro -p msec-bench-routing -p msec-bench-servers

# Seconds of `make soak`; `make test` does 30 of them.
SOAK_SECONDS ?= 600

.DEFAULT_GOAL := help
# The stages are in order, and each of them uses all cores by itself.
.NOTPARALLEL:
.PHONY: help test demo demo-migration bench bench-quick install java java-bench abi soak asan deps
.PHONY: fmt clippy tidy doc
.PHONY: deps-build deps-java deps-demo deps-test deps-bench
.PHONY: fmt-check unit java-test without fuzz-replay bench-unit
.PHONY: release cpp-prefix cpp-release cpp-migration java-release java-migration

## test: everything a change must pass
test: deps-test fmt-check clippy unit java-test without fuzz-replay bench-unit tidy doc

## demo: services under load on this machine, for DEMO_SECONDS if it is set
demo: deps-demo release cpp-release java-release
	DEMO_CPP="$(CARGO_TARGET_DIR)/cpp-examples" DEMO_JAVA=java/examples/target/relay/msec.jar \
		"$(CARGO_TARGET_DIR)/release/examples/demo"

## demo-migration: services and programs of the original's interfaces, beside new ones
demo-migration: deps-demo release cpp-migration java-migration
	MIGRATION_CPP="$(CARGO_TARGET_DIR)/migration" MIGRATION_JAVA=java/migration/target/msec.jar \
		"$(CARGO_TARGET_DIR)/release/examples/migration"

## bench: every row beside its peers, into bench/results
bench: deps-bench release
	cd bench && $(CARGO) run --locked --release --bin bench

## bench-quick: the main rows in two minutes
bench-quick: deps-bench release
	cd bench && $(CARGO) run --locked --release --bin bench -- --quick

## install: libmsec, its headers and the command, below PREFIX
install: deps-build
	$(CARGO) build --locked --profile $(PROFILE) --workspace --lib --bins --examples
	xtask/install.sh "$(CARGO_TARGET_DIR)/$(subst dev,debug,$(PROFILE))" \
		"$(DESTDIR)$(PREFIX)" "$(PREFIX)"

# It builds the same packages as `install`: with others, the second of the two would compile anew.
## java: the library for Java, into Maven's local repository
java: deps-java
	$(CARGO) build --locked --profile $(PROFILE) --workspace --lib --bins --examples
	cd java && mvn -q install -DskipTests \
		-Dmsec.built="$(CARGO_TARGET_DIR)/$(subst dev,debug,$(PROFILE))"

## java-bench: parts of a request in Java by JMH, with what they allocate
java-bench: deps-bench
	$(CARGO) build --locked --release -p msec-ffi-java -p msec-codegen --lib --bins
	cd java && mvn -q package -Pbench -DskipTests -pl msec,../bench/java \
		-Dmsec.built="$(CARGO_TARGET_DIR)/release"
	java -Djava.library.path="$(CARGO_TARGET_DIR)/release" \
		-cp bench/java/target/msec-bench.jar org.openjdk.jmh.Main -prof gc

## abi: record what of the C interface programs rely on, after it has grown
abi: deps-test
	$(CARGO) xtask abi

## soak: random faults for SOAK_SECONDS (600)
soak: deps-test
	MSEC_SOAK_SECONDS=$(SOAK_SECONDS) \
	$(CARGO) test --locked --release -p msec-tests --test soak -- --nocapture
	$(CARGO) build --locked --release -p msec-ffi-java -p msec-codegen --lib --bins
	cd java && mvn -q test -pl msec -Dtest=SoakTest -Dmsec.soak.seconds=$(SOAK_SECONDS) \
		-Dmsec.built="$(CARGO_TARGET_DIR)/release"

## asan: the programs of C and C++ against a libmsec that the address sanitizer watches
asan: deps-test
	RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address $(CARGO) build --locked --lib \
		--target x86_64-unknown-linux-gnu --target-dir "$(CARGO_TARGET_DIR)/asan" \
		-p msec-sys -p msec-ffi-c --features msec-sys/sanitizer
	MSEC_TEST_WATCHED="$(CARGO_TARGET_DIR)/asan/x86_64-unknown-linux-gnu/debug/libmsec.so" \
		$(CARGO) test --locked --workspace --test ffi_c --test ffi_abi --test ffi_faults \
		-- address_sanitizer

## deps: install what every target here needs beyond Cargo's own crates
deps:
	@xtask/deps.sh demo test bench

## fmt: format all Rust
fmt:
	$(CARGO) fmt --all
	cd fuzz && $(CARGO) fmt --all
	cd bench && $(CARGO) fmt --all

## clippy: lints as errors
clippy:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	cd fuzz && $(CARGO) clippy --locked --all-targets -- -D warnings
	cd bench && $(CARGO) clippy --locked $(BENCH_TESTED) --all-targets -- -D warnings

## tidy: what the compiler cannot check; `cargo xtask gen` mends stale generated files
tidy:
	$(CARGO) xtask tidy

## doc: rustdoc with warnings as errors
doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

help:
	@echo "make ..."
	@sed -n 's/^## \([a-z-]*\): /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

deps-build deps-java deps-demo deps-test deps-bench: deps-%:
	@xtask/deps.sh $*

fmt-check:
	$(CARGO) fmt --all --check
	cd fuzz && $(CARGO) fmt --all --check
	cd bench && $(CARGO) fmt --all --check

# The end-to-end tests start the command and the examples, so these are there first.
unit:
	$(CARGO) build --locked --workspace --lib --bins --examples
	$(CARGO) test --locked --workspace --no-fail-fast

# The library for Java, on every JVM that is here; what it loads and calls is built by `unit`.
java-test:
	xtask/java.sh "$(CARGO_TARGET_DIR)/debug"

# What the ring does is told apart by these stories; a test compares the list with the engine's.
URING_FEATURES := defer coop no_sqarray registered multishot buf_ring
WITHOUT_STORIES := without server_flow server_cancel server_accept client_faults client_calls

# The same programs once more for each feature of io_uring, which is switched off.
without:
	@set -e; for feature in $(URING_FEATURES); do \
	  echo "-- io_uring without $$feature"; \
	  MSEC_IO_WITHOUT=$$feature $(CARGO) test --locked --quiet --workspace \
	    $(WITHOUT_STORIES:%=--test %) -- uring; \
	done

# Every decoder over everything its fuzzer has found so far.
fuzz-replay:
	cd fuzz && $(CARGO) test --locked

# The harness itself; the peers, which bring whole runtimes, are built by `make bench` only.
bench-unit:
	cd bench && $(CARGO) test --locked $(BENCH_TESTED)

release:
	$(CARGO) build --locked --release -p msec -p msec-cli -p msec-codegen -p msec-host \
		-p msec-ffi-c -p msec-ffi-java -p msec-hook \
		-p msec-hook-locks --lib --bins --examples

# The release as it would be installed.
cpp-prefix: release
	xtask/install.sh "$(CARGO_TARGET_DIR)/release" "$(CARGO_TARGET_DIR)/prefix" \
		"$(CARGO_TARGET_DIR)/prefix" >/dev/null

# The examples in C++, against that.
cpp-release: cpp-prefix
	cmake -S cpp-examples -B "$(CARGO_TARGET_DIR)/cpp-examples" -DCMAKE_BUILD_TYPE=Release \
		-DCMAKE_PREFIX_PATH="$(CARGO_TARGET_DIR)/prefix" >/dev/null
	cmake --build "$(CARGO_TARGET_DIR)/cpp-examples" --parallel 2 >/dev/null

# The example in Java, as one jar with the release's libmsec_jni.
java-release: release
	cd java && mvn -q package -DskipTests -pl msec,examples \
		-Dmsec.built="$(CARGO_TARGET_DIR)/release"

# What was written for the original, in both languages.
cpp-migration: cpp-prefix
	cpp-examples/migration/build.sh "$(CARGO_TARGET_DIR)/prefix" "$(CARGO_TARGET_DIR)/migration"

java-migration: release
	cd java && mvn -q package -DskipTests -pl msec,compat,migration \
		-Dmsec.built="$(CARGO_TARGET_DIR)/release"
