# The commands of this repository. Each installs what it lacks (Debian, Ubuntu: as root or with sudo).

.PHONY: all demo test check lint doc unit e2e bench bench-smoke prerequisites clean

# What `cargo` gets besides: `make test CARGO_FLAGS=-j1`.
CARGO_FLAGS ?=
# Tests mostly wait for servers, so there may be more of them at once than processors.
E2E_THREADS ?= $(shell echo $$(( $$(nproc) * 2 )))

all:
	cargo build --release -p pgweir-proxy $(CARGO_FLAGS)

# A throwaway PostgreSQL with a standby, pgweir in front, a short pgbench; until Ctrl-C.
demo:
	scripts/prerequisites.sh --demo
	$(MAKE) all
	scripts/demo.sh

# Everything, against real PostgreSQL.
test: prerequisites check unit e2e bench-smoke

# What can be said without running anything.
check: lint doc

lint: prerequisites
	cargo fmt --check
	cargo clippy --workspace --all-targets --features pgweir-proxy/pam $(CARGO_FLAGS) -- -D warnings

doc: prerequisites
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items $(CARGO_FLAGS)

unit: prerequisites
	cargo test --workspace --exclude pgweir-tests --exclude pgweir-tests-parser --exclude pgweir-tests-sqlx $(CARGO_FLAGS)

# On the system's PostgreSQL and on 18.
e2e: prerequisites
	cargo build -p pgweir-proxy --features pam $(CARGO_FLAGS)
	cargo test -p pgweir-tests -p pgweir-tests-parser -p pgweir-tests-sqlx --no-fail-fast $(CARGO_FLAGS) -- --test-threads=$(E2E_THREADS)

# That the benches run, not how fast: in the profile that is built already.
bench-smoke: prerequisites
	cargo bench -p pgweir-benches --profile dev $(CARGO_FLAGS) -- --test

# Side by side with PgBouncer on the same server: `make bench ARGUMENTS=--help`.
bench: prerequisites all
	python3 benches/compare/run.py $(ARGUMENTS)

prerequisites:
	scripts/prerequisites.sh

clean:
	cargo clean
