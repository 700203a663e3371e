.DEFAULT_GOAL := help
.PHONY: help deps build run test quick fmt vet lint generate generate-check bench conformance fuzz soak
.NOTPARALLEL: # deps come before what needs them, whatever -j says

# make deps puts a Go there where the machine has none or too old a one. sudo
# forgets where the usual archive of Go is.
GO_HOME := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/strongroom/go
export PATH := $(GO_HOME)/bin:$(PATH):/usr/local/go/bin

# No build changes go.mod or fetches another Go by itself.
export GOFLAGS := -mod=readonly $(GOFLAGS)
export GOTOOLCHAIN := local

# Tests that need a token, a database or other people's clients skip under a
# bare go test on a laptop. Here and in CI they must run.
FULL := REQUIRE_SOFTHSM=1 REQUIRE_POSTGRES=1 REQUIRE_MARIADB=1 REQUIRE_CLIENTS=1

FUZZTIME ?= 1m
GOLANGCI_LINT := go tool -modfile=tools/lint/go.mod golangci-lint
SQLC := go tool -modfile=tools/sqlc/go.mod sqlc

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## Install the Debian packages that are missing (root or sudo), and Go if it is too old
	@deploy/deps.sh

build: ## Build both binaries into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/strongroom
	CGO_ENABLED=1 go build -trimpath -o bin/ ./cmd/strongroom-hsm

run: deps build ## Everything on this machine, on loopback, ready to try
	bin/strongroom dev

test: deps fmt vet build ## Every test, race detector, shuffled; what CI runs
	$(FULL) CGO_ENABLED=1 go test -race -shuffle=on -count=1 ./...

quick: ## Tests without race detector; what lacks a token or a database skips
	go test ./...

fmt: ## Fail if a file is not gofmt-ed
	@bad=$$(gofmt -l .) && test -z "$$bad" || { echo "not gofmt-ed: $$bad"; exit 1; }

vet: ## Go's own static checks
	go vet ./...

lint: ## The checks of .golangci.yml (the first time, its tool takes two minutes to build)
	$(GOLANGCI_LINT) run ./...

generate: ## Make generated code anew
	$(SQLC) generate -f persistence/postgres/sqlc.yaml

generate-check: ## Fail if generated code is stale (the first time, its tool takes two minutes to build)
	$(SQLC) diff -f persistence/postgres/sqlc.yaml

bench: deps build ## Benchmarks for benchstat, then a closed loop over HTTP beside its floor
	$(FULL) CGO_ENABLED=1 go test -run '^$$' -bench . -count 5 ./...
	CGO_ENABLED=1 go build -trimpath -o bin/ ./bench/floor ./bench/load
	bin/load -bin bin/strongroom -floor bin/floor

conformance: deps build ## Other people's clients and suites, unmodified, against servers of their own
	@deploy/deps.sh conformance
	CGO_ENABLED=0 go build -trimpath -o bin/tempest ./conformance/tempest
	conformance/run.sh

# Both tests count what they do and end by themselves; the limit is for a
# machine that stands still.
soak: deps build ## A million random steps against a model, two nodes under a checker; twenty minutes
	$(FULL) SOAK=1 CGO_ENABLED=1 go test -count=1 -v -timeout 3h ./soak

# Targets are found, not listed, so that a new one is not forgotten.
fuzz: ## FUZZTIME (one minute) per fuzz target
	@set -e; grep -rl --include='*_test.go' '^func Fuzz' . | xargs -r -n 1 dirname | sort -u | while read -r dir; do \
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$$dir"/*_test.go | while read -r target; do \
			echo "== $$dir $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$dir"; \
		done; \
	done
