package mls_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/inbox/mls"
)

// private is a small valid PrivateMessage: group "g", epoch 1, application.
func private() []byte {
	b := vec(u16(nil, 1, 2), []byte("g"))
	b = append(binary.BigEndian.AppendUint64(b, 1), 1)
	return vec(vec(vec(b, []byte("aad")), []byte("sender")), []byte("ciphertext"))
}

// public is a PublicMessage of group "g", epoch 1, from sender, with content and what follows it.
func public(sender []byte, content ...byte) []byte {
	b := vec(u16(nil, 1, 1), []byte("g"))
	b = append(binary.BigEndian.AppendUint64(b, 1), sender...)
	return append(vec(b, nil), content...)
}

func member() []byte { return []byte{1, 0, 0, 0, 7} }

// commit is a Commit with one item in its list of proposals, and both tags.
func commit(item ...byte) []byte {
	b := append(vec([]byte{3}, item), 0)
	return public(member(), vec(vec(vec(b, []byte("signature")), []byte("confirmation")), []byte("membership"))...)
}

func TestStrictness(t *testing.T) {
	spoilt := func(f func([]byte)) []byte { b := private(); f(b); return b }
	external := []byte{2, 0, 0, 0, 1}
	for name, c := range map[string]struct {
		b    []byte
		want string // in the error; empty: it parses
	}{
		"private message":                {private(), ""},
		"nothing":                        {nil, "version at byte 0"},
		"one byte":                       {[]byte{0}, "version at byte 0"},
		"version 0":                      {spoilt(func(b []byte) { b[1] = 0 }), "version at byte 2: value 0x0000"},
		"version 2":                      {spoilt(func(b []byte) { b[1] = 2 }), "version at byte 2: value 0x0002"},
		"wire format 0":                  {spoilt(func(b []byte) { b[3] = 0 }), "wire_format at byte 4: value 0x0000"},
		"content type 0":                 {spoilt(func(b []byte) { b[14] = 0 }), "content_type at byte 15: value 0x0000"},
		"content type 4":                 {spoilt(func(b []byte) { b[14] = 4 }), "content_type at byte 15: value 0x0004"},
		"length 1 in two bytes":          {[]byte("\x00\x01\x00\x02\x40\x01g"), "private_message.group_id at byte 6: length 1 is written in 2 bytes where 1 would do"},
		"length 1 in four bytes":         {[]byte("\x00\x01\x00\x02\x80\x00\x00\x01g"), "length 1 is written in 4 bytes where 1 would do"},
		"length 64 in four bytes":        {[]byte("\x00\x01\x00\x02\x80\x00\x00\x40g"), "length 64 is written in 4 bytes where 2 would do"},
		"length that begins with 11":     {[]byte("\x00\x01\x00\x02\xc0\x00\x00\x00\x00\x00\x00\x01g"), "cannot begin with the bits 11"},
		"length of a gibibyte":           {[]byte("\x00\x01\x00\x02\xbf\xff\xff\xffg"), "1073741823 bytes announced, 1 left"},
		"length cut short":               {[]byte("\x00\x01\x00\x02\x80\x00"), "the message ends here"},
		"a byte after the end":           {append(private(), 0), "1 bytes after the end"},
		"public application":             {public(member(), vec(vec(vec([]byte{1}, []byte("hi")), nil), nil)...), ""},
		"public without membership tag":  {public(member(), vec(vec([]byte{1}, []byte("hi")), nil)...), "membership_tag"},
		"external with membership tag":   {public(external, vec(vec(vec([]byte{1}, []byte("hi")), nil), nil)...), "1 bytes after the end"},
		"external without":               {public(external, vec(vec([]byte{1}, []byte("hi")), nil)...), ""},
		"sender 0":                       {public([]byte{0}, vec(vec([]byte{1}, nil), nil)...), "sender.sender_type at byte 15: value 0x0000"},
		"sender 5":                       {public([]byte{5}, vec(vec([]byte{1}, nil), nil)...), "sender.sender_type at byte 15: value 0x0005"},
		"commit by reference":            {commit(vec([]byte{2}, []byte("ref"))...), ""},
		"commit by empty reference":      {commit(2, 0), ""},
		"commit with form 3":             {commit(3, 0), "commit.proposals.type"},
		"commit with a remove":           {commit(1, 0, 3, 0, 0, 0, 9), ""},
		"commit with a cut remove":       {commit(1, 0, 3, 0, 0, 9), "remove.removed"},
		"commit with proposal 0":         {commit(1, 0, 0), "proposal.proposal_type at byte 25: value 0x0000"},
		"commit with proposal 10":        {commit(1, 0, 10), "proposal.proposal_type at byte 25: value 0x000a"},
		"commit with a GREASE proposal":  {commit(1, 0x0a, 0x0a), "value 0x0a0a"},
		"external psk":                   {commit(1, 0, 4, 1, 1, 'i', 1, 'n'), ""},
		"resumption psk":                 {commit(1, 0, 4, 2, 3, 1, 'g', 0, 0, 0, 0, 0, 0, 0, 1, 1, 'n'), ""},
		"psk of type 3":                  {commit(1, 0, 4, 3, 1, 'i', 1, 'n'), "psk.psktype"},
		"resumption psk with usage 4":    {commit(1, 0, 4, 2, 4, 1, 'g', 0, 0, 0, 0, 0, 0, 0, 1, 1, 'n'), "psk.usage"},
		"reinit to a version to come":    {commit(1, 0, 5, 1, 'g', 0, 9, 0, 1, 0), ""},
		"commit with optional 2":         {bytes.Replace(commit(2, 0), []byte{2, 2, 0, 0, 9}, []byte{2, 2, 0, 2, 9}, 1), "an optional is marked 0 or 1, not 2"},
		"commit with a path that is not": {bytes.Replace(commit(2, 0), []byte{2, 2, 0, 0, 9}, []byte{2, 2, 0, 1, 9}, 1), "credential.credential_type"},
		"welcome for nobody":             {vec(vec(u16(nil, 1, 3, 1), nil), nil), ""},
		"welcome of a GREASE suite":      {vec(vec(u16(nil, 1, 3, 0xdada), vec(vec(vec(nil, []byte("ref")), nil), nil)), nil), ""},
		"welcome cut within its list":    {vec(vec(u16(nil, 1, 3, 1), []byte{1, 'r', 0}), nil), "ciphertext at byte 10"},
	} {
		m, err := mls.Parse(c.b)
		switch {
		case c.want == "" && (err != nil || !bytes.Equal(m.AppendTo(nil), c.b)):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (!errors.Is(err, mls.ErrMalformed) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestStrictKeyPackages(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*draft)
		want  string
	}{
		"credential type 0":     {func(d *draft) { d.credential[1] = 0 }, "credential.credential_type"},
		"credential type 3":     {func(d *draft) { d.credential[1] = 3 }, "value 0x0003 is not defined"},
		"GREASE credential":     {func(d *draft) { d.credential[0], d.credential[1] = 0x0a, 0x0a }, "value 0x0a0a is not defined"},
		"leaf source 0":         {func(d *draft) { d.source = 0 }, "leaf_node.leaf_node_source"},
		"leaf source 4":         {func(d *draft) { d.source = 4 }, "leaf_node.leaf_node_source"},
		"half an extension":     {func(d *draft) { d.extensions = []byte{0, 10} }, "extension_data"},
		"half a leaf extension": {func(d *draft) { d.leafExtensions = []byte{0} }, "extension_type"},
		"half a certificate":    {func(d *draft) { d.credential = vec(u16(nil, 2), []byte{9, 'x'}) }, "certificate.cert_data"},
	} {
		for suite := mls.Suite(1); suite <= 8; suite++ {
			d := newDraft(t, suite)
			c.spoil(d)
			for _, b := range [][]byte{d.bytes(t), append(u16(nil, 1, 5), d.bytes(t)...)} {
				if _, err := mls.Parse(b); !errors.Is(err, mls.ErrMalformed) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s, suite %d: %v, want %q", name, suite, err, c.want)
				}
			}
		}
	}
}

// Capabilities are lists of two-byte values.
func TestOddCapabilities(t *testing.T) {
	d := newDraft(t, 1)
	d.versions = []uint16{0x0101}
	b := bytes.Replace(d.bytes(t), []byte{2, 1, 1}, []byte{1, 1}, 1)
	if _, err := mls.Parse(b); !errors.Is(err, mls.ErrMalformed) || !strings.Contains(err.Error(), "capabilities.versions") {
		t.Errorf("%v", err)
	}
}

// What is borrowed can be appended to without writing into the message.
func TestAppendingToWhatIsBorrowed(t *testing.T) {
	b := private()
	m := parse(t, b)
	id, _, _ := m.Group()
	if _ = append(id, 0xff); !bytes.Equal(b, private()) {
		t.Errorf("the message is now %x", b)
	}
}

func TestGroupAndKind(t *testing.T) {
	m := parse(t, private())
	if id, epoch, ok := m.Group(); string(id) != "g" || epoch != 1 || !ok || m.Kind() != mls.KindApplication {
		t.Errorf("%q %d %v %s", id, epoch, ok, m.Kind())
	}
	if refs := m.WelcomeRefs(); refs != nil {
		t.Errorf("a message of a group names %x", refs)
	}
	k := parse(t, newDraft(t, 1).bytes(t))
	if _, _, ok := k.Group(); ok || k.Kind() != mls.KindKeyPackage {
		t.Errorf("a key package of group %v, kind %s", ok, k.Kind())
	}
}
