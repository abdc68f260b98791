// Package splice changes ActivityStreams documents by cutting and inserting text, so that every member
// nobody here knows leaves with the bytes it came with.
//
// It never encodes a document again, and knows no JSON-LD but the usual prefixes of the two vocabularies.
package splice

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/sealgate/sealgate/inbox/activity"
)

// What can be wrong with a document.
var (
	ErrSyntax = errors.New("it is not JSON")
	ErrObject = errors.New("it is not one JSON object")
	ErrDepth  = errors.New("it nests deeper than 64")
)

// maxDepth bounds how deep objects are looked for in objects; limits.json_depth judges the rest.
const maxDepth = 64

// Span is the half-open range of bytes [From, To) of a document.
type Span struct{ From, To int }

// Member is one member of an object.
type Member struct {
	Name  string // as decoded
	Term  string // Name without a vocabulary's prefix: "id" for "@id" and "as:id"
	Key   int    // where its name begins
	Value Span
}

// Object is a JSON object within a valid document, from brace to brace. It borrows Doc.
type Object struct {
	Span

	Doc     []byte
	Members []Member // in order
}

// Parse reads the object that doc is: ErrSyntax or ErrObject for anything else.
func Parse(doc []byte) (Object, error) {
	if !json.Valid(doc) {
		return Object{}, ErrSyntax
	}
	o, ok := at(doc, Span{skipBlank(doc, 0), len(doc)})
	if !ok {
		return Object{}, ErrObject
	}
	return o, nil
}

// at reads the object whose brace is at in.From; false when there is none.
func at(doc []byte, in Span) (Object, bool) {
	if in.From >= in.To || doc[in.From] != '{' {
		return Object{}, false
	}
	o := Object{Doc: doc}
	i := skipBlank(doc, in.From+1)
	for ; doc[i] != '}'; i = skipBlank(doc, i) {
		if doc[i] == ',' {
			i = skipBlank(doc, i+1)
		}
		m := Member{Key: i}
		i = skipValue(doc, i)
		m.Name = text(doc[m.Key:i])
		m.Term = Term(m.Name)
		i = skipBlank(doc, skipBlank(doc, i)+1) // the colon
		m.Value = Span{i, skipValue(doc, i)}
		i = m.Value.To
		o.Members = append(o.Members, m)
	}
	o.Span = Span{in.From, i + 1}
	return o, true
}

// text is a JSON value that is a string, else "".
func text(value []byte) (s string) {
	_ = json.Unmarshal(value, &s)
	return s
}

// Term is a name of the vocabularies as activity.Term has it, and JSON-LD's id and type without the @.
func Term(name string) string {
	if name == "@id" || name == "@type" {
		return name[1:]
	}
	return activity.Term(name)
}

// Find gives the first member of a term.
func (o Object) Find(term string) (Member, bool) {
	i := slices.IndexFunc(o.Members, func(m Member) bool { return m.Term == term })
	if i < 0 {
		return Member{}, false
	}
	return o.Members[i], true
}

// Bytes is the object's own text.
func (o Object) Bytes() []byte { return o.Doc[o.From:o.To] }

// Raw is the text of a member's value; empty for the zero Member.
func (o Object) Raw(m Member) []byte { return o.Doc[m.Value.From:m.Value.To] }

// Text is a member's value when it is a string, else "".
func (o Object) Text(m Member) string { return text(o.Raw(m)) }

// TextOf is Text for the first member of a term.
func (o Object) TextOf(term string) string {
	m, _ := o.Find(term)
	return o.Text(m)
}

// Within is the object that a member's value is; false when it is something else.
func (o Object) Within(m Member) (Object, bool) { return at(o.Doc, m.Value) }

// IDs are what the members of a term name: strings, ids of objects, and those in arrays.
func (o Object) IDs(term string) (ids []string) {
	for _, m := range o.Members {
		if m.Term != term {
			continue
		}
		for _, v := range values(o.Doc, m.Value) {
			id := text(o.Doc[v.From:v.To])
			if in, ok := at(o.Doc, v); ok {
				id = in.TextOf("id")
			}
			if id != "" {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// Parts are the objects and the strings that a member holds: itself, or the elements of arrays.
func (o Object) Parts(m Member) (objects []Object, texts []string) {
	for _, v := range values(o.Doc, m.Value) {
		if in, ok := at(o.Doc, v); ok {
			objects = append(objects, in)
		} else if o.Doc[v.From] == '"' {
			texts = append(texts, text(o.Doc[v.From:v.To]))
		}
	}
	return objects, texts
}

// All are the object and all those in it, an outer one before its inner ones. ErrDepth when they nest too deep.
func (o Object) All() ([]Object, error) { return o.all(1) }

func (o Object) all(depth int) ([]Object, error) {
	if depth > maxDepth {
		return nil, ErrDepth
	}
	list := []Object{o}
	for _, m := range o.Members {
		objects, _ := o.Parts(m)
		for _, in := range objects {
			more, err := in.all(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, more...)
		}
	}
	return list, nil
}

// Quote is s as a JSON string, with the characters of HTML left as they are.
func Quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("bug: a string is not JSON: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}
