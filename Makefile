# The commands of this repository. `make` alone lists them.
#
# `make dev` and `make test` work on a fresh Debian or Ubuntu with Rust and make: what else they need they install
# from the distribution (packaging/apt-packages.txt), and nothing when it is there already.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# A shell older than the Rust installation does not have it on its path.
export PATH := $(PATH):$(HOME)/.cargo/bin

# What `make crash` and `make crash-campaign` run: one cell, the seed of their chances, how long, on what.
CELL ?=
SEED ?=
TIME ?= 600
DATABASE ?= postgres
OPERATIONS ?= 1000
TRACE ?=
REPORT ?=

# Further arguments of `zpack dev`, such as ARGS="--port 5000".
ARGS ?=

.PHONY: help
help: ## List the commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: dev
dev: ## Run the whole company on this machine, with simulated peers (ARGS="--port 5000" passes flags on).
	@packaging/install-packages.sh dev
	@cargo run --locked -- dev $(ARGS)

# Tests wait for processes and peers more than they compute: more threads than processors.
export RUST_TEST_THREADS ?= 4

STEP := packaging/step.sh

# The program as `make release` compiles it, optimised and without debug assertions, but over the dependencies of the tests:
# a minute instead of a quarter of an hour. CI runs `make release` as well.
RELEASED := $(foreach setting,opt-level=1 debug-assertions=false overflow-checks=false,--config profile.dev.package.zpack.$(setting))

.PHONY: test
test: ## Run every check and every test, exactly as CI does.
	@packaging/install-packages.sh test
	@packaging/install-python.sh
	@$(STEP) --begin
	@$(STEP) format cargo fmt --check
	@$(STEP) lints cargo clippy --all-targets --locked -- -D warnings
	@RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
		$(STEP) docs cargo doc --lib --no-deps --document-private-items --locked
	@$(STEP) dependencies packaging/check-dependencies.sh
	@$(STEP) units systemd/check.sh
	@$(STEP) build cargo test --locked --no-run --lib --bins --test it
	@$(STEP) released cargo build --locked --bin zpack $(RELEASED)
	@$(STEP) doctests cargo test --locked --doc
	@$(STEP) tests cargo test --locked --no-fail-fast --lib --bins --test it
	@$(STEP) --summary

.PHONY: release
release: ## Build the program as it is released (target/release/zpack).
	@packaging/install-packages.sh dev
	@cargo build --release --locked --bin zpack
	@target/release/zpack --version

.PHONY: crash
crash: ## Run every crash point of the job runtime with every fault (CELL=effect:stop:postgres for one, SEED=1 to repeat).
	@packaging/install-packages.sh test
	ZPACK_CRASH=full CRASH_CELL=$(CELL) CRASH_SEED=$(SEED) \
		cargo test --locked --test it -- crash::matrix::the_whole_matrix --nocapture

.PHONY: crash-campaign
crash-campaign: ## Run minutes of random faults (TIME=600 DATABASE=postgres OPERATIONS=1000 SEED=1 TRACE=file to repeat, REPORT=folder).
	@packaging/install-packages.sh test
	ZPACK_CRASH=campaign CRASH_TIME=$(TIME) CRASH_DATABASE=$(DATABASE) CRASH_OPERATIONS=$(OPERATIONS) \
		CRASH_SEED=$(SEED) CRASH_TRACE=$(TRACE) CRASH_REPORT=$(REPORT) \
		cargo test --locked --test it -- crash::campaign::a_campaign --nocapture

.PHONY: model
model: ## Check the whole model of the job runtime and print its size (about 8 minutes, 4 GB of memory).
	ZPACK_MODEL_FULL=1 cargo test --locked --lib jobs::model -- --nocapture --test-threads=1

.PHONY: check
check: ## Check what a machine can in a minute: format, lints, unit tests.
	@packaging/install-packages.sh dev
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo test --locked --lib

.PHONY: bench
bench: ## Measure the job runtime beside BullMQ and write docs/benchmarks/jobs.md (8 minutes; BENCH_REPEATS=1 for a look).
	@packaging/install-packages.sh bench
	npm install --prefix benches/bullmq --no-save --ignore-scripts --no-audit --no-fund
	cargo bench --locked --bench jobs

# The generator of the Prisma client asks for the path of a program that it does not need.
.PHONY: bench-api
bench-api: ## Measure the HTTP API beside the predecessor and write docs/benchmarks/api.md (15 minutes; BENCH_REPEATS=1 for a look).
	@packaging/install-packages.sh bench
	npm install --prefix benches/predecessor --no-save --ignore-scripts --no-audit --no-fund
	cd benches/predecessor && PRISMA_SCHEMA_ENGINE_BINARY=/bin/true npx prisma generate --no-hints
	cargo bench --locked --bench api

.PHONY: packages
packages: ## Install the packages that `make dev` and `make test` need.
	@packaging/install-packages.sh test
	@packaging/install-python.sh

.PHONY: clean
clean: ## Remove what was built; the state of `make dev` in .zpack/ stays.
	cargo clean
