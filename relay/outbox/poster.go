package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/sealgate/sealgate/authority"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/signature"
)

// schemeFresh is how long a host's choice of signature scheme is remembered.
const schemeFresh = 7 * 24 * time.Hour

// poster makes one signed POST.
type poster struct {
	client  *http.Client
	keys    *keyring
	clock   func() time.Time
	schemes *otter.Cache[string, accepted]
}

// accepted is the scheme that a host took.
type accepted struct {
	scheme string
	until  time.Time
}

func newPoster(o Options) *poster {
	return &poster{
		client: o.Client, keys: newKeyring(o), clock: o.Clock,
		schemes: newCache[accepted](10000),
	}
}

// verdict is what an answer means for a delivery.
type verdict int

const (
	delivered verdict = iota
	later             // the host did not do its part: again
	offLimits         // the client does not go where it leads: again, for a day
	waiting           // the host is well and wants to be asked later
	denied            // 401 in both schemes: perhaps the host cannot fetch the key now, or a clock is wrong
	refused           // never
	moved             // never at this address
)

// ends says whether a delivery accepted so long ago is given up.
func (v verdict) ends(age time.Duration) bool {
	switch v {
	case delivered:
		return false
	case refused, moved:
		return true
	case offLimits:
		return age >= turnBackAfter
	default:
		return age >= giveUpAfter
	}
}

// blames says whether the host did not do its part.
func (v verdict) blames() bool { return v == later || v == offLimits }

// unanswered is what it means that nobody answered.
func unanswered(err error) answered {
	if errors.Is(err, actorkey.ErrRefused) {
		return answered{verdict: offLimits, err: err}
	}
	return answered{verdict: later, err: err}
}

// answered is a verdict with what the log and the retry need. err may name people:
// it is for the debug log only.
type answered struct {
	verdict verdict
	status  int // 0: no answer
	after   time.Duration
	err     error
	left    []string // of several recipients those who have not got it; nil: nobody has
}

// reason says without a name why a delivery did not succeed.
func (a answered) reason() string {
	switch {
	case errors.Is(a.err, ErrNoKey):
		return "no_key"
	case errors.Is(a.err, errNotActor):
		return "no_actor"
	case errors.Is(a.err, ErrNotSent):
		return "expired"
	case a.verdict == offLimits:
		return "off_limits"
	case a.status != 0:
		return "status"
	}
	return "no_answer"
}

// heard says whether the recipient's host answered.
func (a answered) heard() bool {
	return a.verdict == delivered || a.status != 0 || errors.Is(a.err, errNotActor)
}

// send posts body to an inbox as the sender. A host that answers 401 is asked once
// more with the other scheme and with the key as it is now.
func (p *poster) send(ctx context.Context, d *Delivery, inbox string, body []byte) answered {
	who, err := p.keys.signer(ctx, d.Sender)
	if err != nil {
		return answered{verdict: waiting, after: time.Minute, err: err}
	}
	target := authority.Of(inbox)
	who.Scheme = signature.Cavage
	if known, ok := p.schemes.GetIfPresent(target); ok && p.clock().Before(known.until) {
		who.Scheme = known.scheme
	}
	got := p.try(ctx, inbox, body, who)
	if got.status != http.StatusUnauthorized {
		p.remember(target, who.Scheme, got)
		return got
	}
	scheme := signature.RFC9421
	if who.Scheme == signature.RFC9421 {
		scheme = signature.Cavage
	}
	if who, err = p.keys.refresh(ctx, d.Sender); err != nil {
		return answered{verdict: waiting, after: time.Minute, err: err}
	}
	who.Scheme = scheme
	got = p.try(ctx, inbox, body, who)
	p.remember(target, who.Scheme, got)
	return got
}

// remember keeps what worked. RFC 9421 is only ever tried after a 401: a host that
// says 202 to it unasked may have understood nothing.
func (p *poster) remember(host, scheme string, got answered) {
	if got.verdict == delivered {
		p.schemes.Set(host, accepted{scheme, p.clock().Add(schemeFresh)})
	}
}

func (p *poster) try(ctx context.Context, inbox string, body []byte, who signature.Signer) answered {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, inbox, bytes.NewReader(body))
	if err != nil {
		return answered{verdict: moved, err: err}
	}
	req.Header.Set("Content-Type", `application/activity+json`)
	req.Header.Set("Accept", actorkey.Accept)
	if err := signature.SignHTTP(req, body, who, p.clock()); err != nil {
		return answered{verdict: waiting, after: time.Minute, err: err}
	}
	res, err := p.client.Do(req)
	if err != nil {
		return unanswered(err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // so that the connection is used again
	return p.read(res)
}

// read sorts statuses (contract.md, interop.md).
func (p *poster) read(res *http.Response) answered {
	a := answered{status: res.StatusCode, err: fmt.Errorf("it answers %d", res.StatusCode)}
	switch code := res.StatusCode; {
	case code < 300:
		a.verdict, a.err = delivered, nil
	case code == http.StatusUnauthorized:
		a.verdict = denied
	case code == http.StatusTooManyRequests, code == http.StatusTooEarly:
		a.verdict, a.after = waiting, actorkey.RetryAfter(res, p.clock(), longestWait)
	case code == http.StatusRequestTimeout, code >= 500:
		a.verdict, a.after = later, actorkey.RetryAfter(res, p.clock(), longestWait)
	case code == http.StatusNotFound, code == http.StatusGone, code < 400:
		a.verdict = moved
	default:
		a.verdict = refused
	}
	return a
}
