#!/bin/sh
# Runs every fuzz target of the module for a while each.
#   .ci/fuzz.sh DURATION [PACKAGE…]    .ci/fuzz.sh 5s ./inbox/...
set -eu
cd "$(dirname "$0")/.."

duration=${1:?say how long each target may run, for example 5s}
shift
[ $# -gt 0 ] || set -- ./...

log=$(mktemp)
trap 'rm -f "$log"' EXIT
found=0
for package in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' "$@"); do
	directory=$(go list -f '{{.Dir}}' "$package")
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$directory"/*_test.go); do
		found=$((found + 1))
		echo "fuzz: $package $target for $duration"
		# What go test says at its end when its time is up in the wrong moment is no finding.
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" -parallel 2 "$package" >"$log" 2>&1 ||
			{ grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; } ||
			{ cat "$log"; echo "fuzz: $target found something; its input is under $directory/testdata/fuzz" >&2; exit 1; }
		tail -n 1 "$log"
	done
done
[ "$found" -gt 0 ] || { echo "fuzz: no target found" >&2; exit 1; }
