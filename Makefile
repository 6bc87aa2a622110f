# dualaudit: every set-up step of demo, tests and benchmarks is a target here.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CONTROLPLANE := target/controlplane/controlplane
KUBECTL := target/controlplane/kubectl
CONTROLPLANE_SOURCES := $(wildcard tests/controlplane/*.go tests/controlplane/*/*.go) tests/controlplane/go.mod tests/controlplane/go.sum
VERIFIER := target/verifier/verifier
VERIFIER_SOURCES := $(wildcard tests/verifier/*.go) tests/verifier/go.mod tests/verifier/go.sum
READERS := target/readers/installed
# Named, so that what runs while others are built (build scripts, macros) is not instrumented.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_TARGETS := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
# -trimpath and the tags are part of Go's cache key: build and vet share them, or compile twice.
GO_FLAGS := -trimpath -tags grpcnotrace,notest
PREFIX := /usr/local

.PHONY: help
help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: setup
setup: ## Check for the tools that everything needs, and install what Debian has of them
	@missing=""; \
	for tool in cargo go; do \
		command -v $$tool >/dev/null || { echo "$$tool is missing: install it from its own site ($$tool is not taken from Debian, whose version is too old)"; exit 1; }; \
	done; \
	command -v cc >/dev/null || missing="$$missing build-essential"; \
	command -v man >/dev/null && command -v groff >/dev/null || missing="$$missing man-db groff-base"; \
	python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
	[ -n "$${PG_BIN-}$${DUALAUDIT_TEST_DATABASE-}" ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql-15"; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing; \
		else \
			echo "missing:$$missing (on Debian: apt-get install$$missing)"; exit 1; \
		fi; \
	fi

.PHONY: controlplane
controlplane: setup $(CONTROLPLANE) $(KUBECTL) ## Build the control plane of tests and demo, and kubectl (about seven minutes the first time)

$(CONTROLPLANE) $(KUBECTL) &: $(CONTROLPLANE_SOURCES)
	@echo "building the control plane (kube-apiserver and etcd) and kubectl: about seven minutes the first time"
	cd tests/controlplane && CGO_ENABLED=0 go build -buildvcs=false $(GO_FLAGS) -ldflags '-s -w' -o ../../$(@D)/ . ./kubectl

.PHONY: verifier
verifier: setup $(VERIFIER) ## Build the verifiers and the witness of others that tests check logs by (half a minute the first time)

$(VERIFIER): $(VERIFIER_SOURCES)
	cd tests/verifier && CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags '-s -w' -o ../../$(@D)/ . filippo.io/torchwood/cmd/litewitness

.PHONY: readers
readers: setup $(READERS) ## Install DuckDB and pandas, which read Parquet in a test, and schemathesis, which tries the API, into target/readers

$(READERS): tests/readers/requirements.txt
	rm -rf target/readers
	python3 -m venv target/readers
	target/readers/bin/pip install --quiet --disable-pip-version-check --only-binary :all: --requirement $<
	touch $@

.PHONY: demo
demo: controlplane ## Show the main job end to end on a real API server; ONCE=1 checks it and exits
	cargo build --release --locked
	cargo run --release --locked --example demo -- $(if $(ONCE),--once)

.PHONY: install
install: ## Build dualaudit and install it under PREFIX (/usr/local), with its manual and completions, and as kubectl's plugin
	cargo build --release --locked
	install -D -t $(DESTDIR)$(PREFIX)/bin target/release/dualaudit
	ln -sf dualaudit $(DESTDIR)$(PREFIX)/bin/kubectl-dualaudit
	target/release/dualaudit man $(DESTDIR)$(PREFIX)/share/man/man1
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions zsh/site-functions fish/vendor_completions.d)
	target/release/dualaudit completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/dualaudit
	target/release/dualaudit completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_dualaudit
	target/release/dualaudit completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/dualaudit.fish

.PHONY: test
test: lint controlplane verifier readers ## Run every check and every test
	cargo test --workspace --locked

.PHONY: lint
lint: setup ## Formatting and lints, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cd fuzz && cargo fmt --check && cargo clippy --locked --target $(HOST) -- -D warnings
	@unformatted="$$(gofmt -l tests)"; [ -z "$$unformatted" ] || { echo "gofmt: $$unformatted"; exit 1; }
	cd tests/controlplane && CGO_ENABLED=0 go vet $(GO_FLAGS) ./...
	cd tests/producer && CGO_ENABLED=0 go vet .
	cd tests/verifier && CGO_ENABLED=0 go vet -trimpath .
	@if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; else echo "cargo-deny is not installed: deny.toml is not checked"; fi

.PHONY: fuzz
fuzz: setup readers ## Fuzz what reads the bytes of strangers, each target for DUALAUDIT_FUZZ_SECONDS (60); FUZZ=NAME runs one, FUZZ=api the API
	cd fuzz && cargo build --release --locked --target $(HOST)
	@built="$(CURDIR)/target/fuzz"; \
	for target in $(filter-out api,$(or $(FUZZ),$(FUZZ_TARGETS))); do \
		echo "fuzzing $$target"; \
		mkdir -p "$$built/corpus/$$target" "$$built/seeds/$$target" "$$built/found"; \
		DUALAUDIT_FUZZ_SEEDS="$$built/seeds/$$target" "$$built/$(HOST)/release/$$target" \
			"$$built/corpus/$$target" "$$built/seeds/$$target" $$(ls -d fuzz/seeds/$$target 2>/dev/null || true) \
			-max_total_time="$${DUALAUDIT_FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=2048 -dict=fuzz/words.dict \
			-artifact_prefix="$$built/found/$$target-" -verbosity=0 -print_funcs=0 -print_final_stats=1 2>&1 | \
			sed '/^###### Recommended/,/^###### End of/d'; \
	done
	@[ -n "$(filter-out api,$(FUZZ))" ] || DUALAUDIT_SCHEMATHESIS_SECONDS="$${DUALAUDIT_FUZZ_SECONDS:-60}" \
		cargo test -p dualaudit --locked --test integration -- the_api_is_what_its_document_says

.PHONY: bench
bench: controlplane ## Measure, with 10 million executions unless DUALAUDIT_BENCH_EXECUTIONS says otherwise; see docs/benchmarks.md
	cargo bench --locked --bench dualaudit

.PHONY: learning-report
learning-report: ## Try what learning finds on fleets whose truth is known, and write that into docs/learning.md, with plots
	cargo bench --locked --bench learning

.PHONY: manifests
manifests: ## Write the CRD and the admission policies of deploy/ anew from the program
	cargo build --locked --quiet
	target/debug/dualaudit crd > deploy/crd.yaml.new
	target/debug/dualaudit crd --only policy > deploy/policy.yaml.new
	target/debug/dualaudit crd --only guard > deploy/guard.yaml.new
	for name in crd policy guard; do mv deploy/$$name.yaml.new deploy/$$name.yaml; done

.PHONY: clean
clean: ## Remove everything that was built
	rm -rf target
