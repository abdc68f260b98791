package signature

import (
	"fmt"
	"strings"

	"github.com/dunglas/httpsfv"
)

// signatureBase builds the text that is signed (RFC 9421 §2.5).
func signatureBase(r *Request, covered []string, list httpsfv.InnerList) ([]byte, error) {
	b := make([]byte, 0, 1024)
	for _, name := range covered {
		value, err := component(r, name)
		if err != nil {
			return nil, err
		}
		b = append(append(append(append(append(b, '"'), name...), `": `...), value...), '\n')
	}
	input, err := httpsfv.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return append(append(b, `"@signature-params": `...), input...), nil
}

// component is the value of one covered component (§2.1, §2.2).
func component(r *Request, name string) (string, error) {
	if !strings.HasPrefix(name, "@") {
		vs := r.values(name)
		if len(vs) == 0 {
			return "", fmt.Errorf("%w: header %.80q is covered but absent", ErrMalformed, name)
		}
		return strings.Join(vs, ", "), nil
	}
	switch name {
	case "@method":
		return r.Method, nil
	case "@target-uri":
		return r.scheme() + "://" + r.authority() + r.Target, nil
	case "@authority":
		return r.authority(), nil
	case "@scheme":
		return r.scheme(), nil
	case "@request-target":
		return r.Target, nil
	case "@path":
		return r.path(), nil
	case "@query":
		if q := r.query(); q != "" {
			return q, nil
		}
		return "?", nil
	default: // @query-param needs a parameter; @status belongs to responses
		return "", fmt.Errorf("%w: component %.80q", ErrUnsupported, name)
	}
}
