package rules

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"golang.org/x/net/idna"
)

// The bounds of a list.
const (
	maxListBytes = 64 << 20
	maxDomains   = 1_000_000
)

// domainsType is what a list is to CEL: something a domain can be in.
var domainsType = [1]*types.Type{types.NewObjectType("list of domains", traits.ContainerType)}

// domains is a named list: the domains in it and everything below them, until it
// expires, but for those taken back.
type domains struct {
	names   *set
	except  *set
	expires time.Time // zero: never
	skipped []string  // what could not be read, for the operator
}

// has says whether a lower-case domain or a parent of it is listed. What is taken
// back wins, with everything below it.
func (d *domains) has(domain string) bool {
	found := false
	for name := domain; name != ""; {
		if d.except.has(name) {
			return false
		}
		found = found || d.names.has(name)
		_, name, _ = strings.Cut(name, ".")
	}
	return found
}

func (d *domains) expired(now time.Time) bool {
	return !d.expires.IsZero() && !now.Before(d.expires)
}

// add puts a domain on the list, or among the skipped.
func (d *domains) add(name string) {
	clean, err := canonical(name)
	if err != nil {
		if len(d.skipped) < maxEntries {
			d.skipped = append(d.skipped, fmt.Sprintf("%.80q", name))
		}
		return
	}
	d.names.add(clean)
}

// isLong says whether there are too many, however often each.
func (d *domains) isLong() bool {
	if d.names.len() > maxDomains {
		d.names.sort()
	}
	return d.names.len() > maxDomains
}

// canonical is a domain as actor ids have it: lower case, Punycode, no dot at the end.
func canonical(name string) (string, error) {
	name = strings.TrimPrefix(strings.TrimSuffix(strings.TrimSpace(name), "."), "*.")
	clean, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return "", fmt.Errorf("%q is no domain: %w", name, err)
	}
	if clean == "" || len(clean) > 253 || strings.ContainsAny(clean, "*/:@ ") {
		return "", fmt.Errorf("%q is no domain", name)
	}
	return clean, nil
}

// addLines reads one domain a line; # begins a comment.
func (d *domains) addLines(text []byte) error {
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		if line = bytes.TrimSpace(line); len(line) > 0 {
			d.add(string(line))
		}
		if d.isLong() {
			return errLong
		}
	}
	return nil
}

var errLong = fmt.Errorf("has more than %d domains: divide it into several lists", maxDomains)

// listed is a list at one moment, as CEL sees it.
type listed struct{ *domains }

// Contains implements traits.Container.
func (l listed) Contains(v ref.Val) ref.Val {
	name, ok := v.(types.String)
	return types.Bool(ok && l.domains != nil && l.has(string(name)))
}

// ConvertToNative implements ref.Val.
func (l listed) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a list of domains is no %v", t)
}

// ConvertToType implements ref.Val.
func (l listed) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("a list of domains is no %s", t.TypeName())
}

// Equal implements ref.Val.
func (l listed) Equal(other ref.Val) ref.Val { return types.Bool(l == other) }

// Type implements ref.Val.
func (l listed) Type() ref.Type { return domainsType[0] }

// Value implements ref.Val.
func (l listed) Value() any { return l.domains }
