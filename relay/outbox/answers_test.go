package outbox

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/actorkey"
)

// TestAnswers: what each status means, and how long an answer asks to wait.
func TestAnswers(t *testing.T) {
	now := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	p := &poster{clock: func() time.Time { return now }}
	f := func(status int, retryAfter string, want verdict, after time.Duration) {
		t.Helper()
		got := p.read(&http.Response{StatusCode: status, Header: http.Header{"Retry-After": {retryAfter}}})
		if got.verdict != want || got.after != after || got.status != status || (got.err == nil) != (want == delivered) {
			t.Errorf("%d, Retry-After %q: %+v, want %d after %v", status, retryAfter, got, want, after)
		}
	}
	for verdict, statuses := range map[verdict][]int{
		delivered: {200, 201, 202, 204, 299}, moved: {300, 301, 307, 308, 399, 404, 410}, denied: {401},
		refused: {400, 402, 403, 405, 409, 413, 422, 499},
	} {
		for _, status := range statuses {
			f(status, "60", verdict, 0)
		}
	}
	for verdict, statuses := range map[verdict][]int{waiting: {425, 429}, later: {408, 500, 501, 502, 503, 504, 599}} {
		for _, status := range statuses {
			f(status, "60", verdict, time.Minute)
		}
	}
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "soon": 0, "86399": 86399 * time.Second, "90000": 24 * time.Hour,
		"99999999999999999999": 24 * time.Hour, "-99999999999999999999": 0,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat):       0,
		now.Add(48 * time.Hour).Format(http.TimeFormat):   24 * time.Hour,
	} {
		f(http.StatusTooManyRequests, text, waiting, want)
	}
}

// TestEndOfATry: what ends, and when; what is said of it.
func TestEndOfATry(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for _, v := range []verdict{later, waiting, denied} {
		if v.ends(week-1) || !v.ends(week) {
			t.Errorf("%d does not end after a week", v)
		}
	}
	if offLimits.ends(24*time.Hour-1) || !offLimits.ends(24*time.Hour) {
		t.Error("where the client does not go is not given up after a day")
	}
	if delivered.ends(week) || !refused.ends(0) || !moved.ends(0) {
		t.Error("what is delivered is not given up, and what cannot be is at once")
	}
	f := func(a answered, reason string, heard bool) {
		t.Helper()
		if a.reason() != reason || a.heard() != heard {
			t.Errorf("%+v: %s, %t", a, a.reason(), a.heard())
		}
	}
	f(answered{verdict: waiting, err: fmt.Errorf("sign: %w", ErrNoKey)}, "no_key", false)
	f(answered{verdict: refused, err: fmt.Errorf("find: %w", errNotActor)}, "no_actor", true)
	f(answered{verdict: refused, err: ErrNotSent}, "expired", false)
	f(answered{verdict: refused, status: 400, err: errors.New("it answers 400")}, "status", true)
	f(answered{verdict: later, err: errUnreachable}, "no_answer", false)
	f(unanswered(fmt.Errorf("find: %w", actorkey.ErrRefused)), "off_limits", false)
}

// TestBackoff: a second, doubled to an hour, half of it more or less.
func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 12: 2048 * time.Second, 13: time.Hour, 14: time.Hour, 1000: time.Hour,
	} {
		for at, share := range map[float64]float64{0: 0.5, 0.5: 1, 0.75: 1.25} {
			spread := Spread(func(string, int) float64 { return at })
			if got := spread.backoff("", failures); got != time.Duration(share*float64(want)) {
				t.Errorf("after %d failures, at %v: %v", failures, at, got)
			}
		}
	}
}

// TestReadActor: a document must be the actor's own and have an inbox; a shared one counts on the same host only. A server that answers with a page
// is away.
func TestReadActor(t *testing.T) {
	const id = "https://far.example/users/zoe"
	f := func(doc, inbox, shared string) {
		t.Helper()
		got, err := readActor(id, []byte(doc))
		if got.inbox != inbox || got.shared != shared || (inbox == "") != errors.Is(err, errNotActor) {
			t.Errorf("%s: %+v, %v", doc, got, err)
		}
	}
	const own = "https://far.example/i"
	of := func(rest string) string { return `{"id":"` + id + `","inbox":"` + own + `"` + rest + `}` }
	f(of(""), own, "")
	f(of(`,"endpoints":{"sharedInbox":"https://FAR.example/all"}`), own, "https://FAR.example/all")
	f(of(`,"endpoints":{"sharedInbox":"https://near.example/all"}`), own, "")
	f(of(`,"endpoints":{"sharedInbox":"https://far.example/\u0000"}`), own, "")
	f(of(`,"endpoints":"https://far.example/endpoints"`), own, "")
	f(`{"id":"`+id+`"}`, "", "")
	f(`{"id":"`+id+`","inbox":"inbox"}`, "", "")
	f(`{"id":"`+id+`#me","inbox":"`+own+`"}`, "", "")
	if _, err := readActor(id, []byte("<html>Back soon")); !errors.Is(err, errUnreachable) {
		t.Errorf("a page: %v", err)
	}
}

// TestEnvelopes: who shares an inbox shares a delivery, unless they are not named, or each gets their own.
func TestEnvelopes(t *testing.T) {
	at := func(id, shared string, blind bool) recipient {
		id = "https://far.example/" + id
		return recipient{id: id, blind: blind, to: address{inbox: id + "/inbox", shared: shared}}
	}
	const shared = "https://far.example/inbox"
	lost := recipient{id: "https://far.example/lost"}
	f := func(each bool, list []recipient, want ...string) {
		t.Helper()
		var got []string
		for _, d := range (&Outbox{each: each}).envelopes(list) {
			got = append(got, fmt.Sprint(d.Host, " ", d.Inbox, " ", len(d.Recipients)))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: %q, want %q", list, got, want)
		}
	}
	a, b, c := at("a", shared, false), at("b", shared, false), at("c", shared, true)
	f(false, []recipient{a, c, b, lost, lost}, "far.example "+shared+" 2", "far.example https://far.example/c/inbox 1", "far.example  1", "far.example  1")
	f(false, []recipient{a, c}, "far.example https://far.example/a/inbox 1", "far.example https://far.example/c/inbox 1")
	f(false, []recipient{at("a", "", false), at("b", "", false), at("a", "", false)}, "far.example https://far.example/a/inbox 2", "far.example https://far.example/b/inbox 1")
	f(true, []recipient{a, b}, "far.example https://far.example/a/inbox 1", "far.example https://far.example/b/inbox 1")
}
