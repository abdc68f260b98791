package forward //nolint:testpackage // which links are kept cannot be seen from outside

import (
	"slices"
	"testing"
	"time"
)

// The latest used is used again; those unused for long go, and the others stay.
func TestPoolGivesUpTheOld(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := pool{limit: 4, links: make(map[*loop][]*link)}
	var links []*link
	for n := range 4 {
		l := &link{since: now.Add(time.Duration(n) * time.Second)}
		if !p.put(l) {
			t.Fatalf("no room for link %d", n)
		}
		links = append(links, l)
	}
	if p.put(new(link)) {
		t.Error("there is room for one too many")
	}
	if old := p.old(now.Add(2 * time.Second)); !slices.Equal(old, links[:2]) {
		t.Errorf("%d links are old, or others than the first two", len(old))
	}
	if !p.put(links[0]) {
		t.Error("what is gone takes room")
	}
	for _, want := range []*link{links[0], links[3], links[2], nil} {
		if l := p.take(nil); l != want {
			t.Errorf("took %v, want %v", l, want)
		}
	}
	if p.kept != 0 {
		t.Errorf("%d are kept, as it says", p.kept)
	}
}

// Who closes a connection right after it was kept may do so again, for a while.
func TestSilentClosersAreRemembered(t *testing.T) {
	t.Parallel()
	u, err := NewUpstream(UpstreamOptions{URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	u.noteClosed(&link{since: time.Now().Add(-2 * time.Second)})
	if u.closesSilently() {
		t.Error("closing what was unused for long is no offence")
	}
	u.noteClosed(&link{since: time.Now()})
	if !u.closesSilently() {
		t.Error("it is not remembered")
	}
	u.closed.Add(-2 * int64(silentCloser))
	if u.closesSilently() {
		t.Error("it is not forgotten")
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string][2]string{
		"http://a":          {"tcp", "a:80"},
		"http://a:3000/":    {"tcp", "a:3000"},
		"HTTP://[::1]:3000": {"tcp", "[::1]:3000"},
		"unix:/run/a":       {"unix", "/run/a"},
	} {
		network, address, err := parseURL(url)
		if got := [2]string{network, address}; got != want || err != nil {
			t.Errorf("%s: %v, %v", url, got, err)
		}
	}
}
