package relay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/mls"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/signature"
	"github.com/sealgate/sealgate/relay/forward"
	"github.com/sealgate/sealgate/relay/intake"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/relay/push"
)

// problem is an RFC 9457 answer. Detail is a sentence a person can act on.
type problem struct {
	Type       string         `json:"type"`
	Title      string         `json:"title"`
	Status     int            `json:"status"`
	Detail     string         `json:"detail,omitempty"`
	Decision   string         `json:"decision,omitempty"` // of policy, by which operators find it
	Rule       string         `json:"rule,omitempty"`     // of policy
	RetryAfter time.Duration  `json:"-"`
	Limit      string         `json:"-"` // what was exceeded; a rule's or a key's name
	Quota      ratelimit.Rate `json:"-"` // of Limit
	Reason     reason         `json:"-"` // empty: that of the status

	Epoch  *uint64 `json:"epoch,omitempty"`  // with 409: where the group stands
	Winner string  `json:"winner,omitempty"` // with 409: the commit that was first
}

func (p problem) body() []byte {
	p.Type, p.Title = "about:blank", fasthttp.StatusMessage(p.Status)
	return jsonOf(p)
}

// What goes wrong before any other package is asked.
var (
	errLeaving   = errors.New("relay: nothing new is taken (sealgate leave)")
	errTooLarge  = errors.New("relay: body over mailbox.max_activity")
	errCoded     = errors.New("relay: content-coded inbox body")
	errTruncated = errors.New("relay: body cut short")
	errNoToken   = errors.New("relay: no access token")
	errNotOwner  = errors.New("relay: not the caller's")
	errNoItem    = errors.New("relay: no such item")
	errBadPage   = errors.New("relay: no such page")
)

const problemJSON = "application/problem+json"

// retryLater is what a peer or client waits, before jitter, when nothing better
// is known.
const retryLater = 30 * time.Second

// answer is what somebody is told of an error. explain adds what else the error says, for what the asker themself sent.
type answer struct {
	err     error
	status  int
	detail  string
	explain bool
}

