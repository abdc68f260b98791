package signature

import "errors"

// All of these are 401 to a peer; they differ in what the log and the answer
// can say about the cure.
var (
	// ErrUnsigned: there is no signature at all.
	ErrUnsigned = errors.New("signature: request is not signed")
	// ErrMalformed: a header cannot be read, or says two things at once.
	ErrMalformed = errors.New("signature: malformed")
	// ErrUnsupported: a component or algorithm we do not implement is covered.
	ErrUnsupported = errors.New("signature: unsupported")
	// ErrCoverage: something that must be signed is not.
	ErrCoverage = errors.New("signature: does not cover enough")
	// ErrHost: it was made for another host.
	ErrHost = errors.New("signature: made for another host")
	// ErrStale: a date is too old, in the future, or past its expiry.
	ErrStale = errors.New("signature: date out of range")
	// ErrDigest: the body is not the one that was signed.
	ErrDigest = errors.New("signature: digest does not match the body")
	// ErrMismatch: the key did not make this signature.
	ErrMismatch = errors.New("signature: does not match the key")
)
