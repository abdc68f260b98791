package forward

import (
	"errors"
	"fmt"
)

// Errors of what a peer sent. A request with one of them is answered 400 (408, 414, 431 where noted)
// and its connection closed; a reply with one of them becomes 502.
var (
	errMalformed     = errors.New("forward: malformed head")
	errBareLF        = fmt.Errorf("%w: line feed without carriage return", errMalformed)
	errStartLine     = fmt.Errorf("%w: start line", errMalformed)
	errFieldLine     = fmt.Errorf("%w: header line", errMalformed)
	errFolded        = fmt.Errorf("%w: folded header line", errMalformed)
	errVersion       = fmt.Errorf("%w: protocol version", errMalformed)
	errTarget        = fmt.Errorf("%w: request target", errMalformed)
	errHost          = fmt.Errorf("%w: host", errMalformed)
	errLength        = fmt.Errorf("%w: content length", errMalformed)
	errCoding        = fmt.Errorf("%w: transfer coding", errMalformed)
	errBothLengths   = fmt.Errorf("%w: content length and transfer coding", errMalformed)
	errChunk         = errors.New("forward: malformed chunk")
	errHeadTooLarge  = errors.New("forward: head too large") // 431
	errTooManyFields = fmt.Errorf("%w: too many header lines", errHeadTooLarge)
	errTargetTooLong = errors.New("forward: target too long") // 414
	errTruncated     = errors.New("forward: body cut short")  // the peer closed inside a body
	errTooManyHeads  = errors.New("forward: too many interim replies")
	errSwitch        = errors.New("forward: unasked protocol switch")
)

// ErrSlow is what reading a request's body ends with when it does not get on (Limits.BodyTimeout): 408, so that a peer
// comes again.
var ErrSlow = errors.New("forward: peer is too slow")

// failure is an upstream that did not answer as it should.
type failure struct {
	kind string // the label of upstream_errors_total
	err  error
}

func (f *failure) Error() string { return fmt.Sprintf("upstream %s: %v", f.kind, f.err) }
func (f *failure) Unwrap() error { return f.err }

// Kinds of upstream failures.
const (
	kindDial      = "dial"      // no connection
	kindTimeout   = "timeout"   // no reply head in time
	kindClosed    = "closed"    // connection ended before a reply head
	kindMalformed = "malformed" // a reply two parsers could read differently
	kindTooLarge  = "too_large" // a reply head over the limit
	kindTruncated = "truncated" // a reply body cut short
	kindStalled   = "stalled"   // a reply body without progress
)
