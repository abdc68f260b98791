#!/bin/sh
# Builds a tool at its exact version, once, and prints where it is.
#   .ci/tools.sh golangci-lint    the linter; `… fmt` of it formats the tree
#   .ci/tools.sh caddy            for make bench
#   .ci/tools.sh toxiproxy        spoils connections in tests
set -eu

cache=${SEALGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sealgate}/bin

case ${1:-} in
golangci-lint) version=v2.15.0 module=github.com/golangci/golangci-lint/v2/cmd/golangci-lint ;;
caddy) version=v2.11.9 module=github.com/caddyserver/caddy/v2/cmd/caddy ;;
toxiproxy) version=v2.12.0 module=github.com/Shopify/toxiproxy/v2/cmd/server ;;
*)
	echo "tools: say which one: golangci-lint, caddy or toxiproxy" >&2
	exit 2
	;;
esac

tool=$cache/$1-$version
if [ ! -x "$tool" ]; then
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/new-$1-XXXXXX")
	trap 'rm -rf "$work"' EXIT INT TERM
	echo "tools: building $1 $version (once, it takes minutes)" >&2
	# Outside the module, so that the tool's own versions count and not ours.
	(cd "$work" && GOFLAGS= GOBIN="$work" nice -n 10 go install "$module@$version" >&2)
	mv "$work/${module##*/}" "$tool"
fi
echo "$tool"
