package relay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What is wrong with what a client posts to an outbox.
var (
	errPosted  = errors.New("relay: malformed activity")
	errOthers  = errors.New("relay: somebody else's")
	errKeyRule = errors.New("relay: key package breaks a rule")
)

// maxNesting bounds how deep the objects of an activity are looked for.
const maxNesting = 16

// posted is the envelope of an activity of a client's, MLS or not, with where its
// parts stand in the document.
type posted struct {
	doc     []byte
	list    []member // of the activity
	kind    string
	actor   string
	target  string
	names   []string   // ids of the objects, or what stands in their place
	objects []postedAt // those with content, in order
}

// postedAt is one embedded object.
type postedAt struct {
	at   span
	list []member
}

// readPosted reads any JSON object; what is not one is errPosted.
func readPosted(doc []byte) (*posted, error) {
	doc = bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf"))
	if !json.Valid(doc) {
		return nil, fmt.Errorf("%w: it is not JSON", errPosted)
	}
	list, err := members(doc, span{0, len(doc)})
	if err != nil {
		return nil, fmt.Errorf("%w: it is not one JSON object", errPosted)
	}
	p := &posted{doc: doc, list: list}
	for _, m := range list {
		switch plainName(m.name) {
		case "type":
			p.kind = first(p.texts(m.value))
		case "actor":
			p.actor = first(p.texts(m.value))
		case "target":
			p.target = first(p.texts(m.value))
		case "object":
			p.walk(m.value, 0)
		}
	}
	p.kind = plainName(p.kind)
	return p, nil
}

// plainName takes a vocabulary's prefix off a term, and the @ off JSON-LD's id and
// type.
func plainName(term string) string {
	for _, prefix := range [...]string{
		"mls:", "as:",
		"https://purl.archive.org/socialweb/mls#", "http://purl.archive.org/socialweb/mls#",
		"https://www.w3.org/ns/activitystreams#", "http://www.w3.org/ns/activitystreams#",
	} {
		if rest, ok := strings.CutPrefix(term, prefix); ok {
			return rest
		}
	}
	if term == "@id" || term == "@type" {
		return term[1:]
	}
	return term
}

// texts are the strings a value holds: itself, its elements, or its id.
func (p *posted) texts(at span) []string {
	value := p.doc[at.from:at.to]
	var one string
	if json.Unmarshal(value, &one) == nil {
		return []string{one}
	}
	var many []json.RawMessage
	if json.Unmarshal(value, &many) == nil {
		var out []string
		for _, v := range many {
			if json.Unmarshal(v, &one) == nil {
				out = append(out, one)
			}
		}
		return out
	}
	list, err := members(p.doc, at)
	if err != nil {
		return nil
	}
	for _, m := range list {
		if plainName(m.name) == "id" && json.Unmarshal(p.doc[m.value.from:m.value.to], &one) == nil {
			return []string{one}
		}
	}
	return nil
}

// walk gathers the objects of an activity: one, several, or those in a Collection.
func (p *posted) walk(at span, depth int) {
	if depth > maxNesting {
		return
	}
	switch p.doc[at.from] {
	case '"':
		p.names = append(p.names, p.texts(at)...)
	case '[':
		for _, e := range elements(p.doc, at) {
			p.walk(e, depth+1)
		}
	case '{':
		p.walkObject(at, depth)
	}
}

func (p *posted) walkObject(at span, depth int) {
	list, err := members(p.doc, at)
	if err != nil {
		return
	}
	inner := slices.IndexFunc(list, func(m member) bool {
		return slices.Contains([]string{"items", "orderedItems"}, plainName(m.name))
	})
	if inner >= 0 {
		p.walk(list[inner].value, depth+1)
		return
	}
	p.names = append(p.names, first(p.texts(at)))
	if slices.ContainsFunc(list, func(m member) bool { return plainName(m.name) == "content" }) {
		p.objects = append(p.objects, postedAt{at, list})
	}
}

// elements lists those of the array at doc[in.from:in.to], which is valid JSON.
func elements(doc []byte, in span) (out []span) {
	for i := skipBlank(doc, in.from+1); doc[i] != ']'; i = skipBlank(doc, i) {
		if doc[i] == ',' {
			i = skipBlank(doc, i+1)
		}
		end := skipValue(doc, i)
		out = append(out, span{i, end})
		i = end
	}
	return out
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// withIDs is the activity with ids of ours: its own, and those of its objects in
// order. Every other byte of the members stays.
func (p *posted) withIDs(activity string, objects []string) []byte {
	var out []byte
	from := 0
	for i, o := range p.objects {
		if i >= len(objects) {
			break
		}
		out = append(out, p.doc[from:o.at.from]...)
		out = append(out, renamed(p.doc, o.list, objects[i])...)
		from = o.at.to
	}
	out = append(out, p.doc[from:]...)
	list, err := members(out, span{0, len(out)})
	if err != nil {
		panic("bug: an activity with ids is no JSON object: " + err.Error())
	}
	return renamed(out, list, activity)
}

// renamed is an object with another id, which comes first or behind its @context.
func renamed(doc []byte, list []member, id string) []byte {
	out := []byte{'{'}
	write := func(name string, value []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, quote(name)...), ':'), value...)
	}
	if len(list) > 0 && list[0].name == "@context" {
		write("@context", doc[list[0].value.from:list[0].value.to])
		list = list[1:]
	}
	write("id", quote(id))
	for _, m := range list {
		if name := plainName(m.name); name != "id" && name != "bto" && name != "bcc" {
			write(m.name, doc[m.value.from:m.value.to])
		}
	}
	return append(out, '}')
}
