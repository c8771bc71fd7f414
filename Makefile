# What people and CI call. Thin: the work is in cargo and in the program `paperclip-e2e`, which also installs what is missing.
#
#   make demo                  a local cluster, the operator, and a sample Instance that runs (USE_CLUSTER=1: in your own cluster)
#   make test                  everything that CI runs
#   make e2e                   the tests with real containers alone
#   make bench                 the figures of docs/performance.md
#   make cluster-up            a local cluster; KUBECONFIG is .cluster/kubeconfig (NODE=1: with a real kubelet)
#   make cluster-down          end it
#
# All that is built is kept in $(CACHE); set PAPERCLIP_OPERATOR_CACHE for another place.

CACHE := $(or $(PAPERCLIP_OPERATOR_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/paperclip-operator)
CARGO_DENY := 0.20.2

export PAPERCLIP_OPERATOR_CACHE := $(CACHE)
export CARGO_TARGET_DIR ?= $(CACHE)/target
export CARGO_TERM_COLOR ?= never
export PATH := $(CACHE)/tools/bin:$(PATH):$(HOME)/.cargo/bin:/usr/local/go/bin

E2E := cargo run --locked --quiet -p paperclip-e2e --

.PHONY: demo test check deny unit api e2e bench prepare cluster-up cluster-down

demo:
	$(E2E) demo $(if $(USE_CLUSTER),--use-cluster)

test: check deny prepare unit api e2e

check:
	cargo fmt --all -- --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

deny: $(CACHE)/tools/bin/cargo-deny
	cargo deny --locked check bans licenses sources

$(CACHE)/tools/bin/cargo-deny:
	cargo install --quiet --debug --locked --root $(CACHE)/tools --version $(CARGO_DENY) cargo-deny

# Packages, the programs of the local cluster, images: whatever the tests need and is not there.
prepare:
	$(E2E) prepare

unit:
	cargo test --locked --no-fail-fast --workspace --exclude paperclip-e2e
	cargo test --locked --no-fail-fast -p paperclip-e2e --lib --bins --test manifests

# A control plane whose node is played. The two tests with hundreds of Instances come last, one at a time: beside them others would wait.
api:
	cargo test --locked --no-fail-fast -p paperclip-e2e --test api -- --skip fields:: --skip corpus::
	cargo test --locked --no-fail-fast -p paperclip-e2e --test api -- --test-threads=1 fields:: corpus::

# Real containers; two tests at once are what a small machine can take.
e2e:
	cargo test --locked --no-fail-fast -p paperclip-e2e --test node -- --test-threads=2

bench:
	$(E2E) bench

cluster-up:
	$(E2E) cluster up $(if $(NODE),--node)

cluster-down:
	$(E2E) cluster down
