package policy

import (
	"slices"
	"strings"
)

// maxDiffCells bounds the work of one comparison; maxDiffBytes what is kept of it.
const (
	maxDiffCells = 1 << 22
	maxDiffBytes = 64 << 10
)

// diff says line by line how b differs from a: lines that went begin with -, new
// ones with +. The same texts differ by "".
func diff(a, b string) string {
	old, now := lines(a), lines(b)
	for len(old) > 0 && len(now) > 0 && old[0] == now[0] {
		old, now = old[1:], now[1:]
	}
	for len(old) > 0 && len(now) > 0 && old[len(old)-1] == now[len(now)-1] {
		old, now = old[:len(old)-1], now[:len(now)-1]
	}
	var out strings.Builder
	for _, line := range edits(old, now) {
		if out.Len()+len(line) > maxDiffBytes {
			out.WriteString("… and more\n")
			break
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// edits is the shortest way from old to now, by the longest common subsequence;
// without it when that would cost too much.
func edits(old, now []string) []string {
	common := make([][]int, len(old)+1)
	if len(old)*len(now) > maxDiffCells {
		return append(prefixed("-", old), prefixed("+", now)...)
	}
	for i := range common {
		common[i] = make([]int, len(now)+1)
	}
	for i, line := range slices.Backward(old) {
		for j, other := range slices.Backward(now) {
			if line == other {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	i, j := 0, 0
	for i < len(old) && j < len(now) {
		switch {
		case old[i] == now[j]:
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			out, i = append(out, "-"+old[i]), i+1
		default:
			out, j = append(out, "+"+now[j]), j+1
		}
	}
	return append(append(out, prefixed("-", old[i:])...), prefixed("+", now[j:])...)
}

func prefixed(sign string, lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = sign + line
	}
	return out
}
