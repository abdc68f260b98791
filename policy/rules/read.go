package rules

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The bounds of a file, so that one that is no policy costs nothing.
const (
	maxFileBytes = 256 << 10
	maxNesting   = 64
	maxEntries   = 1000 // of one mapping or list
)

// reader walks the nodes of one file and notes what is wrong where.
type reader struct {
	file     string
	problems []error
}

// wrongf notes a problem at a node; nil is the whole file.
func (r *reader) wrongf(n ast.Node, format string, args ...any) {
	p := &Problem{File: r.file, Reason: fmt.Sprintf(format, args...)}
	if n != nil && n.GetToken() != nil {
		p.Line, p.Column = n.GetToken().Position.Line, n.GetToken().Position.Column
	}
	r.problems = append(r.problems, p)
}

// document is the body of the one document in text, nil after a problem.
func (r *reader) document(text []byte) ast.Node {
	if len(text) > maxFileBytes || nesting(text) > maxNesting {
		r.wrongf(nil, "is no policy: it is over %d KiB or nests too deeply", maxFileBytes>>10)
		return nil
	}
	f, err := parser.ParseBytes(text, 0)
	if err != nil {
		r.syntax(err)
		return nil
	}
	if len(f.Docs) != 1 || f.Docs[0].Body == nil || f.Docs[0].Body.Type() == ast.NullType {
		r.wrongf(nil, "is no policy: it must be one YAML document that begins with version: 1")
		return nil
	}
	return f.Docs[0].Body
}

func (r *reader) syntax(err error) {
	p := &Problem{File: r.file, Reason: err.Error()}
	if s, ok := errors.AsType[*yaml.SyntaxError](err); ok && s.Token != nil {
		p.Line, p.Column, p.Reason = s.Token.Position.Line, s.Token.Position.Column, s.Message
	}
	r.problems = append(r.problems, p)
}

// entries are the pairs of a mapping; anything else is a problem.
func (r *reader) entries(n ast.Node, what string) []*ast.MappingValueNode {
	var all []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		all = n.Values
	case *ast.MappingValueNode:
		all = []*ast.MappingValueNode{n}
	case *ast.NullNode: // all below it may be commented out
	default:
		r.wrongf(n, "%s takes keys with values, as {key: value}", what)
	}
	if len(all) > maxEntries {
		r.wrongf(n, "%s has more than %d entries", what, maxEntries)
		return nil
	}
	return all
}

// fields hands every value of a record to the function under its key.
func (r *reader) fields(n ast.Node, what string, known map[string]func(ast.Node)) {
	for _, e := range r.entries(n, what) {
		key := e.Key.GetToken().Value
		if take, ok := known[key]; ok {
			take(e.Value)
			continue
		}
		names := slices.Sorted(maps.Keys(known))
		if hint := meant(key, names); hint != "" {
			r.wrongf(e.Key, "%s has no %q%s", what, key, hint)
			continue
		}
		r.wrongf(e.Key, "%s has no %q: it has %s", what, key, strings.Join(names, ", "))
	}
}

// items are the elements of a list.
func (r *reader) items(n ast.Node, what string) []ast.Node {
	switch n := n.(type) {
	case *ast.SequenceNode:
		if len(n.Values) > maxEntries {
			r.wrongf(n, "%s has more than %d entries", what, maxEntries)
			return nil
		}
		return n.Values
	case *ast.NullNode:
		return nil
	}
	r.wrongf(n, "%s takes a list, as [a, b]", what)
	return nil
}

// texts are the elements of a list of words.
func (r *reader) texts(n ast.Node, what string) []string {
	var all []string
	for _, item := range r.items(n, what) {
		all = append(all, r.text(item, what))
	}
	return all
}

// text is a scalar as it is written.
func (r *reader) text(n ast.Node, what string) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return strings.TrimSuffix(n.Value.Value, "\n")
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value
	}
	r.wrongf(n, "%s takes one value", what)
	return ""
}

// oneOf is a word of a closed set.
func (r *reader) oneOf(n ast.Node, what string, known ...string) string {
	word := r.text(n, what)
	if !slices.Contains(known, word) {
		r.wrongf(n, "%s is not %q%s: it is one of %s", what, word, meant(word, known), strings.Join(known, ", "))
	}
	return word
}

func (r *reader) flag(n ast.Node, what string) bool {
	return r.oneOf(n, what, "true", "false") == "true"
}

// number is a whole number from 1.
func (r *reader) number(n ast.Node, what string) int {
	i, err := strconv.ParseInt(r.text(n, what), 10, 32)
	if err != nil || i < 1 {
		r.wrongf(n, "%s takes a whole number from 1", what)
		return 1
	}
	return int(i)
}

// span is a duration, written 1d, 12h, 30m or 10s.
func (r *reader) span(n ast.Node, what string) time.Duration {
	text := r.text(n, what)
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var count int
		count, err = strconv.Atoi(days)
		d = time.Duration(min(count, 1000)) * day
	}
	if err != nil || d < time.Second || d > 366*day {
		r.wrongf(n, "%s takes a time from 1s to 366d, as 30s, 15m, 1h or 1d", what)
		return day
	}
	return d
}

// date is the first moment after a day, in UTC.
func (r *reader) date(n ast.Node, what string) time.Time {
	t, err := time.Parse(time.DateOnly, r.text(n, what))
	if err != nil {
		r.wrongf(n, "%s takes a date, as 2027-01-31", what)
	}
	return t.Add(day)
}

const day = 24 * time.Hour

// nesting bounds how deep a text nests in ways that cost the parser recursion:
// brackets open at once, "- " or "? " on one line.
func nesting(text []byte) int {
	open, line, most := 0, 0, 0
	for i, c := range text {
		switch {
		case c == '\n':
			line = 0
		case c == '[' || c == '{':
			open++
		case c == ']' || c == '}':
			open = max(0, open-1)
		case c == ' ' && i > 0 && (text[i-1] == '-' || text[i-1] == '?'):
			line++
		}
		most = max(most, open, line)
	}
	return most
}
