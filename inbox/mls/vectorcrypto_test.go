package mls_test

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

func TestOfficialRefHashAndSignWithLabel(t *testing.T) {
	type entry struct {
		Suite   mls.Suite `json:"cipher_suite"`
		RefHash struct {
			Label      string
			Out, Value hexBytes
		} `json:"ref_hash"`
		Sign struct {
			Label                         string
			Content, Priv, Pub, Signature hexBytes
		} `json:"sign_with_label"`
	}
	entries := official[entry](t, "crypto-basics.json")
	if len(entries) != 7 {
		t.Fatalf("%d entries, want 7", len(entries))
	}
	for _, e := range entries {
		ref, err := e.Suite.RefHash(e.RefHash.Label, e.RefHash.Value)
		if err != nil || !bytes.Equal(ref, e.RefHash.Out) {
			t.Errorf("%s: RefHash %x (%v), want %x", e.Suite, ref, err, []byte(e.RefHash.Out))
		}
		s := e.Sign
		if err := e.Suite.VerifyWithLabel(s.Pub, s.Label, s.Content, s.Signature); err != nil {
			t.Errorf("%s: %v", e.Suite, err)
		}
		if err := e.Suite.VerifyWithLabel(s.Pub, s.Label+"x", s.Content, s.Signature); !errors.Is(err, mls.ErrSignature) {
			t.Errorf("%s: another label: %v", e.Suite, err)
		}
	}
}

// One package per suite, and the Welcome that names it.
func TestOfficialWelcomesNameTheirKeyPackage(t *testing.T) {
	type entry struct {
		Suite      mls.Suite `json:"cipher_suite"`
		KeyPackage hexBytes  `json:"key_package"`
		Welcome    hexBytes
	}
	entries := official[entry](t, "welcome.json")
	if len(entries) != 7 {
		t.Fatalf("%d entries, want 7", len(entries))
	}
	for _, e := range entries {
		k, w := parse(t, e.KeyPackage), parse(t, e.Welcome)
		ref, err := k.KeyPackage.Ref()
		if err != nil {
			t.Fatal(err)
		}
		if refs := w.WelcomeRefs(); len(refs) != 1 || !bytes.Equal(refs[0], ref) {
			t.Errorf("%s: the Welcome names %x, the package is %x", e.Suite, refs, ref)
		}
		bare := parse(t, e.KeyPackage[4:])
		if bare.Framed || bare.KeyPackage.SuiteName() != e.Suite.String() {
			t.Errorf("%s: bare package read as framed %v, suite %s", e.Suite, bare.Framed, bare.KeyPackage.SuiteName())
		}
		bareRef, err := bare.KeyPackage.Ref()
		if err != nil || !bytes.Equal(bareRef, ref) {
			t.Errorf("%s: the frame changes the ref: %x, %x (%v)", e.Suite, bareRef, ref, err)
		}
	}
}

// All key packages in the official vectors carry good signatures, and none verifies with a bit
// of its signed part changed.
func TestOfficialKeyPackageSignatures(t *testing.T) {
	verified := map[string]int{}
	for _, k := range officialKeyPackages(t) {
		if err := k.VerifySignatures(); err != nil {
			t.Fatalf("%s: %v", k.SuiteName(), err)
		}
		verified[k.SuiteName()]++
	}
	total := 0
	for suite, n := range verified {
		t.Logf("%4d %s", n, suite)
		total += n
	}
	if total != 607 || len(verified) != 7 {
		t.Errorf("%d packages of %d suites verified, want 607 of 7", total, len(verified))
	}
}

// Within their lifetime the vectors pass Check, but for two rules of policy that some break:
// a lifetime without end, and in suite 7 capabilities that leave the suite out.
func TestOfficialKeyPackagesAreRefusedByPolicyAlone(t *testing.T) {
	outcomes := map[string]int{}
	for _, k := range officialKeyPackages(t) {
		now := time.Unix(int64(k.Leaf.Lifetime.NotBefore), 0)
		verdict, err := k.Check(mls.CheckOptions{Identity: string(k.Leaf.Credential.Identity), Now: now, MaxLifetime: 400 * 24 * time.Hour})
		switch {
		case errors.Is(err, mls.ErrCapabilities) && k.Suite == mls.P384Aes256:
			outcomes["suite 7 not listed"]++
		case errors.Is(err, mls.ErrLifetime) && k.Leaf.Lifetime == (mls.Lifetime{NotAfter: 1<<64 - 1}):
			outcomes["endless lifetime"]++
		case err == nil:
			outcomes[string(verdict)]++
		default:
			t.Fatalf("%s, lifetime %d: %v", k.SuiteName(), k.Leaf.Lifetime, err)
		}
	}
	want := map[string]int{"suite 7 not listed": 1, "endless lifetime": 6, "verified": 600}
	if !maps.Equal(outcomes, want) {
		t.Errorf("outcomes %v, want %v", outcomes, want)
	}
}

func officialKeyPackages(t *testing.T) (all []*mls.KeyPackage) {
	t.Helper()
	for _, e := range official[map[string]any](t, "welcome.json") {
		all = append(all, parse(t, unhex(t, e["key_package"])).KeyPackage)
	}
	seen := map[string]bool{}
	add := func(b []byte) {
		if !seen[string(b)] {
			seen[string(b)] = true
			all = append(all, parse(t, b).KeyPackage)
		}
	}
	for _, e := range official[map[string]hexBytes](t, "messages.json") {
		add(e["mls_key_package"][4:])
		add(e["add_proposal"])
		for name := range e {
			if strings.HasPrefix(name, "public_message_") {
				for _, k := range added(parse(t, e[name])) {
					add(k.Encoding())
				}
			}
		}
	}
	return all
}

// added gives the packages a readable message adds to its group.
func added(m *mls.Message) (all []mls.KeyPackage) {
	if m.Public.ContentType == mls.ContentProposal && m.Public.Proposal.Type == mls.ProposalAdd {
		all = append(all, m.Public.Proposal.Add)
	}
	for p := range m.Public.Commit.Proposals.All() {
		if p.Ref == nil && p.Proposal.Type == mls.ProposalAdd {
			all = append(all, p.Proposal.Add)
		}
	}
	return all
}
