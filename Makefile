# Sealgate. `make help` lists what there is.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 1m
SOAK ?= 20

.PHONY: build demo test lint bench fuzz soak clean help
.DEFAULT_GOAL := help

build: ## the static gateway binary: bin/sealgate
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/sealgate ./cmd/sealgate

demo: build ## two sample instances, two gateways, two MLS clients on loopback; needs Go only (ARGS=--once to stop after the story)
	go run ./cmd/demo --gateway bin/sealgate $(ARGS)

test: ## everything a change must pass: peers, vet, lint, race, fuzz, tests
	.ci/test.sh

lint: ## the linter alone; it is built at its exact version the first time
	"$$(.ci/tools.sh golangci-lint)" run ./...

bench: build ## forwarding beside nginx, Caddy and net/http, durable intake beside nginx: ratios (ARGS="--only forward")
	go build -o bin/bench ./cmd/demo/bench
	bin/bench --gateway bin/sealgate --caddy "$$(.ci/tools.sh caddy)" $(ARGS)

fuzz: ## every fuzz target for FUZZTIME (1m)
	.ci/fuzz.sh $(FUZZTIME)

soak: ## the tests SOAK (20) times under the race detector, then ten minutes of every fuzz target
	go test -race -count=$(SOAK) -timeout 6h ./inbox/... ./policy/... ./relay/... ./storage/... ./configs/...
	SEALGATE_SEEDS=10000 go test -count=1 -timeout 6h -run Seeds ./cmd/sealgate/internal/simulation
	SEALGATE_SEEDS=200 go test -race -count=1 -timeout 2h -run Torture ./relay/forward
	SEALGATE_SOAK=1 go test -count=1 -run LargeBodies ./cmd/sealgate
	SEALGATE_SOAK=1 go test -count=1 -run Four ./cmd/sealgate/internal/peers
	SEALGATE_SOAK=1 go test -count=1 -timeout 2h -v -run 'KillGateway|Overload|ResetFloods|ThatVanish|TestMemory$$' ./cmd/sealgate
	SEALGATE_SOAK=1 go test -count=1 -timeout 2h -v -run 'Kill|PowerCut|DiskFills' ./storage
	.ci/fuzz.sh 10m

clean: ## remove what was built; caches and data stay
	rm -rf bin

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' Makefile
