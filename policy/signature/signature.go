// Package signature checks and makes HTTP signatures: draft-cavage-12 through
// go-fed/httpsig, and RFC 9421 on the structured fields of dunglas/httpsfv.
//
// It enforces what neither leaves to chance: which parts are covered, that the
// host is ours, that the date is near, and that the digest is that of the exact
// bytes. It never fetches a key, never decides who owns one and never reads a
// clock. It imports nothing of ours.
package signature

import (
	"crypto"
	"fmt"
	"time"

	"github.com/dunglas/httpsfv"
)

// The two schemes, as metrics and logs name them.
const (
	Cavage  = "cavage"  // draft-cavage-http-signatures-12
	RFC9421 = "rfc9421" // HTTP Message Signatures
)

// Field is one header line, as it came.
type Field struct{ Name, Value string }

// Request is what a signature can speak of. Nothing in it is decoded: Target is
// the raw path and query of the request line, Host the raw Host, and Header
// keeps order and duplicates. Scheme is that of the gateway's public face
// ("https" when empty), whatever the last hop used.
type Request struct {
	Method, Target, Host, Scheme string
	Header                       []Field
	Body                         []byte
}

// Rules are what a signature is measured by.
type Rules struct {
	Domain string    // our host, as it stands in our actors' ids; a port belongs to it
	Now    time.Time // the moment of receipt
}

// How far a date may be off, from interop.md: half a day late, because queues
// stall, and five minutes early, because clocks drift.
const (
	maxAge  = 12 * time.Hour
	maxSkew = 5 * time.Minute
)

// Limits on what a header may make us do.
const (
	maxHeaderBytes = 16 << 10
	maxKeyID       = 2048
	maxComponents  = 48
	maxLabels      = 4
)

// Signature is a signature that may hold: its structure, coverage, host, dates
// and digest are right, and only the key is missing. It borrows the Request it
// was parsed from and is good for one goroutine.
type Signature struct {
	KeyID     string   // as written
	Scheme    string   // Cavage or RFC9421
	Label     string   // RFC 9421 only
	Algorithm string   // as claimed, possibly empty; cavage claims are not believed
	Covered   []string // component names, lower case, in order

	cavage *cavage
	base   []byte // RFC 9421 §2.5
	value  []byte
}

// Parse finds the signature of r and checks all that needs no key: first what
// is cheap, last the digest. Errors are ErrUnsigned, or wrap one of
// ErrMalformed, ErrUnsupported, ErrCoverage, ErrHost, ErrStale, ErrDigest.
//
// A Signature-Input header makes it RFC 9421; of several labels the first that
// satisfies the rules is taken.
func Parse(r *Request, rules Rules) (*Signature, error) {
	if len(r.Target) == 0 || r.Target[0] != '/' {
		return nil, fmt.Errorf("%w: request target %.80q does not begin with a slash", ErrMalformed, r.Target)
	}
	if r.has("signature-input") {
		return parseMessage(r, rules)
	}
	return parseCavage(r, rules)
}

// KeyID is the key that a request says it is signed with, "" when it names none, or more than one. Nothing is checked.
func KeyID(r *Request) string {
	if !r.has("signature-input") {
		text, err := cavageHeader(r)
		if err != nil {
			return ""
		}
		p, err := readParams(text)
		if err != nil {
			return ""
		}
		return p.keyID
	}
	inputs, err := dictionary(r, "signature-input")
	if err != nil || len(inputs.Names()) != 1 {
		return ""
	}
	m, _ := inputs.Get(inputs.Names()[0])
	list, ok := m.(httpsfv.InnerList)
	if !ok {
		return ""
	}
	var s Signature
	if s.readMetadata(list.Params) != nil {
		return ""
	}
	return s.KeyID
}

// Verify says whether key made the signature: nil or ErrMismatch. The key
// decides the algorithm; an RFC 9421 alg that contradicts it is a mismatch.
// Keys are *rsa.PublicKey, ed25519.PublicKey and *ecdsa.PublicKey (P-256, P-384).
func (s *Signature) Verify(key crypto.PublicKey) error {
	if s.Scheme == Cavage {
		return s.cavage.verify(key)
	}
	return verifyBase(s.Algorithm, key, s.base, s.value)
}

// needsDigest says whether a body must be covered: always, but for requests
// that have none by nature.
func (r *Request) needsDigest() bool {
	return len(r.Body) > 0 || (r.Method != "GET" && r.Method != "HEAD")
}
