package activity

import (
	"errors"
	"slices"
	"strings"

	"github.com/valyala/fastjson"
)

// reader takes the envelope out of a document that is valid, bounded and MLS. The first thing wrong
// stays in err, and every later step does nothing.
type reader struct {
	lone bool // the document has half a surrogate pair somewhere
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) activity(v *fastjson.Value, raw []byte) (*Activity, error) {
	r.unique(v)
	if r.err != nil {
		return nil, r.err
	}
	top, err := single(v)
	if err != nil {
		return nil, malformed("it is not one activity (%v)", err)
	}
	a := &Activity{
		ID:           r.id(top, "id"),
		Actor:        r.id(top, "actor"),
		To:           r.ids(top, "to"),
		CC:           r.ids(top, "cc"),
		BTo:          r.ids(top, "bto"),
		BCC:          r.ids(top, "bcc"),
		Audience:     r.ids(top, "audience"),
		Context:      r.id(top, "context"),
		Conversation: r.id(top, "conversation"),
		Instrument:   r.id(top, "instrument"),
		Raw:          raw,
	}
	a.Type = firstType(r.types(top))
	r.objects(a, r.property(top, "object"))
	if r.err != nil {
		return nil, r.err
	}
	return a, a.complete()
}

// complete says what an activity lacks that is well formed so far.
func (a *Activity) complete() error {
	switch {
	case a.Type == "" || isTypeMLS(a.Type):
		return malformed("it has no activity type: an MLS object travels in the object of a Create or another activity")
	case a.Actor == "":
		return malformed("it has no actor")
	case len(a.Objects) == 0:
		return malformed("it has MLS, but not in its object")
	}
	if a.Type != "Create" && a.Type != "Update" {
		return nil
	}
	for _, o := range a.Objects {
		if o.Content == nil {
			return malformed("an object of the %s has no content", a.Type)
		}
	}
	return nil
}

// objects appends the MLS objects among v and what v holds: arrays, collections, activities in activities.
func (r *reader) objects(a *Activity, v *fastjson.Value) {
	switch {
	case v == nil || r.err != nil:
	case v.Type() == fastjson.TypeArray:
		for _, e := range v.GetArray() {
			r.objects(a, e)
		}
	case v.Type() == fastjson.TypeObject:
		if r.isMLS(v) {
			a.Objects = append(a.Objects, r.object(v))
		}
		v.GetObject().Visit(func(key []byte, e *fastjson.Value) {
			if isChainKey(Term(string(key))) {
				r.objects(a, e)
			}
		})
	}
}

func (r *reader) isMLS(v *fastjson.Value) bool {
	if slices.ContainsFunc(r.types(v), isTypeMLS) {
		return true
	}
	return slices.ContainsFunc(r.ids(v, "mediaType"), isMediaMLS)
}

func (r *reader) object(v *fastjson.Value) Object {
	o := Object{
		ID:           r.id(v, "id"),
		Types:        r.types(v),
		AttributedTo: r.id(v, "attributedTo"),
		MediaType:    r.id(v, "mediaType"),
		Encoding:     r.id(v, "encoding"),
		To:           union(r.ids(v, "to"), r.ids(v, "cc"), r.ids(v, "audience")),
		Context:      r.id(v, "context"),
		Conversation: r.id(v, "conversation"),
		CipherSuite:  r.id(v, "ciphersuite"),
		Generator:    r.generator(v),
		Published:    r.id(v, "published"),
	}
	if o.MediaType != "" && !isMediaMLS(o.MediaType) {
		r.fail(malformed("an MLS object has mediaType %q instead of message/mls", short(o.MediaType)))
	}
	if o.Encoding != "" && !strings.EqualFold(Term(o.Encoding), "base64") {
		r.fail(malformed("an MLS object has encoding %q instead of base64", short(o.Encoding)))
	}
	o.Content = r.content(v)
	return o
}

func (r *reader) content(v *fastjson.Value) []byte {
	p := r.property(v, "content")
	if p == nil {
		return nil
	}
	s, err := scalar(p)
	if err != nil {
		r.fail(malformed("content: %v", err))
		return nil
	}
	b, err := decodeBase64(s)
	if err != nil {
		r.fail(malformed("content: %v", err))
		return nil
	}
	return b
}

// generator returns the id of the generator, or the name of one without id.
func (r *reader) generator(v *fastjson.Value) string {
	p := r.property(v, "generator")
	if p == nil {
		return ""
	}
	if p.Type() == fastjson.TypeObject && r.property(p, "id") == nil {
		return r.id(p, "name")
	}
	return r.id(v, "generator")
}

func (r *reader) types(v *fastjson.Value) []string {
	list := r.ids(v, "type")
	for i, t := range list {
		list[i] = Term(t)
	}
	return list
}

func firstType(types []string) string {
	if len(types) == 0 {
		return ""
	}
	return types[0]
}

// errSeveral is about a property that must have one value.
var errSeveral = errors.New("it has several values")
