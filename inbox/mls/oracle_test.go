package mls_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"log/slog"
	"os"
	"testing"
	"time"

	mlsgo "github.com/thomas-vilte/mls-go"
	"github.com/thomas-vilte/mls-go/ciphersuite"
	"github.com/thomas-vilte/mls-go/framing"
	"github.com/thomas-vilte/mls-go/keypackages"

	"github.com/sealgate/sealgate/inbox/mls"
)

var update = flag.Bool("update", false, "write testdata/mlsgo.json anew")

const (
	alice = "https://one.example/users/alice"
	bob   = "https://two.example/users/bob"
)

// conversation is one entry of testdata/mlsgo.json: what two real clients said to each
// other, in hex. Messages are framed, the key package is bare.
type conversation struct {
	Client     string            `json:"client"`
	Suite      mls.Suite         `json:"suite"`
	Time       time.Time         `json:"time"`
	Owner      string            `json:"owner"` // of the key package
	KeyPackage string            `json:"key_package"`
	Group      string            `json:"group"`
	Messages   map[string]string `json:"messages"` // by kind
}

// A real client makes a group, invites and writes in every suite it has; what it made goes
// through Parse and AppendTo before another real client uses it, up to the plain text.
func TestRealClientsUnderstandWhatIsReencoded(t *testing.T) {
	var all []conversation
	for _, suite := range []ciphersuite.CipherSuite{1, 2, 3, 5} {
		t.Run(mls.Suite(suite).String(), func(t *testing.T) {
			all = append(all, converse(t, suite))
		})
	}
	if !*update {
		return
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/mlsgo.json", append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func converse(t *testing.T, suite ciphersuite.CipherSuite) conversation {
	a, b := newClient(t, alice, suite), newClient(t, bob, suite)
	c := conversation{Client: "mls-go 1.6.0", Suite: mls.Suite(suite), Time: time.Now().UTC(), Owner: bob, Messages: map[string]string{}}

	raw := must(b.FreshKeyPackageBytes(t.Context()))(t)
	k := agreeOnKeyPackage(t, raw)
	c.KeyPackage = tohex(raw)

	group := must(a.CreateGroup(t.Context()))(t)
	c.Group = tohex(group)
	_, welcome, err := a.InviteMember(t.Context(), group, parse(t, raw).AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	welcome = c.pass(t, mls.KindWelcome, welcome)
	if refs := parse(t, welcome).WelcomeRefs(); len(refs) != 1 || !bytes.Equal(refs[0], must(k.Ref())(t)) {
		t.Errorf("the Welcome names %x, the package is %x", refs, must(k.Ref())(t))
	}
	must(b.JoinGroup(t.Context(), welcome))(t)

	text := c.pass(t, mls.KindApplication, must(a.SendMessage(t.Context(), group, []byte("hello, bob")))(t))
	got := must(b.ReceiveMessage(t.Context(), group, text))(t)
	if string(got.Plaintext) != "hello, bob" {
		t.Errorf("bob read %q", got.Plaintext)
	}

	commit := c.pass(t, mls.KindCommit, must(b.SelfUpdate(t.Context(), group))(t))
	if err := a.ProcessCommit(t.Context(), group, commit); err != nil {
		t.Errorf("alice refuses bob's commit: %v", err)
	}
	carol := newClient(t, "https://one.example/users/carol", suite)
	carolsPackage := must(carol.FreshKeyPackageBytes(t.Context()))(t)
	c.pass(t, mls.KindProposal, must(a.ProposeAddMember(t.Context(), group, carolsPackage))(t))
	info := must(b.GroupInfo(t.Context(), group))(t)
	c.pass(t, mls.KindGroupInfo, (&framing.MLSMessage{GroupInfo: info}).Marshal())
	return c
}

// pass sends a message through Parse and AppendTo and remembers it.
func (c *conversation) pass(t *testing.T, kind string, b []byte) []byte {
	t.Helper()
	m := parse(t, b)
	if m.Kind() != kind || !m.Framed {
		t.Errorf("kind %s, framed %v; want %s", m.Kind(), m.Framed, kind)
	}
	if group, _, ok := m.Group(); ok && tohex(group) != c.Group {
		t.Errorf("%s: group %x, want %s", kind, group, c.Group)
	}
	again := m.AppendTo(nil)
	if !bytes.Equal(again, b) {
		t.Fatalf("%s: re-encoded %x, want %x", kind, again, b)
	}
	c.Messages[kind] = tohex(b)
	return again
}

// agreeOnKeyPackage compares what the other implementation and this one make of a package.
func agreeOnKeyPackage(t *testing.T, raw []byte) *mls.KeyPackage {
	t.Helper()
	k := parse(t, raw).KeyPackage
	verdict, err := k.Check(mls.CheckOptions{Identity: bob, Now: time.Now(), MaxLifetime: 400 * 24 * time.Hour})
	if err != nil || verdict != mls.Verified {
		t.Errorf("a real client's package is %q: %v", verdict, err)
	}
	theirs, err := keypackages.UnmarshalKeyPackage(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.Verify(theirs.CipherSuite); err != nil {
		t.Errorf("mls-go: %v", err)
	}
	if l := theirs.LeafNode.Lifetime; l.NotBefore != k.Leaf.Lifetime.NotBefore || l.NotAfter != k.Leaf.Lifetime.NotAfter {
		t.Errorf("lifetime %v, mls-go reads %v", k.Leaf.Lifetime, l)
	}
	if !bytes.Equal(theirs.InitKey, k.InitKey) || !bytes.Equal(theirs.LeafNode.EncryptionKey, k.Leaf.EncryptionKey) {
		t.Error("the two read different keys")
	}
	return k
}

func newClient(t *testing.T, identity string, suite ciphersuite.CipherSuite) *mlsgo.Client {
	t.Helper()
	c, err := mlsgo.NewClient([]byte(identity), suite, mlsgo.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
