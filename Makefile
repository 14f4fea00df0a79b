# `make run` builds and serves; `make test` runs every test. The rest is for who works on duologue.

CARGO ?= cargo
NPM ?= npm
HAS_NODE := $(shell command -v node >/dev/null 2>&1 && command -v $(NPM) >/dev/null 2>&1 && echo yes)

CLIENTS := tests/clients
BROWSER := tests/browser
PAGES := web
FRONTENDS := examples/react-apollo examples/react-urql

.PHONY: run bench build test test-server test-clients test-browser pages lint format schema help

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-14s %s\n", $$1, $$2 }'

run: pages ## builds and serves on the embedded database, with the demo model
	$(CARGO) run

build: pages ## the binary for production: target/release/duologue
	$(CARGO) build --release

test: pages test-server test-clients test-browser ## every test

test-server: pages $(if $(HAS_NODE),$(CLIENTS)/node_modules/.package-lock.json) ## unit and integration tests; those on PostgreSQL only where it answers
	$(CARGO) test --workspace

# The binary as `cargo test` makes it: with `cargo build`, some dependencies would be compiled a second time.
test-clients: ## real GraphQL clients against the real binary, where there is Node
ifeq ($(HAS_NODE),yes)
	$(CARGO) test --workspace --no-run --quiet
	$(MAKE) --no-print-directory $(CLIENTS)/node_modules/.package-lock.json
	$(NPM) test --prefix $(CLIENTS)
else ifeq ($(CI),true)
	@echo "no Node: the client tests cannot run" >&2; exit 1
else
	@echo "skipped: the client tests, for there is no Node"
endif

ifneq ($(wildcard $(BROWSER)/package.json),)
test-browser: pages ## the pages and the frontends of examples/ in a real browser, where there are Node and Chromium
ifeq ($(HAS_NODE),yes)
	$(CARGO) test --workspace --no-run --quiet
	$(MAKE) --no-print-directory $(patsubst %,%/node_modules/.package-lock.json,$(BROWSER) $(FRONTENDS))
	node $(CLIENTS)/with-server.mjs $(NPM) test --prefix $(BROWSER)
else ifeq ($(CI),true)
	@echo "no Node: the browser tests cannot run" >&2; exit 1
else
	@echo "skipped: the browser tests, for there is no Node"
endif
endif

# The binary holds the pages that are in web/dist when it is built.
pages: ## the browser pages, where there is Node
ifneq ($(wildcard $(PAGES)/package.json),)
ifeq ($(HAS_NODE),yes)
	@$(MAKE) --no-print-directory $(PAGES)/dist
else
	@echo "no Node: the pages are left out, everything else is served"
endif
endif

$(PAGES)/dist: $(PAGES)/node_modules/.package-lock.json $(shell find $(PAGES) \( -name node_modules -o -name dist \) -prune -o -type f -print 2>/dev/null)
	$(NPM) run build --prefix $(PAGES)
	@touch $@

%/node_modules/.package-lock.json: %/package-lock.json
	$(NPM) ci --prefix $* --loglevel=error
	@touch $@

lint: ## what CI holds the code to
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

format: ## formats the code
	$(CARGO) fmt --all

# One target folder, so that the benchmark finds the server that it builds.
bench: ## the load benchmark, on two cores: a few minutes after the release builds
	CARGO_TARGET_DIR=$(CURDIR)/target $(CARGO) run --release --manifest-path bench/Cargo.toml -- $(WORKLOADS)

schema: ## writes schema.graphql anew from the code
	$(CARGO) run --quiet -- schema > schema.graphql.new
	mv schema.graphql.new schema.graphql
