package storage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/storage"
)

func somebody(name, account string) mastodon.Person {
	return mastodon.Person{Name: name, Account: account, Actor: "https://social.example/users/" + name}
}

// leave leaves rows of every kind that p can have. Whoever adds a kind adds its rows here.
func leave(t *testing.T, s *storage.Store, p mastodon.Person) {
	t.Helper()
	ctx, o := t.Context(), inbox.Owner(p.Account)
	former := p
	former.Name, former.Actor = "old"+p.Name, "https://social.example/users/old"+p.Name
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(s.Remember(ctx, former))
	check(s.Remember(ctx, p))
	big := inboxtest.Sample(o, 1)
	big.Activity = []byte(`{"text":"` + strings.Repeat(p.Name+" got this ", 50_000) + `"}`) // several parts
	appendOne(t, s, inboxtest.Sample(o, 0))
	appendOne(t, s, big)
	for _, name := range []string{"push/", "devices/", "reports/"} {
		check(s.Keep(ctx, name+p.Account, []byte(`{"of":"`+p.Name+`"}`)))
	}
	check(s.KeepAnswer(ctx, p.Account, "https://troll.example/users/x", []byte(`{"Blocking":true}`)))
	until := time.Now().Add(time.Hour)
	hash := oauth.Hash{}
	copy(hash[:], p.Name)
	check(s.Change(ctx, oauth.Change{
		Notes:   []oauth.Note{{Hash: hash, Account: p.Account, Until: until}, {Hash: oauth.Hash(append([]byte("x"), hash[:31]...)), Grant: &oauth.Grant{Account: p.Account}, Until: until}},
		Devices: []oauth.Device{{ID: "phone", Account: p.Account, Login: "secret login", RefreshEnds: until}},
	}))
	for n, kind := range []string{"welcome", "commit", "commit"} {
		m := inboxtest.Sample(o, 100+n)
		m.Kind, m.Fate, m.Context = kind, inbox.Await, "uri:uuid:1"
		if kind == "welcome" {
			m.Group = nil
		}
		appendOne(t, s, m)
	}
	id := fmt.Sprintf("https://social.example/e2ee/activities/%x", p.Name) // as the gateway makes them: of nobody
	sender := outbox.Sender{Account: p.Account, Name: p.Name, Actor: p.Actor}
	_, err := s.Submit(ctx, outbox.Submission{
		Sent:       outbox.Sent{Names: []string{id, p.Actor + "#2"}, Actor: p.Actor, Body: bytes.Repeat([]byte(p.Name), 300_000)},
		Deliveries: []outbox.Delivery{{Place: outbox.Place{Lane: outbox.Lane{p.Name[0]}}, Sender: sender, Host: "peer.example"}},
		Lesson:     inbox.Lesson{Owner: o, Group: []byte("group"), Members: []string{"https://peer.example/users/x"}}, // the request is due
		Turn:       &outbox.Turn{Group: []byte("of " + p.Name), Commit: true, Account: p.Account, Device: "phone", Against: []inbox.Owner{o}},
		Thread:     outbox.Thread{ID: s.ThreadID([]byte("of " + p.Name)), Readers: []string{p.Actor}}, Activity: id,
	})
	check(err)
	decided := entryOf(policy.FirstDecisionID(time.Now()), time.Now())
	decided.Case.Recipient, decided.Knock.Recipient, decided.Case.Actor.ID = p.Account, p.Account, p.Actor
	check(s.Record(ctx, []policy.Entry{decided}))
	inboxtest.Fill(t, inboxtest.NewDirectory(s, time.Now), o, inboxtest.NewClient(p.Actor, time.Now()), 3)
}

