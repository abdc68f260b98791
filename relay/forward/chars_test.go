package forward //nolint:testpackage // eight bytes are looked at together: which ones cannot be chosen from outside

import (
	"bytes"
	"testing"
)

// TestCleanValues: every byte in every place among others is judged by itself.
func TestCleanValues(t *testing.T) {
	for n := 1; n <= 17; n++ {
		for at := range n {
			for _, fill := range []byte{' ', '~', 0x80, 0xff, '\t'} {
				for c := range 256 {
					b := bytes.Repeat([]byte{fill}, n)
					b[at] = byte(c)
					want := c == '\t' || c >= 0x20 && c != 0x7f
					if cleanValue(b) != want {
						t.Fatalf("%q: %t", b, !want)
					}
				}
			}
		}
	}
}
