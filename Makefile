# `make run` builds and serves; `make test` runs every test. The other targets are for development.

CARGO ?= cargo
NPM ?= npm
HAS_NODE := $(shell command -v node >/dev/null 2>&1 && command -v $(NPM) >/dev/null 2>&1 && echo yes)

CLIENTS := tests/clients
BROWSER := tests/browser
PAGES := web
FRONTENDS := examples/react-apollo examples/react-urql

.PHONY: run bench build test test-server test-clients test-browser record pages lint format schema help

help: ## lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-14s %s\n", $$1, $$2 }'

run: pages ## builds and serves with the embedded database and the demo model
	$(CARGO) run

build: pages ## builds the production binary: target/release/duologue
	$(CARGO) build --release

test: pages test-server test-clients test-browser ## runs every test

test-server: pages $(if $(HAS_NODE),$(CLIENTS)/node_modules/.package-lock.json) ## runs unit and integration tests; those on PostgreSQL only if it is reachable
	$(CARGO) test --workspace

# Uses the binary that `cargo test` builds, because `cargo build` would compile some dependencies a second time.
test-clients: ## tests the binary with GraphQL client libraries, if Node is installed
ifeq ($(HAS_NODE),yes)
	$(CARGO) test --workspace --no-run --quiet
	$(MAKE) --no-print-directory $(CLIENTS)/node_modules/.package-lock.json
	$(NPM) test --prefix $(CLIENTS)
else ifeq ($(CI),true)
	@echo "Node is not installed: cannot run the client tests" >&2; exit 1
else
	@echo "skipped the client tests: Node is not installed"
endif

ifneq ($(wildcard $(BROWSER)/package.json),)
test-browser: pages ## tests the pages and the frontends of examples/ in a browser, if Node and Chromium are installed
ifeq ($(HAS_NODE),yes)
	$(CARGO) test --workspace --no-run --quiet
	$(MAKE) --no-print-directory $(patsubst %,%/node_modules/.package-lock.json,$(BROWSER) $(FRONTENDS))
	node $(CLIENTS)/with-server.mjs $(NPM) test --prefix $(BROWSER)
else ifeq ($(CI),true)
	@echo "Node is not installed: cannot run the browser tests" >&2; exit 1
else
	@echo "skipped the browser tests: Node is not installed"
endif
endif

record: pages ## records the animation of README.md; needs Node, Chromium and ffmpeg
	$(CARGO) test --workspace --no-run --quiet
	$(MAKE) --no-print-directory $(BROWSER)/node_modules/.package-lock.json
	$(NPM) run record --prefix $(BROWSER)

# The binary embeds the pages that are in web/dist at build time.
pages: ## builds the browser pages, if Node is installed
ifneq ($(wildcard $(PAGES)/package.json),)
ifeq ($(HAS_NODE),yes)
	@$(MAKE) --no-print-directory $(PAGES)/dist
else
	@echo "Node is not installed: building without the pages"
endif
endif

$(PAGES)/dist: $(PAGES)/node_modules/.package-lock.json $(shell find $(PAGES) \( -name node_modules -o -name dist \) -prune -o -type f -print 2>/dev/null)
	$(NPM) run build --prefix $(PAGES)
	@touch $@

%/node_modules/.package-lock.json: %/package-lock.json
	$(NPM) ci --prefix $* --loglevel=error
	@touch $@

lint: ## runs the checks of CI
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

format: ## formats the code
	$(CARGO) fmt --all

# Both builds share a target directory, so that the benchmark finds the server that it builds.
bench: ## runs the load benchmark on two cores, for some minutes after the release builds
	CARGO_TARGET_DIR=$(CURDIR)/target $(CARGO) run --release --manifest-path bench/Cargo.toml -- $(WORKLOADS)

schema: ## regenerates schema.graphql
	$(CARGO) run --quiet -- schema > schema.graphql.new
	mv schema.graphql.new schema.graphql
