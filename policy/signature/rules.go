package signature

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sealgate/sealgate/authority"
)

// checkHost makes sure that the request was meant for us; coverage of the host
// is asked for elsewhere.
func (rules Rules) checkHost(r *Request) error {
	if ours := authority.Normal(rules.Domain, r.scheme()); r.authority() != ours {
		return fmt.Errorf("%w: it names %.255q, this is %q (configuration key domain)", ErrHost, r.Host, rules.Domain)
	}
	return nil
}

// checkTime holds a date against the clock.
func (rules Rules) checkTime(what string, t time.Time) error {
	switch age := rules.Now.Sub(t); {
	case age > maxAge:
		return fmt.Errorf("%w: %s is %v old, at most %v is accepted", ErrStale, what, age.Round(time.Second), maxAge)
	case age < -maxSkew:
		return fmt.Errorf("%w: %s is %v ahead of our clock, at most %v is accepted", ErrStale, what, (-age).Round(time.Second), maxSkew)
	}
	return nil
}

// checkExpiry refuses what its signer no longer stands by.
func (rules Rules) checkExpiry(unix int64) error {
	if t := time.Unix(unix, 0); !rules.Now.Before(t) {
		return fmt.Errorf("%w: it expired %v ago", ErrStale, rules.Now.Sub(t).Round(time.Second))
	}
	return nil
}

// checkDate reads the Date header, which must be there once.
func (rules Rules) checkDate(r *Request) error {
	v, n := r.one("date")
	if n != 1 {
		return fmt.Errorf("%w: %d Date headers", ErrMalformed, n)
	}
	t, err := http.ParseTime(strings.Replace(v, ":60 ", ":59 ", 1)) // a leap second, which package time does not know
	if err != nil {
		return fmt.Errorf("%w: date %.80q is not an HTTP date", ErrMalformed, v)
	}
	return rules.checkTime("date", t)
}

// requireAll names every component that is missing from covered at once.
func requireAll(covered []string, names ...string) error {
	var missing []string
	for _, n := range names {
		if !slices.Contains(covered, n) {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: missing %s", ErrCoverage, strings.Join(missing, ", "))
	}
	return nil
}

// requireDistinct refuses lists that are too long or repeat themselves.
func requireDistinct(covered []string) error {
	if len(covered) > maxComponents {
		return fmt.Errorf("%w: %d components, at most %d are accepted", ErrMalformed, len(covered), maxComponents)
	}
	for i, c := range covered {
		if slices.Contains(covered[:i], c) {
			return fmt.Errorf("%w: component %.80q is listed twice", ErrMalformed, c)
		}
	}
	return nil
}

// checkKeyID refuses names that no key can have.
func checkKeyID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: it names no key", ErrMalformed)
	case len(id) > maxKeyID:
		return fmt.Errorf("%w: key id of %d bytes, at most %d are accepted", ErrMalformed, len(id), maxKeyID)
	}
	return nil
}