// answers is the table from errors to statuses; the first match holds. What people read on a page is in pageAnswers.
var answers = []answer{
	{errLeaving, 403, "This server has stopped end-to-end encrypted messages: it takes and sends no new ones. " +
		"Those that are here can be read until they expire.", false},
	{errTooLarge, 413, "The activity is larger than this server accepts (mailbox.max_activity).", false},
	{errCoded, 415, "Send activities without a Content-Encoding: this server must be able to tell what they are.", false},
	// Before the one it comes with: a peer gives a message up that is answered 400.
	{forward.ErrSlow, 408, "The request body took too long (limits.body_timeout).", false},
	{errTruncated, 400, "The body ended before its announced length.", false},
	{activity.ErrMalformed, 400, "The activity carries MLS and cannot be read.", true},
	{inbox.ErrMalformed, 400, "The MLS message in the activity cannot be read.", true},
	{inbox.ErrForbidden, 403, "The signature, the actor and the author of an activity must be the same actor, " +
		"and its id must be on that actor's host.", false},
	{inbox.ErrFull, 429, "The recipient's mailbox has no room for more from this sender (mailbox.quota): try again later.", false},
	{inbox.ErrUnavailable, 503, "The message cannot be stored now: try again later.", false},
	// Before the signature's own: a key that could not be had anew also carries the mismatch.
	{policy.ErrKeyUnavailable, 503, "The sender's key cannot be fetched now: try again later.", false},
	{signature.ErrUnsigned, 401, "MLS messages must carry an HTTP signature of their sender.", false},
	{signature.ErrMalformed, 401, "The HTTP signature cannot be read.", true},
	{signature.ErrUnsupported, 401, "The HTTP signature uses something this server does not support.", true},
	{signature.ErrCoverage, 401, "The HTTP signature does not cover enough of the request.", true},
	{signature.ErrHost, 401, "The HTTP signature was made for another host.", true},
	{signature.ErrStale, 401, "The HTTP signature's date is out of range: check the clock.", true},
	{signature.ErrDigest, 401, "The digest does not match the body.", true},
	{signature.ErrMismatch, 401, "The HTTP signature does not match the sender's key.", false},
	{actorkey.ErrNoKey, 401, "The key that the HTTP signature names does not exist or is not the sender's.", false},
	{policy.ErrSignature, 401, "The HTTP signature does not prove who sent this.", false},
	{outbox.ErrMalformed, 400, "This cannot be sent.", true},
	{outbox.ErrForbidden, 403, "An activity can only be posted in one's own name.", true},
	{outbox.ErrNotSent, 404, "There is nothing here for you.", false},
	{outbox.ErrReceiveOnly, 503, "This gateway only receives: it cannot sign messages to other servers until its operator " +
		"sets signing.source. Messages to people on this server can be sent.", false},
	{outbox.ErrNoKey, 503, "The sender's key cannot be read, so nothing can be signed (signing.source).", false},
	{errNotOurs, 501, "This outbox sends end-to-end encrypted messages (MLS) and reports (Flag) only; nothing was posted. " +
		"Post everything else with the instance's own API.", false},
	{errEmpty, 400, "The body is empty: post an activity, as JSON.", false},
	{errNoOutbox, 503, "This gateway sends nothing.", false},
	{errNoToken, 401, "Show an access token of the person whom this concerns: Authorization: Bearer. " +
		"The session cookie counts for pages of this server alone.", false},
	{mls.ErrMalformed, 400, "The key package cannot be read.", true},
	{inbox.ErrNotKeyPackage, 400, "The object says that it is a KeyPackage, and its content is something else.", true},
	{inbox.ErrReused, 400, "Each init key is for one key package (RFC 9420 §10): make a new one.", true},
	{inbox.ErrPackageSize, 413, "The key package is larger than this server keeps.", true},
	{inbox.ErrTooMany, 403, "This server keeps no more key packages for you (key_packages.max_per_device).", true},
	{inbox.ErrNoPackage, 404, "There is no key package under this id.", true},
	{errKeyRule, 400, "The key package breaks a rule.", true},
	{errPosted, 400, "This activity cannot be understood.", true},
	{errOthers, 403, "This is somebody else's.", true},
	{inbox.ErrNoRequest, 404, "You have no such message request.", false},
	{errDecide, 400, "Say what to do with the request: action=accept or action=drop.", false},
	{errSever, 400, "Say what to do: action=sever or action=rejoin, and who=, an actor's id or a host.", false},
	{errHere, 400, "They are on this server: block them at the instance, or have its moderators act.", false},
	{inbox.ErrNobody, 400, "Say whom: who=, an actor's id (https://…) or a host.", false},
	{inbox.ErrNotSevered, 404, "They are not cut off.", false},
	{inbox.ErrTooManySevered, 409, "You have cut off as many as are kept: take some back, or block them at the instance.", false},
	{errNotOwner, 404, "There is nothing here for this access token.", false},
	{errStreamsFull, 503, "More clients listen than this server can serve: try again later.", false},
	{errNoThrough, 400, "Say up to which activity this device is done: ?through=<id>.", false},
	{errSubscription, 400, "Send a push subscription as JSON: {\"endpoint\": \"https://…\"}.", false},
	{push.ErrEndpoint, 400, "The endpoint must be an https URL of at most 2048 bytes.", false},
	{push.ErrNoSubscription, 404, "There is no such push subscription.", false},
	{errNoItem, 404, "There is no such item in this collection.", false},
	{errBadPage, 404, "There is no such page.", false},
	{errNoDevice, 404, "There is no such device.", false},
	{errForeignPage, 403, "This takes a page of this server's own: another site's may not use the session cookie.", false},
	{errForm, 400, "The form cannot be read.", true},
	{errAddress, 400, "This cannot be fetched: send the id of an ActivityPub document on a public server.", true},
	{errLookedUp, 429, "Too many documents were asked for in a short time: try again later.", false},
	{errNotThere, 404, "There is no such document.", false},
	{errOutside, 502, "The other server gave no ActivityPub document.", false},
	{mastodon.ErrReport, 400, "The report cannot be made.", true},
	{mastodon.ErrReportRefused, 403, "The instance does not take the report.", true},
	{mastodon.ErrToken, 401, "The instance does not accept this access token: sign in again.", false},
	{mastodon.ErrScope, 403, "The access token does not allow this.", true},
	{mastodon.ErrAsked, 429, "The activity names more people than the instance is asked about for one: " +
		"send it again later, those who were found are remembered.", false},
	{mastodon.ErrNoPerson, 404, "Nobody here has this name.", false},
	{mastodon.ErrUnavailable, 503, "The instance behind this gateway cannot be asked now (upstream.web): try again later.", false},
}