// TestErase: of one person everything can be shown and nothing is left; another's rows stay, to the byte.
func TestErase(t *testing.T) {
	zoe, bob := somebody("zoe", "4711"), somebody("bob", "815")
	with := options(t.TempDir())
	with.Share = 64 << 20
	s := open(t, with)
	leave(t, s, bob)
	before, err := s.KindsThere()
	if err != nil {
		t.Fatal(err)
	}
	bobs := export(t, s, bob)
	leave(t, s, zoe)
	checkKinds(t, export(t, s, zoe))
	checkFading(t, s)

	found, err := s.Whom(t.Context(), "@Zoe")
	if err != nil || found != zoe {
		t.Fatalf("Whom: %+v, %v", found, err)
	}
	n, err := s.Erase(t.Context(), zoe)
	if err != nil || n < 20 {
		t.Fatalf("erased %d rows, %v", n, err)
	}
	for _, text := range []string{zoe.Actor, "zoe", `"` + zoe.Account + `"`, "#" + zoe.Account, "/" + zoe.Account} {
		if left, err := s.Mentions(zoe, text); err != nil || len(left) > 0 {
			t.Errorf("%q is still in %v, %v", text, left, err)
		}
	}
	after, err := s.KindsThere()
	for first, what := range storage.Kinds() {
		if after[first] != before[first] && !strings.ContainsRune("cegj", rune(first)) { // those go by themselves
			t.Errorf("%d rows of kind %s, %d before zoe came, %v", after[first], what, before[first], err)
		}
	}
	if again := export(t, s, bob); again != bobs {
		t.Error("bob has other rows now")
	}
	if u, err := s.Usage(t.Context(), "4711"); err != nil || u != (inbox.Usage{}) {
		t.Errorf("zoe has %+v, %v", u, err)
	}
	if _, err := s.Whom(t.Context(), "zoe"); err == nil {
		t.Error("zoe is still known")
	}
	appendOne(t, s, inboxtest.Sample("4711", 0)) // and could come back
}

func export(t *testing.T, s *storage.Store, p mastodon.Person) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := s.Export(t.Context(), p, &out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "secret login") {
		t.Error("the export has what lets its reader act as the person")
	}
	return out.String()
}

// checkKinds: every kind of row that can be a person's is in the export of one who has them all.
func checkKinds(t *testing.T, exported string) {
	t.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(exported) {
		var one struct {
			Table string
			Key   []byte
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil || len(one.Key) == 0 {
			t.Fatalf("%q: %v", line, err)
		}
		seen[one.Table] = true
	}
	for first, what := range storage.Kinds() {
		if storage.Personal(first) && !seen[what] {
			t.Errorf("kind %q (%s) is not in the export: leave one in leave", first, what)
		}
	}
}

// checkFading: of every kind that fades there are rows, too, so that Erase has looked for the person's hashes in them.
func checkFading(t *testing.T, s *storage.Store) {
	t.Helper()
	there, err := s.KindsThere()
	if err != nil {
		t.Fatal(err)
	}
	for first, what := range storage.Kinds() {
		if there[first] == 0 {
			t.Errorf("kind %q (%s) is not in the store: leave one in leave", first, what)
		}
	}
}

// TestEveryKindSaysWhose: each first byte of a key that there is stands in kinds, which says whose rows of it are (Kinds
// panics if not); rows of another cannot be written.
func TestEveryKindSaysWhose(t *testing.T) {
	known, found := storage.Kinds(), 0
	for _, name := range []string{"keys.go", "keypool.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\t\w+Key\s+= '(.)'`).FindAllSubmatch(source, -1) {
			if found++; known[m[1][0]] == "" {
				t.Errorf("kind %s of %s does not say whose its rows are", m[1], name)
			}
		}
	}
	if found != len(known) {
		t.Errorf("%d kinds were found in the source, %d say whose they are", found, len(known))
	}
}

// TestKindsAreDocumented: in the key table of the package and in the retention table of the operator.
func TestKindsAreDocumented(t *testing.T) {
	source, err := os.ReadFile("storage.go")
	if err != nil {
		t.Fatal(err)
	}
	operations, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for first, what := range storage.Kinds() {
		if !bytes.Contains(source, fmt.Appendf(nil, "\n//\t%c", first)) {
			t.Errorf("kind %q is not in the key table of storage.go", first)
		}
		if !bytes.Contains(operations, []byte("\n| "+what+" |")) {
			t.Errorf("%q is not in the retention table of docs/operations.md", what)
		}
	}
}

// TestRotateKey: the store goes on under its new key while it is written and read, and the old one opens it no more.
func TestRotateKey(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	appendOne(t, s, inboxtest.Sample("bob", 1<<30))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- writeUntil(ctx, s, 0) }()
	for n := byte(2); n < 6; n++ {
		if err := s.RotateKey(t.Context(), key(n)); err != nil {
			t.Fatal(err)
		}
		if es, err := s.After(t.Context(), "bob", 0, 1); err != nil || len(es) != 1 {
			t.Errorf("%d messages, %v", len(es), err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	u, err := s.Usage(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	refuses(t, o, storage.ErrKey, "storage.encryption_key")
	o.Key = key(5)
	if again, err := open(t, o).Usage(t.Context(), "bob"); err != nil || again.Total < u.Total || again.Total > u.Total+1 { // one was under way
		t.Errorf("%+v, want %+v, %v", again, u, err)
	}
}
