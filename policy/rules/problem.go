package rules

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/common/env"
)

// Problem is one thing wrong with a policy. Parse joins all of them.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"` // from 1; 0 when it is about the whole file
	Column int    `json:"column,omitempty"`
	Reason string `json:"reason"`
}

// Error is one line: place and reason.
func (p *Problem) Error() string {
	switch {
	case p.Line == 0:
		return fmt.Sprintf("%s: %s", p.File, p.Reason)
	case p.Column == 0:
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Reason)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Reason)
}

// Problems are the Problem values that Parse joined in err, however it is wrapped.
func Problems(err error) []*Problem {
	switch e := err.(type) { //nolint:errorlint // it is the tree itself that is walked
	case *Problem:
		return []*Problem{e}
	case interface{ Unwrap() []error }:
		var all []*Problem
		for _, one := range e.Unwrap() {
			all = append(all, Problems(one)...)
		}
		return all
	case interface{ Unwrap() error }:
		return Problems(e.Unwrap())
	}
	return nil
}

// meant guesses which of known a word was, as ` (did you mean "x"?)`, or "".
func meant(word string, known []string) string {
	best, least := "", 1+max(1, min(3, len(word)/3))
	for _, k := range known {
		if d := env.EditDistance(strings.ToLower(strings.ReplaceAll(word, "-", "_")), strings.ReplaceAll(k, "-", "_")); d < least {
			best, least = k, d
		}
	}
	if best == "" || len(word) > 64 {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}