// answerTo finds an error's answer in a table. What nobody foresaw is 503: the peer keeps its message.
func answerTo(err error, table []answer) answer {
	for _, a := range table {
		if errors.Is(err, a.err) {
			return a
		}
	}
	return answer{status: fasthttp.StatusServiceUnavailable, detail: "This cannot be done now: try again later."}
}

// describe is the problem that an error is.
func describe(err error) problem {
	if limit, ok := errors.AsType[*policy.LimitError](err); ok {
		return describeLimit(limit)
	}
	if ruled, ok := errors.AsType[*intake.RuledError](err); ok {
		return describeRuled(ruled)
	}
	if stale, ok := errors.AsType[*outbox.StaleError](err); ok {
		return problem{Status: fasthttp.StatusConflict, Epoch: &stale.Epoch, Winner: stale.Winner, Detail: fmt.Sprintf(
			"Another device's commit was first: the group is in epoch %d. Apply that commit and commit anew.", stale.Epoch)}
	}
	a := answerTo(err, answers)
	p := problem{Status: a.status, Detail: a.detail}
	if more := added(err); a.explain && more != "" {
		p.Detail += " (" + more + ")"
	}
	return p
}

// added is what an error says besides those in answers, for which there is a sentence.
func added(err error) string {
	text := ": " + plain(err) + ": "
	for _, a := range answers {
		for known := ": " + plain(a.err) + ": "; strings.Contains(text, known) && errors.Is(err, a.err); {
			text = strings.Replace(text, known, ": ", 1)
		}
	}
	return strings.Trim(text, ": ")
}

// plain is an error's text for those who know nothing of our packages, whose names its causes begin with.
func plain(err error) string { return withoutNames(err.Error(), err) }

func withoutNames(text string, err error) string {
	var causes []error
	switch e := err.(type) { //nolint:errorlint // this is what walks
	case interface{ Unwrap() error }:
		causes = append(causes, e.Unwrap())
	case interface{ Unwrap() []error }:
		causes = e.Unwrap()
	}
	for _, cause := range causes {
		if cause != nil { // a net.DNSError, for one, has none
			text = withoutNames(text, cause)
		}
	}
	name, own, ok := strings.Cut(err.Error(), ": ")
	if len(causes) > 0 || !ok || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") != "" {
		return text
	}
	return strings.Replace(text, err.Error(), own, 1)
}

// describeLimit tells one client's excess (429) from everybody's (503).
func describeLimit(limit *policy.LimitError) problem {
	if errors.Is(limit, policy.ErrBusy) {
		return problem{
			Status: fasthttp.StatusServiceUnavailable, RetryAfter: limit.RetryAfter,
			Detail: "There is more to do than this server can: try again later.",
		}
	}
	return problem{
		Status: fasthttp.StatusTooManyRequests, RetryAfter: limit.RetryAfter, Limit: limit.Key, Quota: limit.Rate,
		Detail: "Too much of this in a short time (" + limit.Key + "): try again later.",
	}
}

