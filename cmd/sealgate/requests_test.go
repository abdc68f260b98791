package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay/admin"
	"github.com/sealgate/sealgate/relay/admin/page"
	"github.com/sealgate/sealgate/storage"
)

// TestRequestsCommands lists, accepts and drops message requests and severs a host, on a store at rest.
func TestRequestsCommands(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "sealgate.yaml")
	if err := os.WriteFile(file, []byte("domain: social.example\nadmin: {socket: ./none.sock}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := configs.Load(file, func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	key, err := storeKey(config.Storage)
	if err != nil {
		t.Fatal(err)
	}
	o := storeOptions(config)
	o.Key = key
	s, err := storage.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	person := mastodon.Person{Account: "1", Name: "alice", Actor: "https://social.example/users/alice"}
	if err := s.Remember(t.Context(), person); err != nil {
		t.Fatal(err)
	}
	mailboxes := inbox.New(inbox.Options{Store: s})
	directory, err := openKeys(config, s, mailboxes, nil)
	if err != nil {
		t.Fatal(err)
	}
	packages := inboxtest.Fill(t, directory, "1", inboxtest.NewClient(person.Actor, time.Now()), 5)
	knock := func(s *storage.Store, n int, actor string) {
		t.Helper()
		m := inboxtest.Sample("1", n)
		m.Actor, m.Kind, m.Group, m.Fate = actor, "welcome", nil, inbox.Await
		m.Activity = fmt.Appendf(nil, `{"id":"%s/%d","type":"Create","actor":%q,"to":%q,"object":{"type":"Welcome","mediaType":"message/mls","content":%q}}`,
			actor, n, actor, person.Actor, base64.StdEncoding.EncodeToString(inboxtest.Welcome(packages[n].Ref)))
		if rs, err := s.Append(t.Context(), []inbox.Message{m}); err != nil || !rs[0].Waits {
			t.Fatal(rs, err)
		}
	}
	knock(s, 0, "https://far.example/users/a")
	knock(s, 1, "https://far.example/users/b")
	again := func(n int, actor string) {
		t.Helper()
		s, err := storage.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		knock(s, n, actor)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var counted []page.Waiting
	err = doorkeeper{s, mailboxes}.waiting(t.Context(), func(w page.Waiting) { counted = append(counted, w) })
	if err != nil || len(counted) != 2 || counted[0].Domain != "far.example" || counted[0].Messages != 1 || counted[0].Since.IsZero() {
		t.Errorf("the operator's page counts %+v, %v", counted, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	run := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := execute(t.Context(), append(append([]string{"requests"}, args...), "--config", file), &out, &errs); code != want {
			t.Errorf("%v: exit %d, %s%s", args, code, out.String(), errs.String())
		}
		return out.String()
	}
	list := func() (out admin.RequestList) {
		t.Helper()
		if err := json.Unmarshal([]byte(run(0, "list", "--json")), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	all := list()
	if len(all.Requests) != 2 || all.Requests[0].Person != "alice" || all.Requests[0].Messages != 1 {
		t.Fatalf("%+v", all)
	}
	run(2, "accept", all.Requests[0].ID)
	run(1, "accept", "nothing", "--person", "alice")
	run(1, "accept", all.Requests[0].ID, "--person", "bob")
	run(0, "accept", all.Requests[0].ID, "--person", "alice")
	used := packages[strings.Index("ab", all.Requests[0].Actor[len(all.Requests[0].Actor)-1:])] // what its Welcome names
	if left := openPackages(t, o); len(left) != 4 || slices.ContainsFunc(left, func(p inbox.Package) bool { return p.ID == used.ID }) {
		t.Errorf("after accepting the directory has %d packages, wanted without %s", len(left), used.ID)
	}
	run(0, "drop", all.Requests[1].ID, "--person", "alice")
	if now := list(); len(now.Requests) != 0 {
		t.Errorf("after accepting one and dropping the other: %+v", now)
	}
	run(1, "accept", all.Requests[1].ID, "--person", "alice")
	again(2, "https://far.example/users/c")
	if preview := run(0, "sever", "far.example"); !strings.Contains(preview, "preview") || !strings.Contains(preview, "1 requests") {
		t.Errorf("%s", preview)
	}
	if now := list(); len(now.Requests) != 1 || len(now.Severed) != 0 {
		t.Errorf("a preview did something: %+v", now)
	}
	run(0, "sever", "far.example", "--yes")
	if now := list(); len(now.Requests) != 0 || len(now.Severed) != 1 || now.Severed[0].Who != "far.example" {
		t.Errorf("%+v", now)
	}
	run(0, "sever", "far.example", "--undo")
	if now := list(); len(now.Severed) != 0 {
		t.Errorf("%+v", now)
	}
	run(1, "sever", "far.example", "--undo")
	run(1, "sever", "no host", "--yes")
	run(0, "sever", "https://far.example/users/a", "--yes", "--person", "alice")
	var history []policy.Change
	var out bytes.Buffer
	if code := execute(t.Context(), []string{"policy", "history", "--json", "--config", file}, &out, io.Discard); code != 0 {
		t.Fatal(code)
	}
	if err := json.Unmarshal(out.Bytes(), &history); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, c := range history {
		if c.Kind == policy.Severing && c.Who == "command" && !c.Time.IsZero() {
			said = append(said, c.Result)
		}
	}
	want := []string{"severed: far.example, for one person", "no longer severed: far.example, for everybody", "severed: far.example, for everybody"}
	if !slices.Equal(said, want) {
		t.Errorf("the change log says %q", said)
	}
}

// openPackages are the key packages of account 1 in a store at rest.
func openPackages(t *testing.T, o storage.Options) []inbox.Package {
	t.Helper()
	s, err := storage.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pool, err := inboxtest.NewDirectory(s, time.Now).Pool(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	return pool.Open(time.Now())
}

// TestAFailingStoreIsNotAnUnknownName: who decides for bob is told that the store failed, not that there is no bob.
func TestAFailingStoreIsNotAnUnknownName(t *testing.T) {
	s, err := storage.Open(storage.Options{Path: t.TempDir(), Key: make([]byte, storage.KeySize), Retention: time.Hour, Quota: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	door := doorkeeper{store: s, inbox: inbox.New(inbox.Options{Store: s})}
	severing := admin.Severing{Who: "far.example", Person: "bob"}
	ask := func() []error {
		_, listed := door.List(t.Context(), "bob")
		_, rejoined := door.Rejoin(t.Context(), severing)
		return []error{listed, door.Decide(t.Context(), "bob", "1", "drop"), rejoined}
	}
	unknown := func(err error) bool { return err != nil && strings.Contains(err.Error(), "nothing is kept here about") }
	for i, err := range ask() {
		if !unknown(err) {
			t.Errorf("%d: an unknown name: %v", i, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, err := range ask() {
		if err == nil || unknown(err) {
			t.Errorf("%d: a closed store: %v", i, err)
		}
	}
}
