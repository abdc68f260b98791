package outbox

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sealgate/sealgate/relay/splice"
)

// onlyTo is body as a recipient gets it who shall not see the others: everything
// that is addressed, at any depth, is addressed to these ids and to nobody else.
func onlyTo(body []byte, ids ...string) ([]byte, error) {
	top, err := parsed(body)
	if err != nil {
		return nil, err
	}
	all, err := top.All()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, fmt.Errorf("address a copy: %w", err)
	}
	var edits []splice.Edit
	if !slices.ContainsFunc(top.Members, isAddress) { // it had bto or bcc only
		edits = append(edits, splice.Insert(top.From+1, `"to":`+string(list)+","))
	}
	for _, o := range all {
		edits = append(edits, readdressed(o, string(list))...)
	}
	return splice.Apply(body, edits), nil
}

func isAddress(m splice.Member) bool { return m.Term == "to" || m.Term == "cc" || m.Term == "audience" }

// readdressed has the first of an object's addresses hold list, and takes out the others.
func readdressed(o splice.Object, list string) []splice.Edit {
	first := slices.IndexFunc(o.Members, isAddress)
	if first < 0 {
		return nil
	}
	kept := o.Members[first]
	edits := o.Without(func(m splice.Member) bool { return isAddress(m) && m.Key != kept.Key })
	return append(edits, splice.Edit{Span: kept.Value, Text: list})
}
