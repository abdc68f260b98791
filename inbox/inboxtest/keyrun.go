package inboxtest

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// RunKeys holds the stores that open makes, new and empty, to the contract of
// inbox.KeyStore, and the directory over them to its promise that no package is
// handed to two.
func RunKeys(t *testing.T, open func(t *testing.T, clock func() time.Time) inbox.KeyStore) {
	t.Helper()
	tests := []struct {
		name string
		f    func(t *testing.T, b *keyBench)
	}{
		{"NothingIsEmpty", testNoKeys},
		{"PoolComesBackWhole", testPoolWhole},
		{"ErrorChangesNothing", testChangeFails},
		{"ContentLivesWithItsPackage", testContent},
		{"TraceIsMadeOnce", testTraces},
		{"History", testHistory},
		{"BytesAreOwned", testKeyBytesAreOwned},
		{"ChangesAreSerial", testSerial},
		{"ClaimsAreDistinct", testClaims},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &keyBench{clock: NewClock()}
			b.KeyStore = open(t, b.clock.Now)
			test.f(t, b)
		})
	}
}

type keyBench struct {
	inbox.KeyStore
	clock *Clock
}

func (b *keyBench) change(t *testing.T, o inbox.Owner, f func(*inbox.Change)) {
	t.Helper()
	if err := b.ChangePool(t.Context(), o, func(c *inbox.Change) error { f(c); return nil }); err != nil {
		t.Fatalf("ChangePool: %v", err)
	}
}

func (b *keyBench) pool(t *testing.T, o inbox.Owner) inbox.Pool {
	t.Helper()
	p, err := b.Pool(t.Context(), o)
	if err != nil {
		t.Fatalf("Pool: %v", err)
	}
	return p
}

// SamplePackage is a package in every field, with the n-th id.
func SamplePackage(n int, now time.Time) inbox.Package {
	now = now.Truncate(time.Second).UTC()
	return inbox.Package{
		ID: fmt.Sprintf("package-%04d", n), N: uint64(n), Activity: fmt.Sprintf("activity-%d", n),
		Aliases: []string{fmt.Sprintf("uri:uuid:%d", n), "another"}, Device: "device", Suite: 7,
		Ref: bytes.Repeat([]byte{byte(n)}, 48), Signer: [32]byte{1, byte(n)}, State: inbox.Used,
		LastResort: true, Verified: true, Published: now, NotAfter: now.Add(time.Hour), Size: 1234,
		Hold: inbox.Hold{By: "somebody", Until: now.Add(time.Minute)},
	}
}

func testNoKeys(t *testing.T, b *keyBench) {
	if p := b.pool(t, "nobody"); !reflect.DeepEqual(p, inbox.Pool{}) {
		t.Errorf("pool %+v", p)
	}
	if _, err := b.Content(t.Context(), "nobody", "x"); !errors.Is(err, inbox.ErrNoPackage) {
		t.Errorf("Content: %v", err)
	}
	if _, err := b.Trace(t.Context(), "x"); !errors.Is(err, inbox.ErrNoPackage) {
		t.Errorf("Trace: %v", err)
	}
	if es, err := b.History(t.Context(), "nobody", 0, 10); err != nil || len(es) != 0 {
		t.Errorf("History: %v %v", es, err)
	}
}

