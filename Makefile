# The commands of the house. `make test` is what .ci/run calls.

CARGO ?= cargo
SHELL := /bin/bash

.PHONY: help build release demo test lint unit e2e bench-test bench install-tools

help:
	@echo "make demo     a throwaway PostgreSQL with pgweir in front of it, until Ctrl-C"
	@echo "make test     everything, against real PostgreSQL"
	@echo "make bench    side by side with PgBouncer"
	@echo "make release  the binary, in target/release/pgweir"

install-tools:
	@scripts/install-tools.sh

build:
	$(CARGO) build -p pgweir-proxy

release:
	$(CARGO) build --release -p pgweir-proxy

demo: install-tools release
	@scripts/demo.sh

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

unit:
	$(CARGO) test --workspace --exclude pgweir-tests

e2e: build
	$(CARGO) test -p pgweir-tests

bench-test:
	$(CARGO) bench --workspace -- --test

test: install-tools lint unit e2e bench-test

bench: install-tools release
	@benches/compare/run.py
