package signature

import (
	"fmt"
	"strconv"
	"strings"
)

// params are the signature parameters of draft-cavage-12 §2.1.
type params struct {
	keyID, algorithm, signature string
	headers                     []string
	created, expires            int64 // 0: absent
}

// readParams reads `name="value", name=5`, with white space where peers put it,
// commas inside quotes and backslash escapes. A parameter may occur once.
func readParams(s string) (params, error) {
	var p params
	seen := make(map[string]bool, 6)
	for rest := strings.Trim(s, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
		name, value, tail, err := readParam(rest)
		if err != nil {
			return params{}, err
		}
		if seen[name] {
			return params{}, fmt.Errorf("%w: parameter %.40q occurs twice", ErrMalformed, name)
		}
		seen[name] = true
		if err := p.set(name, value); err != nil {
			return params{}, err
		}
		rest = tail
	}
	if !seen["headers"] {
		p.headers = []string{"date"} // §2.1.6
	}
	return p, nil
}

// readParam splits the first parameter off s.
func readParam(s string) (name, value, tail string, err error) {
	name, s, ok := strings.Cut(s, "=")
	name = strings.TrimSpace(name)
	if !ok || name == "" || strings.ContainsAny(name, "\", \t") {
		return "", "", "", fmt.Errorf("%w: parameter %.40q", ErrMalformed, name)
	}
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, `"`) {
		value, tail, _ = strings.Cut(s, ",")
		return name, strings.TrimSpace(value), tail, nil
	}
	value, tail, ok = unquote(s)
	tail = strings.TrimLeft(tail, " \t")
	if !ok || (tail != "" && tail[0] != ',') {
		return "", "", "", fmt.Errorf("%w: parameter %.40q is not quoted properly", ErrMalformed, name)
	}
	return name, value, tail, nil
}

// unquote reads a quoted string from the front of s.
func unquote(s string) (value, tail string, ok bool) {
	end := strings.IndexAny(s[1:], `"\`) + 1
	if end > 0 && s[end] == '"' { // the rule: nothing escaped
		return s[1:end], s[end+1:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// set keeps one parameter; unknown ones are ignored (§2.1).
func (p *params) set(name, value string) (err error) {
	switch name {
	case "keyId":
		p.keyID = value
	case "algorithm":
		p.algorithm = value
	case "signature":
		p.signature = value
	case "headers":
		p.headers = strings.Fields(strings.ToLower(value))
	case "created":
		p.created, err = readUnix(name, value)
	case "expires":
		p.expires, err = readUnix(name, value)
	}
	return err
}

// readUnix reads a time that must be a positive number of whole seconds.
func readUnix(name, value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n <= 0 || n > maxUnix || strconv.FormatInt(n, 10) != value {
		return 0, fmt.Errorf("%w: %s %.40q is not a time in whole seconds", ErrMalformed, name, value)
	}
	return n, nil
}

// maxUnix is the end of the year 9999: later times overflow durations.
const maxUnix = 253402300799
