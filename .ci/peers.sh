#!/bin/sh
# Puts the real peers of cmd/sealgate's end-to-end tests into a cache directory:
# the npm project of cmd/sealgate/testdata/peers and Debian's snac2. The Debian packages whose programs
# tests run as they are (nginx, h2load, sslscan, Chromium) are installed when root asks.
# Idempotent; without anything to do it touches no network.
#   .ci/peers.sh          install what is missing
#   .ci/peers.sh --check  say what is missing, install nothing
#   .ci/peers.sh --snac   print where snac is
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
project=$root/cmd/sealgate/testdata/peers
cache=${SEALGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sealgate}
snac=$cache/snac2

trap 'exit 1' INT TERM # so that what EXIT cleans up is cleaned up

say() { printf 'peers: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || die "$1 is missing: $2"; }

# The cache is keyed by everything that decides what npm installs.
modules_dir() {
	key=$(cat "$project/package-lock.json" "$project/.npmrc" | sha256sum | cut -c1-16)
	printf '%s/peers-%s-node%s' "$cache" "$key" "$(node -p process.versions.modules)"
}

install_modules() {
	need npm "install Node 20 or newer with npm"
	need make "sqlite3 is built from source: install make, g++ and python3"
	need g++ "sqlite3 is built from source: install make, g++ and python3"
	need python3 "sqlite3 is built from source: install make, g++ and python3"
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/new-modules-XXXXXX")
	trap 'rm -rf "$work"' EXIT
	cp "$project/package.json" "$project/package-lock.json" "$project/.npmrc" "$work/"
	say "installing the npm peers (once, about two minutes)"
	(cd "$work" && npm ci --ignore-scripts --loglevel=error >&2) || die "npm ci failed: is the npm registry reachable?"
	# Headers that came with node spare a download.
	prefix=$(dirname "$(dirname "$(command -v node)")")
	[ -e "$prefix/include/node/node.h" ] && export npm_config_nodedir="$prefix"
	(cd "$work" && npm rebuild sqlite3 --build-from-source --ignore-scripts=false --loglevel=error >"$work/sqlite3.log" 2>&1) ||
		{ tail -n 20 "$work/sqlite3.log" >&2; die "sqlite3 did not build"; }
	rm -rf "$work/node_modules/sqlite3/build/Release/obj.target" "$work/node_modules/sqlite3/build/Release/.deps"
	# A second run that was faster wins; both are equal.
	mv -T "$work" "$1" 2>/dev/null || [ -d "$1/node_modules" ] || die "cannot write $1"
	trap - EXIT
	rm -rf "$work"
}

# Fetches the .deb: from what apt knows already, else from this release's
# backports, else from the release itself, of the archive this machine uses.
download_snac() {
	need apt-get "snac2 comes from Debian: on another system put a snac binary at $snac/usr/bin/snac"
	if apt-cache show snac2 2>/dev/null | grep -q '^Package: snac2$'; then
		(cd "$1" && apt-get -q download snac2 >&2) && return
	fi
	release=$(. /etc/os-release && printf %s "${VERSION_CODENAME:-}")
	archive=$(apt-get indextargets --format '$(RELEASE) $(CODENAME) $(COMPONENT) $(REPO_URI)' "Created-By: Packages" |
		awk -v r="$release" '($1 == r || $2 == r) && $3 == "main" { print $4; exit }')
	[ -n "$archive" ] || die "apt has no source for $release main: snac2 cannot be fetched"
	download_snac_from "$1" "$archive" "$release-backports" ||
		download_snac_from "$1" "$archive" "$release" ||
		die "neither $release-backports nor $release gave snac2: is the archive reachable?"
}

# A private apt directory: the machine's own lists stay as they are.
download_snac_from() {
	ring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -r "$ring" ] || die "$ring is missing: install debian-archive-keyring"
	apt=$1/apt-$3
	mkdir -p "$apt/lists/partial" "$apt/archives/partial"
	echo "deb [signed-by=$ring] $2 $3 main" >"$apt/sources.list"
	private_apt() {
		apt-get -q -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
			-o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt" -o APT::Sandbox::User=root "$@" >&2
	}
	private_apt update && (cd "$1" && private_apt download snac2)
}

install_snac() {
	need dpkg "snac2 comes as a Debian package: install dpkg"
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/new-snac-XXXXXX")
	trap 'rm -rf "$work"' EXIT
	say "fetching snac2"
	download_snac "$work"
	mkdir "$work/root"
	dpkg -x "$work"/snac2_*.deb "$work/root"
	"$work/root/usr/bin/snac" 2>&1 | grep -qi snac ||
		die "snac does not start: $(ldd "$work/root/usr/bin/snac" | grep 'not found' || true) (install libcurl4 and libssl3)"
	mv -T "$work/root" "$1" 2>/dev/null || [ -x "$1/usr/bin/snac" ] || die "cannot write $1"
	rm -rf "$work"
	trap - EXIT
}

# What is missing of the Debian packages, by the programs they bring.
missing_packages() {
	command -v nginx >/dev/null 2>&1 || echo nginx
	command -v h2load >/dev/null 2>&1 || echo nghttp2-client
	command -v sslscan >/dev/null 2>&1 || echo sslscan
	command -v haproxy >/dev/null 2>&1 || echo haproxy
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql
	command -v ruby >/dev/null 2>&1 || echo ruby
	command -v redis-server >/dev/null 2>&1 || echo redis-server
	command -v chromium >/dev/null 2>&1 || echo chromium fonts-liberation
	command -v strace >/dev/null 2>&1 || echo strace
	[ -x /lib/systemd/systemd ] || echo systemd
	command -v ip >/dev/null 2>&1 || echo iproute2
}

install_packages() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || die "missing Debian packages:" $1
	say "installing" $1
	DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $1 >&2 ||
		die "apt-get did not install" $1 "(is the archive reachable? apt-get update)"
}

need node "the peers are npm packages: install Node 20 or newer with npm"
PATH=$PATH:/usr/sbin:/sbin # nginx
modules=$(modules_dir)
packages=$(missing_packages | tr '\n' ' ')
if [ "${1:-}" = --snac ]; then
	printf '%s\n' "$snac/usr/bin/snac"
elif [ "${1:-}" = --check ]; then
	[ -d "$modules/node_modules" ] || die "the npm peers are not installed: run .ci/peers.sh"
	[ -x "$snac/usr/bin/snac" ] || die "snac2 is not installed: run .ci/peers.sh"
	[ -z "$packages" ] || die "missing Debian packages:" $packages
else
	[ -d "$modules/node_modules" ] || install_modules "$modules"
	[ -x "$snac/usr/bin/snac" ] || install_snac "$snac"
	[ -z "$packages" ] || install_packages "$packages"
	"$root/.ci/tools.sh" toxiproxy >/dev/null
	# Somebody's own npm ci in the project is left alone.
	[ -d "$project/node_modules" ] && [ ! -L "$project/node_modules" ] ||
		ln -sfn "$modules/node_modules" "$project/node_modules"
fi
