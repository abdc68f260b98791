package rules

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// lists reads the named lists: [a.example, b.example], or {csv: …}, {file: …},
// {domains: […]} with expires, except and, for a csv, severity.
func (p *parsing) lists(n ast.Node) {
	for _, e := range p.entries(n, "lists") {
		name := p.newName(e.Key, p.policy.lists[e.Key.GetToken().Value] != nil, wordLetters)
		d := &domains{names: newSet(), except: newSet()}
		p.policy.lists[name] = d
		if _, inline := e.Value.(*ast.SequenceNode); inline {
			p.written(e.Value, d.names)
		} else {
			p.list(e.Value, name, d)
		}
		d.names.sort()
		d.except.sort()
		p.judge(name, d)
	}
}

func (p *parsing) list(n ast.Node, name string, d *domains) {
	severities := []string{"suspend"}
	var csv, file ast.Node
	p.fields(n, "list "+name, map[string]func(ast.Node){
		"domains": func(n ast.Node) { p.written(n, d.names) },
		"except":  func(n ast.Node) { p.written(n, d.except) },
		"expires": func(n ast.Node) { d.expires = p.date(n, "expires") },
		"csv":     func(n ast.Node) { csv = n },
		"file":    func(n ast.Node) { file = n },
		"severity": func(n ast.Node) {
			severities = nil
			for _, item := range p.items(n, "severity") {
				severities = append(severities, p.oneOf(item, "severity", "suspend", "silence", "noop"))
			}
		},
	})
	if csv != nil {
		p.opened(csv, func(text []byte) error { return d.addCSV(text, severities) })
	}
	if file != nil {
		p.opened(file, d.addLines)
	}
}

// written reads domains that are in the policy itself: there a mistake is an error.
func (p *parsing) written(n ast.Node, into *set) {
	for _, item := range p.items(n, "a list of domains") {
		clean, err := canonical(p.text(item, "a domain"))
		if err != nil {
			p.wrongf(item, "%v", err)
			continue
		}
		into.add(clean)
	}
}

var errNoFiles = errors.New("cannot be read: this policy comes without files")

// opened hands the content of a list's file to read.
func (p *parsing) opened(n ast.Node, read func([]byte) error) {
	path := p.text(n, "a path")
	if p.source.Open == nil {
		p.wrongf(n, "%s %v", path, errNoFiles)
		return
	}
	text, err := p.source.Open(path)
	switch {
	case err != nil:
		p.wrongf(n, "read a list (a relative file is beside the policy): %v", err)
		return
	case len(text) > maxListBytes:
		p.wrongf(n, "%s is over %d MiB", path, maxListBytes>>20)
		return
	}
	p.hash(text)
	if !utf8.Valid(text) {
		text = bytes.ToValidUTF8(text, []byte("?"))
	}
	if err := read(text); err != nil {
		p.wrongf(n, "%s %v", path, err)
	}
}

// judge warns of what is on a list and does not count.
func (p *parsing) judge(name string, d *domains) {
	if n := len(d.skipped); n > 0 {
		p.policy.warnings = append(p.policy.warnings, fmt.Sprintf("list %s has %d entries that name no domain, the first is %s", name, n, d.skipped[0]))
	}
}
