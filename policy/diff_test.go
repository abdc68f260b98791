package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/policy"
)

func TestDiff(t *testing.T) {
	f := func(want, a, b string) {
		t.Helper()
		if got := policy.Diff(a, b); got != want {
			t.Errorf("%.80q to %.80q: %.80q (%d bytes), want %.80q (%d)", a, b, got, len(got), want, len(want))
		}
	}
	f("", "", "")
	f("", "a\nb\n", "a\nb")
	f("+a\n", "", "a\n")
	f("-a\n", "a\n", "")
	f("-b\n", "a\nb\nc", "a\nc")
	f("+b\n", "a\nc", "a\nb\nc")
	f("-b\n+x\n", "a\nb\nc", "a\nx\nc")
	f("-a\n+d\n", "a\nb\nc", "b\nc\nd")
	f("-a\n+a\n", "a\nb", "b\na")
	f("+x\n-b\n+y\n", "a\nb\nc\nd", "x\na\nc\ny\nd")
	var many [3]strings.Builder
	for n := range 3000 {
		for i := range many {
			fmt.Fprintf(&many[i], "%c%d\n", 'a'+i, n)
		}
	}
	common, old, now := many[0].String(), many[1].String(), many[2].String()
	f("-x\n+y\n", common+"x", common+"y") // what is the same costs nothing
	f("-x\n+y\n", "x\n"+common, "y\n"+common)
	f("-b"+strings.ReplaceAll(strings.TrimSuffix(old, "\n")[1:], "\nb", "\n-b")+"\n-same\n+same\n"+
		"+c"+strings.ReplaceAll(now[1:], "\nc", "\n+c"), old+"same", "same\n"+now) // too much to compare
	long := strings.Repeat("x", 64<<10-1)
	f("+"+long+"\n", "", long)
	f("… and more\n", "", long+"x")
}