// describeRuled tells somebody which rule turned them away, and how to ask about it.
func describeRuled(ruled *intake.RuledError) problem {
	p := problem{
		Status: fasthttp.StatusForbidden, Detail: ruled.Decision.Sentence(),
		Decision: ruled.Decision.ID, Rule: ruled.Decision.Rule,
	}
	if errors.Is(ruled, intake.ErrLater) {
		p.Status, p.RetryAfter, p.Limit = fasthttp.StatusTooManyRequests, intake.Wait(ruled.Decision), p.Rule
		p.Quota = ruled.Decision.Limit
	}
	return p
}

// elsewhere are errors of which there would be too many: nothing here is to blame for them, and whoever asks can cause them.
var elsewhere = []error{policy.ErrBusy, policy.ErrKeyUnavailable, errNotOurs, errOutside}

// fail answers with the status of an error; the log gets the whole chain, at a
// level where what peers send does not fill it.
func (r *Relay) fail(ctx *fasthttp.RequestCtx, err error) {
	p := describe(err)
	p.Reason = reasonOf(err, p.Status)
	isElsewhere := slices.ContainsFunc(elsewhere, func(e error) bool { return errors.Is(err, e) })
	if p.Status >= fasthttp.StatusInternalServerError && !isElsewhere {
		r.log.Warn("request could not be served", "status", p.Status, "error", err)
	} else {
		r.log.Debug("request refused", "status", p.Status, "error", err)
	}
	if p.Status == fasthttp.StatusUnauthorized {
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, challenge(err))
	}
	r.refuse(ctx, p)
}

// challenge says what would have been accepted (RFC 9110 §11.6.1, RFC 6750 §3).
func challenge(err error) string {
	switch {
	case errors.Is(err, errNoToken):
		return `Bearer realm="sealgate"`
	case errors.Is(err, mastodon.ErrToken):
		return `Bearer realm="sealgate", error="invalid_token"`
	}
	return `Signature realm="sealgate", headers="(request-target) host date digest"`
}

// refuse writes a problem. 429 and 503 say when to come back, no two askers at
// the same moment.
func (r *Relay) refuse(ctx *fasthttp.RequestCtx, p problem) {
	if p.Reason == "" {
		p.Reason = reasons[p.Status]
	}
	r.metrics.refused.WithLabelValues(string(p.Reason)).Inc()
	if p.Status == fasthttp.StatusTooManyRequests || p.Status == fasthttp.StatusServiceUnavailable {
		wait := seconds(p.RetryAfter)
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, wait)
		if p.Quota.Max > 0 { // draft-ietf-httpapi-ratelimit-headers
			ctx.Response.Header.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", p.Limit, p.Quota.Max, max(p.Quota.Every/time.Second, 1)))
			ctx.Response.Header.Set("RateLimit", fmt.Sprintf("%q;r=0;t=%s", p.Limit, wait))
		}
	}
	write(ctx, reply{status: p.Status, kind: problemJSON, cache: "no-store", body: p.body()})
}

// refuseBusy is refuse for policy.ErrBusy, where there is a flood: it allocates nothing.
func (r *Relay) refuseBusy(ctx *fasthttp.RequestCtx, comeAgain time.Duration) {
	r.metrics.busy.Inc()
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, seconds(comeAgain))
	write(ctx, reply{status: fasthttp.StatusServiceUnavailable, kind: problemJSON, cache: "no-store", body: r.busy})
}

// seconds is a Retry-After of at least wait and at most half as much again.
func seconds(wait time.Duration) string {
	if wait <= 0 {
		wait = retryLater
	}
	wait += rand.N(wait/2 + time.Second)
	return strconv.Itoa(int((wait + time.Second - 1) / time.Second))
}
