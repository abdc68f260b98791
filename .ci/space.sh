#!/bin/sh
# Says at once when a disk has too little room for what is to come, instead of late and oddly.
#   .ci/space.sh MIB DIRECTORY [MIB DIRECTORY…]    what each will take; those on one disk share it
set -eu

while [ $# -gt 0 ]; do
	mkdir -p "$2"
	df -Pk "$2" | awk -v need="$1" -v directory="$2" 'END {
		free = $4
		sub(/^([^ ]+ +)+[0-9]+% +/, "") # what is left is where it is mounted
		print need "\t" int(free / 1024) "\t" $0 "\t" directory
	}'
	shift 2
done | awk -F '\t' '
	{ need[$3] += $1; free[$3] = $2; where[$3] = where[$3] (where[$3] ? " and " : "") $4 }
	END {
		for (disk in need) if (free[disk] < need[disk]) {
			printf "space: %d MiB are free for %s, and %d are needed: free some, or set TMPDIR or GOCACHE to another disk\n", free[disk], where[disk], need[disk]
			short = 1
		}
		exit short
	}' >&2
