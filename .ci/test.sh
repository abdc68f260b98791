#!/bin/sh
# Everything a change must pass, in the order in which it fails fastest.
# The last lines are go test's own.
set -eu
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }
die() { echo "test: $*" >&2; exit 1; }

step setup
command -v go >/dev/null 2>&1 || die "go is missing: install Go 1.26 or newer"
go version
.ci/space.sh 4096 "${TMPDIR:-/tmp}" 6144 "$(go env GOCACHE)" # more than what was measured, for the race detector and fuzzing add to it
linter_log=$(mktemp)
trap 'rm -f "$linter_log"' EXIT
.ci/tools.sh golangci-lint >"$linter_log" 2>&1 & # slow the first time: beside the rest
linter=$!
.ci/peers.sh

step go vet
go vet ./...

step lint
wait "$linter" || { cat "$linter_log" >&2; die "the linter did not build: is the Go module proxy reachable?"; }
"$(tail -n 1 "$linter_log")" run ./...

step race detector, where goroutines meet
go test -race -short -count=1 -timeout 10m $(go list ./inbox/... ./policy/... ./relay/... ./storage/...)

step a few seconds of every fuzz target
.ci/fuzz.sh "${FUZZTIME:-3s}"

step go test
go test -count=1 -timeout 20m ./...
