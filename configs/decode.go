package configs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFileBytes and maxFileNesting keep a file that is not a configuration from costing anything.
const (
	maxFileBytes   = 64 << 10
	maxFileNesting = 200
)

var (
	errNoValue = errors.New("has no value")
	errList    = errors.New("is a list and takes one value")
	errNested  = errors.New("has keys or lists where a value belongs")
	errAnchors = errors.New("uses an anchor, an alias or a tag, which a configuration does not need")
)

// decoder sets the keys of a config from a file, and notes where each was.
type decoder struct {
	file     string
	keys     map[string]leaf
	where    map[string]string // key → "file:line:column"
	unread   bool              // the file is no configuration: nobody knows what it would set
	problems []error
}

func (d *decoder) add(p Problem) {
	d.problems = append(d.problems, &p)
}

// decode reads the file over the values the leaves have.
func (d *decoder) decode(text []byte) {
	if len(text) > maxFileBytes || nesting(text) > maxFileNesting {
		d.unread = true
		d.add(Problem{Where: d.file, Reason: "is no configuration: it is too large or nests too deeply"})
		return
	}
	f, err := parser.ParseBytes(text, 0)
	if err != nil {
		d.syntax(err)
		return
	}
	if len(f.Docs) > 1 {
		d.unread = true
		d.add(Problem{Where: d.at(f.Docs[1]), Reason: "a second document begins here: one file is one configuration"})
		return
	}
	for _, doc := range f.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.NullType {
			d.section(doc.Body, "")
		}
	}
}

// syntax reports what the parser says, without its excerpt of the source: that could show a secret.
func (d *decoder) syntax(err error) {
	d.unread = true
	p := Problem{Where: d.file, Reason: err.Error()}
	var s *yaml.SyntaxError
	if errors.As(err, &s) && s.Token != nil {
		p.Where = fmt.Sprintf("%s:%d:%d", d.file, s.Token.Position.Line, s.Token.Position.Column)
		p.Reason = s.Message
	}
	d.add(p)
}

// section sets the keys of a mapping whose keys all begin with prefix.
func (d *decoder) section(n ast.Node, prefix string) {
	for _, entry := range d.entries(n, prefix) {
		key := prefix + entry.Key.GetToken().Value
		l, isLeaf := d.keys[key]
		switch {
		case isLeaf:
			d.where[key] = d.at(entry.Value)
			d.leaf(l, entry.Value)
		case !d.isSection(key):
			d.unknown(entry, prefix)
		case entry.Value.Type() != ast.NullType: // all keys of a section may be commented out
			d.section(entry.Value, key+".")
		}
	}
}

func (d *decoder) entries(n ast.Node, prefix string) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	p := Problem{Where: d.at(n), Key: strings.TrimSuffix(prefix, "."), Reason: "is a section: keys belong below it, each as key: value"}
	if p.Key == "" {
		p.Reason = "is no configuration: it must begin with keys, as domain: social.example"
	}
	d.add(p)
	return nil
}

func (d *decoder) isSection(key string) bool {
	for k := range d.keys {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

func (d *decoder) leaf(l leaf, n ast.Node) {
	texts, err := scalars(n)
	switch {
	case err != nil:
	case !l.isList() && n.Type() == ast.SequenceType:
		err = errList
	default:
		err = l.set(texts)
	}
	if err == nil {
		return
	}
	p := Problem{Where: d.at(n), Key: l.key, Reason: err.Error(), Example: l.tag.Get("example")}
	if len(texts) == 1 && !l.isList() {
		p.Value = shown(l, texts[0])
	}
	d.add(p)
}

// shown is a value for a message: never a secret.
func shown(l leaf, text string) string {
	if l.isSecret() && !strings.HasPrefix(text, "file:") {
		return redacted
	}
	return text
}

func (d *decoder) unknown(entry *ast.MappingValueNode, prefix string) {
	key := prefix + entry.Key.GetToken().Value
	p := Problem{Where: d.at(entry.Key), Reason: fmt.Sprintf("unknown key %q", key)}
	if near := nearest(key, d.keys); near != "" {
		p.Reason += fmt.Sprintf("; did you mean %q?", near)
	}
	d.add(p)
}

func (d *decoder) at(n ast.Node) string {
	if n == nil || n.GetToken() == nil {
		return d.file
	}
	pos := n.GetToken().Position
	return fmt.Sprintf("%s:%d:%d", d.file, pos.Line, pos.Column)
}

// scalars returns the text of a value, or of each element of a list, exactly as written: "off" stays a
// word, whatever a YAML 1.1 reader makes of it.
func scalars(n ast.Node) ([]string, error) {
	if list, ok := n.(*ast.SequenceNode); ok {
		texts := make([]string, 0, len(list.Values))
		for _, e := range list.Values {
			text, err := scalar(e)
			if err != nil {
				return nil, err
			}
			texts = append(texts, text)
		}
		return texts, nil
	}
	text, err := scalar(n)
	if err != nil {
		return nil, err
	}
	return []string{text}, nil
}

func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return strings.TrimSuffix(n.Value.Value, "\n"), nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, nil
	case *ast.NullNode, nil:
		return "", errNoValue
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return "", errAnchors
	}
	return "", errNested
}

// nesting bounds how deep a file nests in ways that cost the parser recursion and, in block style, the
// square of the depth: brackets open at once, and "- " or "? " on one line.
func nesting(text []byte) int {
	open, line, most := 0, 0, 0
	for i, c := range text {
		switch c {
		case '\n':
			line = 0
		case '[', '{':
			open++
		case ']', '}':
			open = max(0, open-1)
		case ' ':
			if i > 0 && (text[i-1] == '-' || text[i-1] == '?') {
				line++
			}
		}
		most = max(most, open, line)
	}
	return most
}
