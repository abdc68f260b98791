package mls_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

// peerFile is what the scripts in cmd/sealgate/testdata/peers write: every kind of message
// one client makes, in every suite it has.
type peerFile struct {
	Generator string
	Vectors   []peerVector
}

type peerVector struct {
	Name       string
	Suite      mls.Suite
	Framed     bool
	WireFormat string `json:"wire_format"`
	Hex        hexBytes
}

func peerFiles(t testing.TB) (all []peerFile) {
	t.Helper()
	for _, name := range []string{"testdata/ts-mls.json", "testdata/openmls.json"} {
		var f peerFile
		if err := json.Unmarshal(must(os.ReadFile(name))(t), &f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(f.Vectors) == 0 {
			t.Fatalf("%s has no vectors", name)
		}
		all = append(all, f)
	}
	return all
}

func TestPeersMessages(t *testing.T) {
	formats := map[string]mls.WireFormat{
		"public_message": mls.FormatPublicMessage, "private_message": mls.FormatPrivateMessage,
		"welcome": mls.FormatWelcome, "group_info": mls.FormatGroupInfo, "key_package": mls.FormatKeyPackage,
	}
	for _, f := range peerFiles(t) {
		for _, v := range f.Vectors {
			t.Run(f.Generator+" "+v.Name+" "+v.Suite.String(), func(t *testing.T) {
				m := parse(t, v.Hex)
				if m.Framed != v.Framed || m.WireFormat != formats[v.WireFormat] {
					t.Errorf("framed %v, wire format %d; want %v, %s", m.Framed, m.WireFormat, v.Framed, v.WireFormat)
				}
				if again := m.AppendTo(nil); !bytes.Equal(again, v.Hex) {
					t.Errorf("re-encoded %x, want %x", again, []byte(v.Hex))
				}
				v.checkBody(t, m)
			})
		}
	}
}

func (v *peerVector) checkBody(t *testing.T, m *mls.Message) {
	t.Helper()
	switch {
	case m.KeyPackage != nil:
		v.checkKeyPackage(t, m.KeyPackage)
	case m.Public != nil:
		for _, k := range added(m) {
			v.checkKeyPackage(t, &k)
		}
	case m.Welcome != nil && len(m.WelcomeRefs()) != 1:
		t.Errorf("the Welcome names %x", m.WelcomeRefs())
	}
}

// checkKeyPackage holds a peer's package to every rule. Those that ts-mls makes by default
// last for ever, which is policy and no fault of the rest.
func (v *peerVector) checkKeyPackage(t *testing.T, k *mls.KeyPackage) {
	t.Helper()
	if err := k.VerifySignatures(); err != nil {
		t.Error(err)
	}
	const forEver = 1<<63 - 1
	want := map[bool]error{true: mls.ErrLifetime}[k.Leaf.Lifetime.NotAfter == forEver]
	o := mls.CheckOptions{
		Identity: string(k.Leaf.Credential.Identity), Now: time.Unix(int64(k.Leaf.Lifetime.NotBefore), 0), MaxLifetime: 400 * 24 * time.Hour,
	}
	if _, err := k.Check(o); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
	if k.Suite != v.Suite || k.LastResort() != strings.Contains(v.Name, "last resort") {
		t.Errorf("suite %s, last resort %v", k.SuiteName(), k.LastResort())
	}
}
