package outbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// What a client posts is changed by cutting and inserting text, so that every
// property nobody here knows leaves with the bytes it came with.

// maxDepth bounds what is looked through for bto and bcc; limits.json_depth judges the rest.
const maxDepth = 64

// edit replaces doc[from:to] by text.
type edit struct {
	from, to int
	text     string
}

// apply makes the edits, which must not overlap.
func apply(doc []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return a.from - b.from })
	out := make([]byte, 0, len(doc)+1024)
	at := 0
	for _, e := range edits {
		out = append(append(out, doc[at:e.from]...), e.text...)
		at = e.to
	}
	return append(out, doc[at:]...)
}

// property is one member of a JSON object and where it stands in the document.
type property struct {
	name       string // as the vocabulary spells it, without prefix
	key        int    // where the key begins
	value, end int    // doc[value:end] is the value
}

// object is a JSON object within a document.
type object struct {
	doc        []byte
	open, end  int // of the braces; end is behind the last
	properties []property
}

// readObject lists the members of the object whose brace is at doc[open]. doc is
// valid JSON.
func readObject(doc []byte, open int) (object, error) {
	o := object{doc: doc, open: open}
	d := json.NewDecoder(bytes.NewReader(doc[open:]))
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return o, fmt.Errorf("%w: it is not a JSON object", ErrMalformed)
	}
	for d.More() {
		before := open + int(d.InputOffset())
		name, err := d.Token()
		if err != nil {
			return o, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return o, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		text, _ := name.(string)
		end := open + int(d.InputOffset())
		o.properties = append(o.properties, property{
			name: localName(text), key: before + bytes.IndexByte(doc[before:], '"'), value: end - len(raw), end: end,
		})
	}
	if _, err := d.Token(); err != nil {
		return o, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	o.end = open + int(d.InputOffset())
	return o, nil
}

// bytes is the object's own text.
func (o object) bytes() []byte { return o.doc[o.open:o.end] }

// localName is a property's name without the prefixes and namespaces it may have.
func localName(name string) string {
	if at := strings.LastIndexAny(name, "#:"); at >= 0 {
		name = name[at+1:]
	}
	switch name {
	case "@id":
		return "id"
	case "@type":
		return "type"
	}
	return name
}

func (o object) find(name string) (property, bool) {
	i := slices.IndexFunc(o.properties, func(p property) bool { return p.name == name })
	if i < 0 {
		return property{}, false
	}
	return o.properties[i], true
}

// raw is the text of a property's value, "" when there is none.
func (o object) raw(name string) string {
	p, ok := o.find(name)
	if !ok {
		return ""
	}
	return string(o.doc[p.value:p.end])
}

// text is a property that is a string, else "".
func (o object) text(name string) string {
	var s string
	_ = json.Unmarshal([]byte(o.raw(name)), &s)
	return s
}

// set gives a property a value: in its place, or in front of the others.
func (o object) set(name, value string) edit {
	quoted := quote(value)
	if p, ok := o.find(name); ok {
		return edit{p.value, p.end, quoted}
	}
	text := quote(name) + ":" + quoted
	if len(o.properties) > 0 {
		text += ","
	}
	return edit{o.open + 1, o.open + 1, text}
}

// without takes out every property of these names, commas and all.
func (o object) without(names ...string) []edit {
	var edits []edit
	kept := -1 // end of the last that stays
	for i, p := range o.properties {
		switch {
		case !slices.Contains(names, p.name):
			kept = p.end
		case kept >= 0:
			edits = append(edits, edit{from: o.properties[i-1].end, to: p.end})
		case i+1 < len(o.properties):
			edits = append(edits, edit{from: p.key, to: o.properties[i+1].key})
		default:
			edits = append(edits, edit{from: p.key, to: p.end})
		}
	}
	return edits
}

// inner lists the objects that a property holds: itself, or the elements of an
// array, and so on through nested arrays.
func (o object) inner(p property) ([]object, error) {
	return objectsAt(o.doc, p.value, p.end)
}

func objectsAt(doc []byte, from, to int) ([]object, error) {
	switch doc[from] {
	case '{':
		o, err := readObject(doc, from)
		return []object{o}, err
	case '[':
	default:
		return nil, nil
	}
	var out []object
	d := json.NewDecoder(bytes.NewReader(doc[from:to]))
	_, _ = d.Token()
	for d.More() {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		end := from + int(d.InputOffset())
		list, err := objectsAt(doc, end-len(raw), end)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// secret finds bto and bcc at every depth: the edits that take them out, and the
// ids they name.
func (o object) secret(depth int) (edits []edit, ids []string, err error) {
	if depth > maxDepth {
		return nil, nil, fmt.Errorf("%w: it nests deeper than %d", ErrMalformed, maxDepth)
	}
	edits = o.without("bto", "bcc")
	for _, p := range o.properties {
		if p.name == "bto" || p.name == "bcc" {
			ids = append(ids, idsIn(o.doc[p.value:p.end])...)
			continue
		}
		list, err := o.inner(p)
		if err != nil {
			return nil, nil, err
		}
		for _, in := range list {
			e, named, err := in.secret(depth + 1)
			if err != nil {
				return nil, nil, err
			}
			edits, ids = append(edits, e...), append(ids, named...)
		}
	}
	return edits, ids, nil
}

// idsIn reads a string, an object with an id, or an array of them.
func idsIn(raw []byte) []string {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	var many []json.RawMessage
	if json.Unmarshal(raw, &many) == nil {
		var ids []string
		for _, m := range many {
			ids = append(ids, idsIn(m)...)
		}
		return ids
	}
	var o struct{ ID string }
	if json.Unmarshal(raw, &o) == nil && o.ID != "" {
		return []string{o.ID}
	}
	return nil
}

// quote is s as a JSON string, with the characters of HTML left as they are.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("bug: a string is not JSON: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}
