package configs

import (
	"maps"
	"slices"
	"strings"
)

// nearest returns the key that an unknown one was probably meant to be, or "". The right name in the
// wrong section is nearer than a misspelling.
func nearest(unknown string, keys map[string]leaf) string {
	names := map[string]bool{}
	for key := range keys {
		names[key] = true
		for i := range key {
			if key[i] == '.' {
				names[key[:i]] = true
			}
		}
	}
	best, least := "", 0
	for _, key := range slices.Sorted(maps.Keys(names)) {
		if d := farness(unknown, key); d <= tolerance(unknown) && (best == "" || d < least) {
			best, least = key, d
		}
	}
	return best
}

// tolerance is how many letters may be wrong.
func tolerance(s string) int {
	return max(1, min(3, len(s[strings.LastIndexByte(s, '.')+1:])/3))
}

func farness(unknown, key string) int {
	const most = 100
	if len(unknown) > most {
		return most
	}
	whole := distance(strings.ToLower(strings.ReplaceAll(unknown, "-", "_")), key)
	if lastPart(unknown) == lastPart(key) {
		return min(whole, 1)
	}
	return whole
}

func lastPart(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// distance is Levenshtein's, in bytes; letters that only changed places count as one.
func distance(a, b string) int {
	if a != b && slices.Equal(slices.Sorted(slices.Values([]byte(a))), slices.Sorted(slices.Values([]byte(b)))) {
		return 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
