package splice

import (
	"cmp"
	"slices"
)

// Edit puts Text in the place of a span.
type Edit struct {
	Span

	Text string
}

// Insert is the Edit that puts text before the byte at.
func Insert(at int, text string) Edit { return Edit{Span{at, at}, text} }

// Apply is doc with the edits made, those at one place in their order. Spans do not overlap, but what is edited
// inside a span that is replaced goes with it.
func Apply(doc []byte, edits []Edit) []byte {
	slices.SortStableFunc(edits, func(a, b Edit) int { return cmp.Or(a.From-b.From, a.To-b.To) })
	size := len(doc)
	for _, e := range edits {
		size += len(e.Text)
	}
	out := make([]byte, 0, size)
	at := 0
	for _, e := range edits {
		if e.From < at {
			continue
		}
		out = append(append(out, doc[at:e.From]...), e.Text...)
		at = e.To
	}
	return append(out, doc[at:]...)
}

// Field is a property and the string it is given.
type Field struct{ Term, Value string }

// Set gives properties their values: in their place, or in front of the others. What is spelt twice stays once.
func (o Object) Set(fields ...Field) (edits []Edit) {
	front := ""
	for _, f := range fields {
		first := slices.IndexFunc(o.Members, func(m Member) bool { return m.Term == f.Term })
		if first < 0 {
			front += `"` + f.Term + `":` + Quote(f.Value) + ","
			continue
		}
		edits = append(edits, Edit{o.Members[first].Value, Quote(f.Value)})
		for i := first + 1; i < len(o.Members); i++ {
			if o.Members[i].Term == f.Term {
				edits = append(edits, o.behind(i))
			}
		}
	}
	if front != "" && len(o.Members) == 0 {
		front = front[:len(front)-1]
	}
	return append(edits, Insert(o.From+1, front))
}

// behind cuts member i and the comma before it.
func (o Object) behind(i int) Edit {
	return Edit{Span: Span{o.Members[i-1].Value.To, o.Members[i].Value.To}}
}

// Without cuts every member that is gone, commas and all.
func (o Object) Without(gone func(Member) bool) (edits []Edit) {
	kept := false
	for i, m := range o.Members {
		switch {
		case !gone(m):
			kept = true
		case kept:
			edits = append(edits, o.behind(i))
		case i+1 < len(o.Members):
			edits = append(edits, Edit{Span: Span{m.Key, o.Members[i+1].Key}})
		default:
			edits = append(edits, Edit{Span: Span{m.Key, m.Value.To}})
		}
	}
	return edits
}

// Unaddressed is the document of o without bto and bcc at any depth (ActivityPub §6), and whom they named.
// ErrDepth when it nests too deep.
func (o Object) Unaddressed() (doc []byte, ids []string, err error) {
	all, err := o.All()
	if err != nil {
		return nil, nil, err
	}
	var edits []Edit
	for _, in := range all {
		edits = append(edits, in.Without(func(m Member) bool { return m.Term == "bto" || m.Term == "bcc" })...)
		ids = append(append(ids, in.IDs("bto")...), in.IDs("bcc")...)
	}
	return Apply(o.Doc, edits), ids, nil
}
