#!/bin/sh
# Runs every fuzz target of the module for a while each.
#   .ci/fuzz.sh DURATION [PACKAGE…]    .ci/fuzz.sh 5s ./inbox/...
set -eu
cd "$(dirname "$0")/.."

duration=${1:?say how long each target may run, for example 5s}
shift
[ $# -gt 0 ] || set -- ./...

found=0
for package in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' "$@"); do
	directory=$(go list -f '{{.Dir}}' "$package")
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$directory"/*_test.go); do
		found=$((found + 1))
		echo "fuzz: $package $target for $duration"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$duration" -parallel 2 "$package" | grep -v '^fuzz: elapsed' ||
			{ echo "fuzz: $target found something; its input is under $directory/testdata/fuzz" >&2; exit 1; }
	done
done
[ "$found" -gt 0 ] || { echo "fuzz: no target found" >&2; exit 1; }
