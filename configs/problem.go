package configs

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a configuration. Load and Validate join all of them; errors.As finds
// the first.
type Problem struct {
	Where   string // "sealgate.yaml:12:3", an environment variable, or ""
	Key     string // "mailbox.quota"; "" when it is about the file
	Value   string // as read, secrets redacted
	Reason  string // continues "key: value …"
	Example string // a value that would do, "" when there is none to show
}

// Error is one line: place, key, value, reason, example.
func (p *Problem) Error() string {
	var b strings.Builder
	if p.Where != "" {
		b.WriteString(p.Where + ": ")
	}
	if p.Key != "" {
		fmt.Fprintf(&b, "%s: ", p.Key)
	}
	if p.Value != "" {
		fmt.Fprintf(&b, "%q ", p.Value)
	}
	b.WriteString(p.Reason)
	if p.Example != "" {
		fmt.Fprintf(&b, " (example: %s: %s)", p.Key[strings.LastIndexByte(p.Key, '.')+1:], p.Example)
	}
	return b.String()
}
