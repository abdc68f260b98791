// Package activity reads the ActivityStreams envelope around an MLS message: it says whether a body is
// MLS at all, and takes from it what routing and admission need.
//
// It never fetches or requires an @context, never re-encodes a body and never looks inside the MLS
// bytes. What it reads is hostile: every reading another JSON parser could have of a body counts when
// the question is whether MLS is in it, and only bodies with exactly one reading are accepted as MLS.
//
// Specification: "MLS over ActivityPub" (draft of 28 July 2026), ActivityStreams 2.0, RFC 8259.
package activity

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

// ErrNotMLS means that nothing in the body is MLS, however broken it is otherwise: forward it untouched.
var ErrNotMLS = errors.New("activity: not MLS")

// ErrMalformed means that the body is or mentions MLS and cannot be accepted. It is wrapped with a
// sentence the sender can act on; such a body is never forwarded.
var ErrMalformed = errors.New("activity: malformed MLS activity")

// maxValues bounds the tree built for an MLS body, whatever the configured limits: a mebibyte of "0,0,0"
// would otherwise become a hundred times as much memory.
const maxValues = 1 << 16

// Limits bounds MLS bodies (limits.json_depth, limits.json_keys). Zero leaves the parser's own bounds:
// depth 300, 65536 values. Bodies that are not MLS are never measured.
type Limits struct {
	Depth int // nesting of objects and arrays, the outermost counts 1
	Keys  int // object members in the whole body
}

// Activity is the envelope of an MLS activity. Raw borrows the body given to Parse; all else is copied.
type Activity struct {
	ID    string // as written; "" when missing
	Type  string // without prefix: "Create"
	Actor string // never ""

	To, CC, BTo, BCC, Audience []string // ids in order, deduplicated, as written

	Context      string // the AS2 context, never the @context
	Conversation string
	Instrument   string   // the sending device, as an id
	Objects      []Object // the MLS objects in document order, at least one
	Raw          []byte   // the body as it came, less a leading byte order mark
}

// Object is one MLS object of an activity. All of it is the sender's claim.
type Object struct {
	ID           string   // "" when missing or empty
	Types        []string // without prefix, in order
	AttributedTo string
	MediaType    string
	Encoding     string
	To           []string // to ∪ cc ∪ audience
	Context      string
	Conversation string
	CipherSuite  string
	Generator    string // its id, or its name when it has no id
	Published    string
	Content      []byte // decoded; nil only in activities other than Create and Update
}

// Parse classifies body and reads its envelope.
//
// The error is ErrNotMLS, or wraps ErrMalformed. Parse is linear in the body, uses no stack that grows
// with it, allocates nothing for ordinary bodies without NUL bytes and stray escapes, and is safe for concurrent use.
func Parse(body []byte, l Limits) (*Activity, error) {
	if !Mentions(body) {
		return nil, ErrNotMLS
	}
	text := bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) // RFC 8259 §8.1 lets a reader ignore it
	w := walker{text: text}
	if err := w.walk(); err != nil {
		return nil, malformed("it mentions MLS and is not JSON in UTF-8 (%v)", err)
	}
	if !w.mls {
		return nil, ErrNotMLS
	}
	if err := l.check(&w); err != nil {
		return nil, err
	}
	v, err := new(fastjson.Parser).ParseBytes(text)
	if err != nil {
		return nil, malformed("%v", err)
	}
	r := reader{lone: w.lone}
	return r.activity(v, text)
}

// check refuses what is MLS and too large, or not one text to every reader.
func (l Limits) check(w *walker) error {
	if l.Depth <= 0 || l.Depth > fastjson.MaxDepth {
		l.Depth = fastjson.MaxDepth
	}
	switch {
	case w.depth > l.Depth:
		return malformed("it nests deeper than %d (limits.json_depth)", l.Depth)
	case l.Keys > 0 && w.keys > l.Keys:
		return malformed("it has more than %d keys (limits.json_keys)", l.Keys)
	case w.values > maxValues:
		return malformed("it has more than %d values", maxValues)
	case !utf8.Valid(w.text):
		return malformed("it is not UTF-8 (RFC 8259 §8.1)")
	}
	return nil
}

// Named is whom the activity itself names where everybody sees it (To ∪ CC ∪ Audience, Public included), in that order
// without repetition.
func (a *Activity) Named() []string { return union(a.To, a.CC, a.Audience) }

// Recipients is everybody whom the activity or one of its objects is addressed to (ActivityPub §6.2 has both say the same),
// in that order without repetition, Public included.
func (a *Activity) Recipients() []string {
	lists := [][]string{a.To, a.CC, a.Audience, a.BTo, a.BCC}
	for _, o := range a.Objects {
		lists = append(lists, o.To)
	}
	return union(lists...)
}

func union(lists ...[]string) []string {
	var ids idSet
	for _, list := range lists {
		for _, id := range list {
			ids.add(id)
		}
	}
	return ids.list
}

// Tag is what the sender calls the conversation: the first context or conversation that the activity or
// one of its objects has.
func (a *Activity) Tag() string {
	tag := cmp.Or(a.Context, a.Conversation)
	for _, o := range a.Objects {
		tag = cmp.Or(tag, o.Context, o.Conversation)
	}
	return tag
}

// Threads are the contexts and conversations that the activity and its objects name, in that order,
// the activity's own first.
func (a *Activity) Threads() []string {
	var ids idSet
	ids.add(a.Context)
	ids.add(a.Conversation)
	for _, o := range a.Objects {
		ids.add(o.Context)
		ids.add(o.Conversation)
	}
	return ids.list
}

// IsPublic reports whether id is the Public collection in one of its spellings (ActivityPub §5.6).
func IsPublic(id string) bool {
	return Term(id) == "Public"
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
