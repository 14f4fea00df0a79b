# `make run` builds and serves; `make test` runs all tests. The other targets are for development.

CARGO ?= cargo
NPM ?= npm
HAS_NODE := $(shell command -v node >/dev/null 2>&1 && command -v $(NPM) >/dev/null 2>&1 && echo yes)

CLIENTS := tests/clients
BROWSER := tests/browser
PAGES := web

.PHONY: run bench build test test-server test-clients test-browser pages lint format schema help

help: ## lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-14s %s\n", $$1, $$2 }'

run: pages ## builds and serves with SQLite and the demo model
	$(CARGO) run

build: pages ## builds the release binary: target/release/duologue
	$(CARGO) build --release

test: pages test-server test-clients test-browser ## runs all tests

test-server: pages $(if $(HAS_NODE),$(CLIENTS)/node_modules/.package-lock.json) ## runs unit and integration tests; those on PostgreSQL only if it is available
	$(CARGO) test --workspace

# Uses the binary of `cargo test`: `cargo build` would compile some dependencies a second time.
test-clients: ## runs real GraphQL clients against the binary, if Node is available
ifeq ($(HAS_NODE),yes)
	$(CARGO) test --workspace --no-run --quiet
	$(MAKE) --no-print-directory $(CLIENTS)/node_modules/.package-lock.json
	$(NPM) test --prefix $(CLIENTS)
else ifeq ($(CI),true)
	@echo "error: the client tests require Node" >&2; exit 1
else
	@echo "skipped: the client tests require Node"
endif

ifneq ($(wildcard $(BROWSER)/package.json),)
test-browser: pages ## tests the pages in a real browser, if Node and Chromium are available
ifeq ($(HAS_NODE),yes)
	$(CARGO) test --workspace --no-run --quiet
	$(MAKE) --no-print-directory $(BROWSER)/node_modules/.package-lock.json
	node $(CLIENTS)/with-server.mjs $(NPM) test --prefix $(BROWSER)
else ifeq ($(CI),true)
	@echo "error: the browser tests require Node" >&2; exit 1
else
	@echo "skipped: the browser tests require Node"
endif
endif

# The build embeds the pages in web/dist into the binary.
pages: ## builds the browser pages, if Node is available
ifneq ($(wildcard $(PAGES)/package.json),)
ifeq ($(HAS_NODE),yes)
	@$(MAKE) --no-print-directory $(PAGES)/dist
else
	@echo "no Node: building without the browser pages"
endif
endif

$(PAGES)/dist: $(PAGES)/node_modules/.package-lock.json $(shell find $(PAGES) \( -name node_modules -o -name dist \) -prune -o -type f -print 2>/dev/null)
	$(NPM) run build --prefix $(PAGES)
	@touch $@

%/node_modules/.package-lock.json: %/package-lock.json
	$(NPM) ci --prefix $* --loglevel=error
	@touch $@

lint: ## checks format and lints as CI does
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

format: ## formats the code
	$(CARGO) fmt --all

# One target directory, so that the benchmark finds the server that it builds.
bench: ## runs the load benchmark on two cores; takes a few minutes after the release builds
	CARGO_TARGET_DIR=$(CURDIR)/target $(CARGO) run --release --manifest-path bench/Cargo.toml -- $(WORKLOADS)

schema: ## regenerates schema.graphql from the code
	$(CARGO) run --quiet -- schema > schema.graphql.new
	mv schema.graphql.new schema.graphql
