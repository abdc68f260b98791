package count_test

import (
	"net/netip"
	"testing"

	"github.com/sealgate/sealgate/relay/count"
)

// TestCensus: an IPv6 /64 is one client, however an IPv4 address is written it is the same, and nobody is never refused.
func TestCensus(t *testing.T) {
	f := func(first, second string, together bool) {
		t.Helper()
		c := count.Census{Limit: 1}
		a, b := netip.MustParseAddr(first), netip.MustParseAddr(second)
		if !c.Enter(a) {
			t.Fatalf("%s was refused", a)
		}
		if c.Enter(b) == together {
			t.Errorf("%s and %s: counted together is not %v", a, b, together)
		}
		c.Leave(a)
		if !c.Enter(a) {
			t.Errorf("%s was not forgotten", a)
		}
	}
	f("192.0.2.1", "192.0.2.1", true)
	f("192.0.2.1", "::ffff:192.0.2.1", true)
	f("192.0.2.1", "192.0.2.2", false)
	f("2001:db8::1", "2001:db8::ffff", true)
	f("fe80::1%eth0", "fe80::2%eth1", true)
	f("2001:db8::1", "2001:db8:0:1::1", false)

	c := count.Census{Limit: 1}
	for range 3 {
		if !c.Enter(netip.Addr{}) {
			t.Error("nobody was refused")
		}
		c.Leave(netip.Addr{})
	}
}
