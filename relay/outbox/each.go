package outbox

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// onlyTo is body as a recipient gets it who shall not see the others: everything
// that is addressed, at any depth, is addressed to these ids and to nobody else.
func onlyTo(body []byte, ids ...string) ([]byte, error) {
	top, err := readObject(body, bytes.IndexByte(body, '{'))
	if err != nil {
		return nil, err
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, fmt.Errorf("address a copy: %w", err)
	}
	edits, addressed, err := top.readdress(string(list), 1)
	if err != nil {
		return nil, err
	}
	if !addressed { // it had bto or bcc only
		edits = append(edits, edit{top.open + 1, top.open + 1, `"to":` + string(list) + ","})
	}
	return apply(body, edits), nil
}

// readdress has the first of an object's to, cc and audience hold list, and takes out
// the others, and so on in what it contains.
func (o object) readdress(list string, depth int) (edits []edit, addressed bool, err error) {
	if depth > maxDepth {
		return nil, false, fmt.Errorf("%w: it nests deeper than %d", ErrMalformed, maxDepth)
	}
	const other = "\x00" // no property's name
	for i, p := range o.properties {
		switch p.name {
		case "to", "cc", "audience":
			if addressed {
				o.properties[i].name = other
				continue
			}
			edits, addressed = append(edits, edit{p.value, p.end, list}), true
			continue
		}
		inner, err := o.inner(p)
		if err != nil {
			return nil, false, err
		}
		for _, in := range inner {
			more, _, err := in.readdress(list, depth+1)
			if err != nil {
				return nil, false, err
			}
			edits = append(edits, more...)
		}
	}
	return append(edits, o.without(other)...), addressed, nil
}
