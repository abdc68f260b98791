package signature

import (
	"slices"
	"strings"

	"github.com/sealgate/sealgate/authority"
)

// has says whether any line of the header has the name.
func (r *Request) has(name string) bool {
	return slices.ContainsFunc(r.Header, func(f Field) bool { return strings.EqualFold(f.Name, name) })
}

// values returns the values of every line with the name, in order, without
// surrounding white space and with obsolete folding undone (RFC 9421 §2.1).
// Host is the request's, whatever the header repeats.
func (r *Request) values(name string) []string {
	if strings.EqualFold(name, "host") {
		return []string{r.Host}
	}
	var vs []string
	for _, f := range r.Header {
		if strings.EqualFold(f.Name, name) {
			vs = append(vs, unfold(f.Value))
		}
	}
	return vs
}

// one returns the only value of a header that must not repeat.
func (r *Request) one(name string) (value string, count int) {
	vs := r.values(name)
	if len(vs) == 0 {
		return "", 0
	}
	return vs[0], len(vs)
}

// unfold trims a value and turns obsolete line folding into one space.
func unfold(v string) string {
	v = strings.Trim(v, " \t\r\n")
	if !strings.ContainsAny(v, "\r\n") {
		return v
	}
	lines := strings.FieldsFunc(v, func(c rune) bool { return c == '\r' || c == '\n' })
	for i := range lines {
		lines[i] = strings.Trim(lines[i], " \t")
	}
	return strings.Join(lines, " ")
}

// path is the target up to its query; query is the rest with its question mark.
func (r *Request) path() string {
	p, _, _ := strings.Cut(r.Target, "?")
	return p
}

func (r *Request) query() string { return r.Target[len(r.path()):] }

func (r *Request) scheme() string {
	if r.Scheme == "" {
		return "https"
	}
	return strings.ToLower(r.Scheme)
}

func (r *Request) authority() string { return authority.Normal(r.Host, r.scheme()) }

// Get returns the first value of a header, or "".
func (r *Request) Get(name string) string {
	v, _ := r.one(name)
	return v
}