func testPoolWhole(t *testing.T, b *keyBench) {
	now := b.clock.Now()
	at := now.Truncate(time.Second).UTC()
	want := inbox.Pool{
		Packages: []inbox.Package{SamplePackage(1, now), SamplePackage(2, now), SamplePackage(300, now)},
		Devices:  []inbox.Device{{ID: "device", Name: "Ein Gerät", Keys: [][]byte{{1}, {2, 3}}, First: at}, {ID: "other", First: at}},
		Notices:  []inbox.Notice{{Kind: inbox.NewDevice, At: at, Device: "other", Name: "x", Package: "p", Others: []string{"a", "b"}}},
		Log:      inbox.Head{Count: 7, Hash: [32]byte{9}},
	}
	want.Packages[1].Hold, want.Packages[1].Aliases, want.Packages[1].State = inbox.Hold{}, nil, inbox.Proposed
	want.Packages[1].LastResort, want.Packages[1].Verified = false, false
	b.change(t, "bob", func(c *inbox.Change) { c.Pool = want })
	if got := b.pool(t, "bob"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := b.pool(t, "bobby"); len(got.Packages) != 0 {
		t.Errorf("another owner has %d packages", len(got.Packages))
	}
	b.change(t, "bob", func(c *inbox.Change) {
		c.Packages[0].State = inbox.Listed
		c.Packages = c.Packages[:2]
	})
	got := b.pool(t, "bob")
	if len(got.Packages) != 2 || got.Packages[0].State != inbox.Listed || !reflect.DeepEqual(got.Devices, want.Devices) {
		t.Errorf("after a change: %+v", got)
	}
}

func testChangeFails(t *testing.T, b *keyBench) {
	now := b.clock.Now()
	b.change(t, "bob", func(c *inbox.Change) { c.Packages = []inbox.Package{SamplePackage(1, now)} })
	want := b.pool(t, "bob")
	wrong := errors.New("the rules say no")
	err := b.ChangePool(t.Context(), "bob", func(c *inbox.Change) error {
		c.Packages[0].State = inbox.Listed
		c.Packages = append(c.Packages, SamplePackage(2, now))
		c.Contents = map[string][]byte{SamplePackage(2, now).ID: {1}}
		c.Traces = []inbox.Trace{{Name: "never", Until: now.Add(time.Hour)}}
		return wrong
	})
	if !errors.Is(err, wrong) {
		t.Errorf("ChangePool: %v", err)
	}
	if got := b.pool(t, "bob"); !reflect.DeepEqual(got, want) {
		t.Errorf("the pool changed: %+v", got)
	}
	if _, err := b.Trace(t.Context(), "never"); !errors.Is(err, inbox.ErrNoPackage) {
		t.Errorf("the trace was made: %v", err)
	}
}

func testContent(t *testing.T, b *keyBench) {
	now := b.clock.Now()
	one, two := SamplePackage(1, now), SamplePackage(2, now)
	b.change(t, "bob", func(c *inbox.Change) {
		c.Packages = []inbox.Package{one, two}
		c.Contents = map[string][]byte{one.ID: []byte("first"), two.ID: bytes.Repeat([]byte("x"), 90_000)}
	})
	b.wantContent(t, one.ID, "first")
	b.wantContent(t, two.ID, string(bytes.Repeat([]byte("x"), 90_000)))
	if _, err := b.Content(t.Context(), "eve", one.ID); !errors.Is(err, inbox.ErrNoPackage) {
		t.Errorf("another owner's content: %v", err)
	}
	b.change(t, "bob", func(c *inbox.Change) {
		c.Contents = map[string][]byte{one.ID: []byte("second")}
		c.Packages = c.Packages[:1]
	})
	b.wantContent(t, one.ID, "second")
	if _, err := b.Content(t.Context(), "bob", two.ID); !errors.Is(err, inbox.ErrNoPackage) {
		t.Errorf("content of a package that has gone: %v", err)
	}
}

func (b *keyBench) wantContent(t *testing.T, id, want string) {
	t.Helper()
	if got, err := b.Content(t.Context(), "bob", id); err != nil || string(got) != want {
		t.Errorf("content of %s: %.20q, %v", id, got, err)
	}
}

func testTraces(t *testing.T, b *keyBench) {
	until := b.clock.Now().Add(time.Hour).Truncate(time.Second).UTC()
	leave := func(names ...string) error {
		return b.ChangePool(t.Context(), "bob", func(c *inbox.Change) error {
			for _, n := range names {
				c.Traces = append(c.Traces, inbox.Trace{Name: n, Owner: "bob", Device: "d", Until: until})
			}
			c.Log.Count++
			return nil
		})
	}
	if err := leave("a", "b"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Trace(t.Context(), "b"); err != nil || got != (inbox.Trace{Name: "b", Owner: "bob", Device: "d", Until: until}) {
		t.Errorf("Trace: %+v %v", got, err)
	}
	for _, names := range [][]string{{"a"}, {"c", "b"}, {"c", "c"}} {
		if err := leave(names...); !errors.Is(err, inbox.ErrReused) {
			t.Errorf("%q again: %v", names, err)
		}
	}
	if _, err := b.Trace(t.Context(), "c"); !errors.Is(err, inbox.ErrNoPackage) {
		t.Errorf("half of a refused change was kept: %v", err)
	}
	if n := b.pool(t, "bob").Log.Count; n != 1 {
		t.Errorf("refused changes changed the pool: %d", n)
	}
	b.clock.Advance(until.Sub(b.clock.Now()))
	if _, err := b.Trace(t.Context(), "a"); err != nil {
		t.Errorf("in its last second: %v", err)
	}
	if err := leave("a"); !errors.Is(err, inbox.ErrReused) {
		t.Errorf("again in its last second: %v", err)
	}
	b.clock.Advance(2 * time.Second)
	if _, err := b.Trace(t.Context(), "a"); !errors.Is(err, inbox.ErrNoPackage) {
		t.Errorf("after its time: %v", err)
	}
	until = until.Add(2 * time.Hour)
	if err := leave("a"); err != nil {
		t.Errorf("after its time: %v", err)
	}
}

func testHistory(t *testing.T, b *keyBench) {
	at := b.clock.Now().Truncate(time.Second).UTC()
	var want []inbox.LogEntry
	for n := range uint64(9) {
		want = append(want, inbox.LogEntry{
			N: n + 1, Previous: [32]byte{byte(n)}, Time: at, Action: inbox.ActionUpdate, Package: fmt.Sprint("p", n), Device: "d",
			Suite: 3, Ref: []byte{1, 2}, SignatureKey: [32]byte{7}, Signature: bytes.Repeat([]byte{byte(n)}, 64),
		})
	}
	b.change(t, "bob", func(c *inbox.Change) { c.Entries = want[:4] })
	b.change(t, "bob", func(c *inbox.Change) { c.Entries = want[4:] })
	b.change(t, "eve", func(c *inbox.Change) { c.Entries = want[:1] })
	for _, c := range []struct {
		after uint64
		limit int
		want  []inbox.LogEntry
	}{{0, 100, want}, {0, 3, want[:3]}, {3, 4, want[3:7]}, {8, 5, want[8:]}, {9, 5, nil}, {0, 0, nil}} {
		got, err := b.History(t.Context(), "bob", c.after, c.limit)
		if err != nil || len(got) != len(c.want) || len(got) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("History after %d limit %d: %+v %v", c.after, c.limit, got, err)
		}
	}
}

func testKeyBytesAreOwned(t *testing.T, b *keyBench) {
	now := b.clock.Now()
	one, content := SamplePackage(1, now), []byte("content")
	b.change(t, "bob", func(c *inbox.Change) {
		c.Packages, c.Contents = []inbox.Package{one}, map[string][]byte{one.ID: content}
	})
	content[0], one.Ref[0], one.Aliases[0] = 'X', 'X', "X"
	b.wantContent(t, one.ID, "content")
	p := b.pool(t, "bob")
	if !reflect.DeepEqual(p.Packages[0], SamplePackage(1, now)) {
		t.Errorf("the store kept its caller's slices: %+v", p.Packages[0])
	}
	p.Packages[0].Ref[0], p.Packages[0].Aliases[0] = 'Y', "Y"
	got, err := b.Content(t.Context(), "bob", one.ID)
	if err != nil {
		t.Fatal(err)
	}
	got[0] = 'Y'
	b.wantContent(t, one.ID, "content")
	if q := b.pool(t, "bob"); !reflect.DeepEqual(q.Packages[0], SamplePackage(1, now)) {
		t.Errorf("the store gave its own slices: %+v", q.Packages[0])
	}
}

func testSerial(t *testing.T, b *keyBench) {
	const each = 20
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range each {
				o := inbox.Owner(fmt.Sprint(w % 2))
				err := b.ChangePool(t.Context(), o, func(c *inbox.Change) error {
					c.Log.Count++
					one := SamplePackage(int(c.Log.Count), b.clock.Now())
					c.Packages = append(c.Packages, one)
					c.Contents = map[string][]byte{one.ID: fmt.Append(nil, w, i)}
					return nil
				})
				if err != nil {
					t.Errorf("ChangePool: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, o := range []inbox.Owner{"0", "1"} {
		p := b.pool(t, o)
		if p.Log.Count != 8*each || len(p.Packages) != 8*each {
			t.Errorf("owner %s: %d counted, %d packages", o, p.Log.Count, len(p.Packages))
		}
	}
}

// NewDirectory is a directory over a store with a key of its own.
func NewDirectory(store inbox.KeyStore, clock func() time.Time) *inbox.Directory {
	return inbox.NewDirectory(inbox.DirectoryOptions{
		Store: store, Clock: clock, Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), LowWater: 5,
	})
}

// Fill publishes n packages of a client and gives them back.
func Fill(t testing.TB, d *inbox.Directory, o inbox.Owner, client *Client, n int) []inbox.Package {
	t.Helper()
	p := inbox.Publication{Owner: o, Actor: client.Actor, Activity: inbox.NewID()}
	for range n {
		p.Uploads = append(p.Uploads, inbox.Upload{ID: inbox.NewID(), Package: client.Package(), Content: []byte("{}"), Public: true})
	}
	out, err := d.Publish(t.Context(), p)
	if err != nil {
		t.Fatalf("Publish: %v", err)
	}
	return out
}

// testClaims lets a thousand requesters claim at once: as many packages are handed
// out as there are, each to one of them, and nobody gets two.
func testClaims(t *testing.T, b *keyBench) {
	const requesters, packages = 1000, 100
	d := NewDirectory(b.KeyStore, b.clock.Now)
	Fill(t, d, "bob", NewClient("https://social.example/users/bob", b.clock.Now()), packages)
	var mu sync.Mutex
	handed := map[string]int{}
	none := 0
	var wg sync.WaitGroup
	for i := range requesters {
		wg.Go(func() {
			got, err := d.Claim(t.Context(), "bob", inbox.Requester{ID: fmt.Sprint("https://peer.example/users/", i)})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil || len(got) > 1:
				t.Errorf("Claim: %d packages, %v", len(got), err)
			case len(got) == 0:
				none++
			default:
				handed[got[0].ID]++
			}
		})
	}
	wg.Wait()
	if len(handed) != packages || none != requesters-packages {
		t.Errorf("%d distinct packages of %d handed out, %d requesters got none", len(handed), packages, none)
	}
	for id, n := range handed {
		if n != 1 {
			t.Errorf("package %s was handed to %d requesters", id, n)
		}
	}
}
