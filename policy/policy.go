// Package policy admits what comes in: it says who signed a request, or why
// nobody did, at a cost that strangers cannot drive up.
//
// Until a signature holds, nothing it claims is counted, remembered or believed:
// only the address it came from is charged. The package never parses an
// activity and never answers a request.
package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/signature"
)

// Arrival is a request at the gate. The Gate keeps nothing of it.
type Arrival struct {
	Request signature.Request
	Client  netip.Addr // the peer's address, never a trusted proxy's

	// Wait is asked before a key is fetched from a host, which may take as long as that host likes, and may refuse
	// with a *LimitError. nil: it may.
	Wait func(host string) (over func(), err error)
}

// Signer is who signed: proven by the actor's own document.
type Signer struct {
	Actor string // the actor's id, exactly as its own document has it
	Agent bool   // an Application or a Service, which speaks for many
}

// What Admit answers besides a Signer. Each error matches exactly one of them.
var (
	// ErrSignature: the request is not signed by anybody (401). The reason, one
	// of package signature's sentinels or actorkey.ErrNoKey, is wrapped, too.
	ErrSignature = errors.New("policy: no valid signature")
	// ErrKeyUnavailable: whether it is signed cannot be told now (503).
	ErrKeyUnavailable = errors.New("policy: key server is not answering")
	// ErrBusy: there is more to verify than we can (503). It comes as a
	// LimitError.
	ErrBusy = errors.New("policy: too much to verify")
	// ErrTooMany: this client has had its share (429). It comes as a LimitError.
	ErrTooMany = errors.New("policy: too many requests")
)

// LimitError is a refusal that time cures. It wraps ErrTooMany or ErrBusy.
type LimitError struct {
	RetryAfter time.Duration  // exact, before any jitter
	Key        string         // the configuration key, "" when there is none
	Rate       ratelimit.Rate // what the key says; zero when there is none
	Reason     error
}

// Error names the configuration key that sets the limit.
func (e *LimitError) Error() string {
	wait := e.RetryAfter.Round(time.Millisecond)
	if e.Key == "" {
		return fmt.Sprintf("%v: retry after %v", e.Reason, wait)
	}
	return fmt.Sprintf("%v: retry after %v (configuration key %s)", e.Reason, wait, e.Key)
}

// Unwrap returns ErrTooMany or ErrBusy.
func (e *LimitError) Unwrap() error { return e.Reason }
