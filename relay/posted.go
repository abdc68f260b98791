package relay

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/sealgate/sealgate/relay/splice"
)

// What is wrong with what a client posts to an outbox.
var (
	errPosted  = errors.New("relay: malformed activity")
	errOthers  = errors.New("relay: somebody else's")
	errKeyRule = errors.New("relay: key package breaks a rule")
)

// maxNesting bounds how deep the objects of an activity are looked for.
const maxNesting = 16

// posted is the envelope of an activity of a client's, MLS or not, without bto and bcc.
type posted struct {
	splice.Object

	kind    string
	actor   string
	target  string
	names   []string        // ids of the objects, or what stands in their place
	authors []string        // of the objects
	objects []splice.Object // those with content, in order
}

// readPosted reads any JSON object; what is not one is errPosted.
func readPosted(doc []byte) (*posted, error) {
	o, err := splice.Parse(bytes.TrimPrefix(doc, []byte("\xef\xbb\xbf")))
	if err == nil {
		doc, _, err = o.Unaddressed()
	}
	if err == nil {
		o, err = splice.Parse(doc)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPosted, err)
	}
	p := &posted{
		Object: o, kind: splice.Term(first(o.IDs("type"))), actor: first(o.IDs("actor")), target: first(o.IDs("target")),
	}
	for _, m := range o.Members {
		if m.Term == "object" {
			p.walk(o, m, 0)
		}
	}
	return p, nil
}

// walk gathers the objects of an activity: one, several, or those in a Collection.
func (p *posted) walk(in splice.Object, m splice.Member, depth int) {
	if depth > maxNesting {
		return
	}
	objects, names := in.Parts(m)
	p.names = append(p.names, names...)
	for _, o := range objects {
		inner := slices.IndexFunc(o.Members, func(m splice.Member) bool { return m.Term == "items" || m.Term == "orderedItems" })
		if inner >= 0 {
			p.walk(o, o.Members[inner], depth+1)
			continue
		}
		p.names = append(p.names, first(o.IDs("id")))
		p.authors = append(append(p.authors, o.IDs("attributedTo")...), o.IDs("actor")...)
		if _, ok := o.Find("content"); ok {
			p.objects = append(p.objects, o)
		}
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// withIDs is the activity with ids of ours: its own, and those of its objects in
// order. Every other byte stays.
func (p *posted) withIDs(activity string, objects []string) []byte {
	edits := p.Set(splice.Field{Term: "id", Value: activity})
	for i, o := range p.objects[:min(len(objects), len(p.objects))] {
		edits = append(edits, o.Set(splice.Field{Term: "id", Value: objects[i]})...)
	}
	return splice.Apply(p.Doc, edits)
}
