package mls_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/inbox/mls"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// official loads a file of the official MLS vectors, which live beside the repository.
func official[T any](t *testing.T, name string) (entries []T) {
	t.Helper()
	dir := os.Getenv("SEALGATE_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "vectors")
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if os.IsNotExist(err) {
		t.Skipf("NOT TESTED: the official MLS vectors are absent: %v; put them in ../shared/vectors or name their directory in SEALGATE_VECTORS", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &entries); err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestOfficialMessagesReencode(t *testing.T) {
	entries := official[map[string]hexBytes](t, "messages.json")
	if len(entries) != 300 {
		t.Fatalf("%d entries, want 300", len(entries))
	}
	kinds := map[string]string{
		"mls_welcome": mls.KindWelcome, "mls_group_info": mls.KindGroupInfo, "mls_key_package": mls.KindKeyPackage,
		"public_message_application": mls.KindApplication, "public_message_proposal": mls.KindProposal,
		"public_message_commit": mls.KindCommit, "private_message": "",
	}
	for i, entry := range entries {
		if len(entry) != 17 {
			t.Fatalf("entry %d has %d structures, want 17", i, len(entry))
		}
		for name, b := range entry {
			kind, whole := kinds[name]
			if !whole {
				again, err := mls.Recode(name, b)
				if err != nil || !bytes.Equal(again, b) {
					t.Fatalf("entry %d: %s: %v, re-encoded %x, want %x", i, name, err, again, []byte(b))
				}
				continue
			}
			m, err := mls.Parse(b)
			if err != nil {
				t.Fatalf("entry %d: %s: %v", i, name, err)
			}
			if !m.Framed || kind != "" && m.Kind() != kind {
				t.Errorf("entry %d: %s: framed %v, kind %q", i, name, m.Framed, m.Kind())
			}
			if again := m.AppendTo(nil); !bytes.Equal(again, b) {
				t.Fatalf("entry %d: %s: re-encoded %x, want %x", i, name, again, []byte(b))
			}
		}
	}
}

// Every proper prefix of a message and every message with a byte more is malformed.
func TestOfficialMessagesTruncated(t *testing.T) {
	for i, entry := range official[map[string]hexBytes](t, "messages.json")[:20] {
		for name, b := range entry {
			parse := func(b []byte) error { _, err := mls.Recode(name, b); return err }
			if strings.HasPrefix(name, "mls_") || strings.Contains(name, "message") {
				parse = func(b []byte) error { _, err := mls.Parse(b); return err }
			}
			for n := range b {
				if parse(b[:n]) == nil {
					t.Fatalf("entry %d: %s: the first %d of %d bytes parse", i, name, n, len(b))
				}
			}
			if parse(append(bytes.Clone(b), 0)) == nil {
				t.Fatalf("entry %d: %s: parses with a byte after its end", i, name)
			}
		}
	}
}

func TestOfficialLengths(t *testing.T) {
	type entry struct {
		Header hexBytes `json:"vlbytes_header"`
		Length int      `json:"length"`
	}
	entries := official[entry](t, "deserialization.json")
	if len(entries) != 14 {
		t.Fatalf("%d entries, want 14", len(entries))
	}
	for _, e := range entries {
		n, header, err := mls.VectorHeader(e.Header, e.Length)
		if err != nil || n != e.Length || !bytes.Equal(header, e.Header) {
			t.Errorf("%x: length %d (%v), re-encoded %x; want %d", []byte(e.Header), n, err, header, e.Length)
		}
	}
}
