package policy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/policy/signature"
)

// bench is a gate with a policy and a journal. Its workers run until the test ends, or until rest.
type bench struct {
	*policy.Gate
	book *policy.Book
	reg  *prometheus.Registry
	rest func()
}

func newBench(t *testing.T, text string, j policy.Journal, o policy.Options) bench {
	t.Helper()
	b := bench{book: openBook(t, newShelf(text), j), reg: prometheus.NewRegistry()}
	o.Book, o.Journal, o.Metrics = b.book, j, b.reg
	b.Gate = policy.New(o)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	b.rest = func() {
		stop()
		if done != nil {
			<-done
			done = nil
		}
	}
	t.Cleanup(b.rest)
	return b
}

func invitation(n int) policy.Question {
	return policy.Question{
		At: rules.Contact, Actor: "https://a.example/users/alice", Account: "4711", Activity: fmt.Sprintf("https://a.example/1/%d", n),
		Msg: rules.Msg{Kind: rules.KindWelcome, KeyIsOurs: true, Bytes: 1000},
	}
}

const two = `version: 1
limits: {two: {max: 2, every: 1d, per: [actor]}}
rules:
  - {name: flood, at: contact, limit: two, then: ignore}
`

// Sixteen redeliveries count once, in memory, on disk, and after a restart.
func TestAVerdictIsSticky(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	b := newBench(t, two, store, policy.Options{})
	begin := b.Decide(t.Context(), invitation(1))
	for i := range 16 {
		if i == 8 {
			b.rest() // what was decided is on disk now
		}
		d := b.Decide(t.Context(), invitation(1))
		if d.ID != begin.ID || d.Action != rules.Allow || !d.Again {
			t.Fatalf("redelivery %d: %+v", i, d)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	b = newBench(t, two, openStore(t, dir), policy.Options{})
	if d := b.Decide(t.Context(), invitation(1)); d.ID != begin.ID || !d.Again {
		t.Errorf("after a restart: %+v", d)
	}
	other := invitation(1)
	other.Account = "4712"
	for n, q := range []policy.Question{other, invitation(2)} {
		if d := b.Decide(t.Context(), q); d.Again || d.Action != rules.Allow {
			t.Errorf("knock %d: %+v", n, d)
		}
	}
	if d := b.Decide(t.Context(), invitation(3)); d.Action != rules.Ignore || d.Rule != "flood" || d.RetryAfter.Round(time.Minute) != 12*time.Hour {
		t.Errorf("the third of a day: %+v", d)
	}
}

func TestRetryLaterIsAskedAnew(t *testing.T) {
	text := strings.Replace(two, "then: ignore", "then: retry-later", 1)
	b := newBench(t, text, openStore(t, t.TempDir()), policy.Options{})
	for n := range 2 {
		b.Decide(t.Context(), invitation(n))
	}
	one, two := b.Decide(t.Context(), invitation(3)), b.Decide(t.Context(), invitation(3))
	if one.Action != rules.RetryLater || two.Action != rules.RetryLater || two.Again || one.ID == two.ID {
		t.Errorf("%+v %+v", one, two)
	}
	if !strings.Contains(one.Sentence(), one.ID) || !strings.Contains(one.Sentence(), `"flood"`) {
		t.Error(one.Sentence())
	}
}

// TestSentences: whoever is turned away reads what of, and a decision that is remembered says the same.
func TestSentences(t *testing.T) {
	b := newBench(t, `version: 1
rules:
  - {name: closed,  at: contact, then: refuse}
  - {name: silence, at: send, then: refuse}
`, openStore(t, t.TempDir()), policy.Options{})
	fetch, sending := invitation(1), invitation(2)
	fetch.Activity, fetch.Msg.Kind = "", rules.KindKeyFetch
	sending.At, sending.Remote, sending.Msg.Kind = rules.Send, "https://b.example/users/bob", rules.KindApplication
	f := func(want string, q policy.Question) policy.Decision {
		t.Helper()
		d := b.Decide(t.Context(), q)
		if !strings.Contains(d.Sentence(), "does not "+want+":") || !strings.Contains(d.Sentence(), d.ID) {
			t.Errorf("%q, want %q", d.Sentence(), want)
		}
		return d
	}
	f("accept this invitation", invitation(0))
	f("give out these keys", fetch)
	d := f("send this message", sending)
	b.rest() // what was decided is on disk now
	if again := f("send this message", sending); again.ID != d.ID {
		t.Errorf("%+v, want %+v", again, d)
	}
	if x, err := b.book.Explain(t.Context(), d.ID); err != nil || x.Sentence != d.Sentence() {
		t.Errorf("%q, %v, want %q", x.Sentence, err, d.Sentence())
	}
}

// TestAConditionThatFailsIsSeen in the log, once an hour for each rule, without naming anybody; it does not match, and is counted.
func TestAConditionThatFailsIsSeen(t *testing.T) {
	var c clock
	var log bytes.Buffer
	b := newBench(t, `version: 1
rules:
  - {name: typo,  at: contact, when: 'int(actor.id) > 7', then: refuse}
  - {name: ratio, at: contact, when: 'msg.bytes / msg.recipients > 7', then: refuse}
`, nil, policy.Options{Clock: c.now, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for n := range 100 {
		if d := b.Decide(t.Context(), invitation(n)); d.Action != rules.Allow {
			t.Fatalf("%+v", d)
		}
		c.ns.Add(int64(time.Minute))
	}
	if n := counted(t, b.reg, "sealgate_policy_evaluation_errors_total", "typo"); n != 100 {
		t.Errorf("counted %v times", n)
	}
	text := log.String()
	if strings.Count(text, "rule=typo") != 2 || strings.Count(text, "rule=ratio") != 2 || strings.Contains(text, "alice") {
		t.Errorf("the log is\n%s", text)
	}
}

type relations map[string]rules.Rel

func (r relations) Relation(_ context.Context, account, actor string, with rules.Inherit) rules.Rel {
	if with.NotificationPolicy && actor == "https://a.example/users/filtered" {
		return rules.Limited
	}
	if rel, ok := r[account+" "+actor]; ok {
		return rel
	}
	return rules.Stranger
}

type approvals map[string]bool

func (a approvals) Approved(_ context.Context, account, actor string) bool {
	return a[account+" "+actor]
}

// What the person accepted before counts over being a stranger, never over a block; the notification policy
// speaks about first contact only.
func TestRelations(t *testing.T) {
	text := "version: 1\nrules:\n"
	for _, at := range []string{"contact", "group", "send"} {
		do := map[string]string{"contact": "hold", "group": "hide", "send": "refuse"}[at]
		for _, rel := range []string{"self", "mutual", "following", "follower", "approved", "stranger", "limited", "muted", "blocked"} {
			text += fmt.Sprintf("  - {name: %s-%s, at: %s, when: 'rel == %q', then: %s}\n", at, rel, at, rel, do)
		}
	}
	const me = "4711 https://a.example/users/"
	b := newBench(t, text, nil, policy.Options{
		Relations: relations{me + "friend": rules.Mutual, me + "foe": rules.Blocked, me + "fan": rules.Follower},
		Approvals: approvals{me + "foe": true, me + "fan": true, me + "known": true},
	})
	for _, c := range []struct {
		at        rules.Stage
		who, want string
	}{
		{rules.Contact, "friend", "contact-mutual"},
		{rules.Contact, "foe", "contact-blocked"},
		{rules.Contact, "fan", "contact-approved"},
		{rules.Contact, "known", "contact-approved"},
		{rules.Contact, "nobody", "contact-stranger"},
		{rules.Contact, "filtered", "contact-limited"},
		{rules.Group, "filtered", "group-stranger"},
		{rules.Group, "foe", "group-blocked"},
		{rules.Send, "friend", "send-mutual"},
		{rules.Send, "nobody", "send-stranger"},
	} {
		q := invitation(0)
		q.Activity, q.At, q.Actor = "", c.at, "https://a.example/users/"+c.who
		if c.at == rules.Send {
			q.Actor, q.Remote = "https://social.example/users/me", q.Actor
		}
		if d := b.Decide(t.Context(), q); d.Rule != c.want {
			t.Errorf("%s at %s: %q, want %q", c.who, c.at, d.Rule, c.want)
		}
	}
	if d := b.Decide(t.Context(), policy.Question{At: rules.Contact, Msg: rules.Msg{Kind: rules.KindWelcome}}); d.Rule != "contact-stranger" {
		t.Errorf("nobody: %+v", d)
	}
}

// TestDomainsAreAsListsHaveThem: lower case, Punycode, without a port or a dot at the end, and what is no name of a host as it is.
func TestDomainsAreAsListsHaveThem(t *testing.T) {
	for actor, want := range map[string]string{
		"https://A.Example:8443/users/a": "a.example", "https://BÜCHER.example/users/a": "xn--bcher-kva.example",
		"https://xn--bcher-kva.example/users/a": "xn--bcher-kva.example", "https://A_B.example/users/a": "a_b.example",
		"https://[2001:DB8::1]/users/a": "2001:db8::1", "https://%zz/": "",
		"https://a.example./users/a": "a.example", "https://a.example.:443/users/a": "a.example",
	} {
		if got := policy.DomainOf(actor); got != want {
			t.Errorf("%s is of %q, want %q", actor, got, want)
		}
	}
}

// TestTallyTellsApart: what rules did at which stage in which mode, and names up to a bound.
func TestTallyTellsApart(t *testing.T) {
	var sum policy.Tally
	for range 2 {
		for n := range 16 {
			pick := func(bit int, words ...string) string { return words[n>>bit&1] }
			var e policy.Entry
			e.Case.At = rules.Stage(pick(0, "contact", "group"))
			policy.Sum(&sum, e, pick(1, "a", "b"), rules.Action(pick(2, "hold", "ignore")), pick(3, "enforce", "shadow"))
		}
	}
	for _, r := range sum.Rules {
		if r.Count != 2 || r.People+r.Groups+len(r.Domains) != 0 {
			t.Errorf("%+v", r)
		}
	}
	if len(sum.Rules) != 16 {
		t.Errorf("%d sums of 16", len(sum.Rules))
	}
	const most = 100_000
	one := policy.Tally{}
	e := policy.Entry{}
	policy.Sum(&one, e, "a", rules.Hold, "enforce")
	for n := range most + 1 {
		e.Case.Actor.ID, e.Case.Group.ID = fmt.Sprint(n), fmt.Sprint(n)
		e.Case.Actor.Domain = fmt.Sprint(n)
		one.Rules[0].Add(e)
	}
	e.Case.Actor.Domain = "0"
	policy.Sum(&one, e, "a", rules.Hold, "enforce")
	if r := one.Rules[0]; r.People != most || r.Groups != most || r.Domains[0] != (policy.DomainCount{Domain: "0", Count: 2}) || r.Names() != most {
		t.Errorf("%d people, %d groups, %+v", r.People, r.Groups, r.Domains)
	}
}

func TestADomainGrowsOld(t *testing.T) {
	var c clock
	b := newBench(t, "version: 1\nrules: [{name: young, at: contact, when: 'actor.first_seen_days < 7', then: hold}]", openStore(t, t.TempDir()), policy.Options{Clock: c.now})
	for days, want := range []rules.Action{0: rules.Hold, 6: rules.Hold, 7: rules.Allow, 100: rules.Allow} {
		if want == "" {
			continue
		}
		c.ns.Store(int64(days) * int64(24*time.Hour))
		q := invitation(days)
		q.Actor = "https://A.example:8443/users/" + fmt.Sprint(days) // the domain counts
		if d := b.Decide(t.Context(), q); d.Action != want {
			t.Errorf("after %d days: %+v", days, d)
		}
	}
}

func TestExplainTallyAndReplay(t *testing.T) {
	store := openStore(t, t.TempDir())
	text := `version: 1
rules:
  - {name: maybe, at: contact, when: 'rel == "stranger"', then: refuse, mode: shadow}
  - {name: wait, at: contact, when: 'msg.kind == "welcome"', then: hold}
`
	b := newBench(t, text, store, policy.Options{})
	var last policy.Decision
	for n := range 30 {
		q := invitation(n)
		q.Actor = fmt.Sprintf("https://%c.example/users/%d", 'a'+n%3, n)
		last = b.Decide(t.Context(), q)
	}
	b.rest()
	x, err := b.book.Explain(t.Context(), last.ID)
	if err != nil || x.Decided.Rule != "wait" || x.Decided.Case.Actor.Domain != "c.example" || x.Steps[1].Answer != "matches" || x.Rule != "wait" {
		t.Errorf("%+v, %v", x, err)
	}
	other := "0"
	if strings.HasSuffix(last.ID, other) {
		other = "1"
	}
	for _, id := range []string{"", "0", "0123456789abcdef", last.ID[:15] + other, "ZZZZZZZZZZZZZZZZ"} {
		if _, err := b.book.Explain(t.Context(), id); !errors.Is(err, policy.ErrNoDecision) {
			t.Errorf("%q: %v", id, err)
		}
	}
	tally, err := b.book.Tally(t.Context(), time.Now().Add(-time.Hour))
	if err != nil || tally.Entries != 30 || len(tally.Rules) != 2 {
		t.Fatalf("%+v, %v", tally, err)
	}
	for _, r := range tally.Rules {
		shadow := r.Rule == "maybe" && r.Mode == rules.ShadowMode && r.Action == rules.Refuse
		if wait := r.Rule == "wait" && r.Mode == rules.Enforce && r.Action == rules.Hold; !wait && !shadow || r.Count != 30 || r.People != 30 || len(r.Domains) != 3 || r.Domains[0].Count != 10 {
			t.Errorf("%+v", r)
		}
	}
	next := policy.Candidate{Name: "next", Text: []byte("version: 1\nlists: {l: {file: l}}\nrules: [{name: some, at: contact, when: 'actor.domain in lists.l || actor.id == \"x\"', then: ignore}]"), Files: map[string][]byte{"l": []byte("a.example")}}
	r, err := b.book.Replay(t.Context(), time.Now().Add(-time.Hour), next)
	if err != nil || r.Entries != 30 || len(r.Flips) != 2 || len(r.Warnings) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if f := r.Flips[0]; f.Count != 20 || f.Was != "hold by wait" || f.Now != "allow" || f.People != 20 {
		t.Errorf("%+v", f)
	}
	if f := r.Flips[1]; f.Count != 10 || f.Now != "ignore by some" || f.Domains[0] != (policy.DomainCount{Domain: "a.example", Count: 10}) {
		t.Errorf("%+v", f)
	}
	if r, err := b.book.Replay(t.Context(), time.Time{}, policy.Candidate{}); err != nil || len(r.Flips) != 0 || r.Entries != 30 {
		t.Errorf("the policy against itself: %+v, %v", r, err)
	}
	if _, err := b.book.Replay(t.Context(), time.Time{}, policy.Candidate{Text: []byte(broken)}); len(rules.Problems(err)) != 1 {
		t.Errorf("a broken one: %v", err)
	}
}

// An hour of attack does not fill the disk, and what a rule decided is logged when plain allows are not.
func TestTheLogIsRationed(t *testing.T) {
	var c clock
	j := &counting{}
	b := newBench(t, "version: 1\nrules: [{name: big, at: contact, when: 'msg.bytes > 10', then: hold}]", j, policy.Options{Clock: c.now})
	ask := func(n, bytes int) {
		q := invitation(n)
		q.Msg.Bytes = bytes
		b.Decide(t.Context(), q)
	}
	for n := range 4000 {
		ask(n, 1)
	}
	for n := range 4000 {
		ask(10_000+n, 100)
	}
	c.advance(time.Hour)
	for n := range 10 {
		ask(20_000+n, 1)
	}
	b.rest()
	if j.plain != 2510 || j.ruled != 2500 || j.sticky != 8010 {
		t.Errorf("%d plain and %d ruled entries, %d verdicts", j.plain, j.ruled, j.sticky)
	}
}

// counting is a journal that only counts what it gets.
type counting struct {
	policy.Journal
	plain, ruled, sticky int
}

func (j *counting) Verdict(context.Context, policy.Knock) (policy.Decision, bool, error) {
	return policy.Decision{}, false, nil
}

func (j *counting) FirstSeen(_ context.Context, _ string, now time.Time) (time.Time, error) {
	return now, nil
}

func (j *counting) Changes(context.Context) ([]policy.Change, error) { return nil, nil }

func (j *counting) AddChange(context.Context, policy.Change, []byte, []byte) error { return nil }

func (j *counting) Record(_ context.Context, batch []policy.Entry) error {
	for _, e := range batch {
		switch {
		case !e.Logged:
		case e.Rule == "":
			j.plain++
		default:
			j.ruled++
		}
		if e.Sticky {
			j.sticky++
		}
	}
	return nil
}

// A journal that does not write costs entries, never the process.
func TestPendingDecisionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, holds, &stuck{}, policy.Options{})
		for n := range 20_000 {
			q := invitation(n)
			q.At = rules.Group
			if d := b.Decide(t.Context(), q); d.Action != rules.Allow {
				t.Fatalf("%+v", d)
			}
		}
		if n := counted(t, b.reg, "sealgate_policy_unrecorded_total", "full"); n < 20_000-2*8192-512 {
			t.Errorf("%v were dropped", n)
		}
	})
}

// stuck is a journal whose writes wait for the end.
type stuck struct{ counting }

func (s *stuck) Record(ctx context.Context, _ []policy.Entry) error {
	<-ctx.Done()
	return ctx.Err()
}

func counted(t *testing.T, reg *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	return house{reg: reg}.count(t, name, labels...)
}

func TestSignersHaveABudgetOfTheirOwn(t *testing.T) {
	p := newPeer(t)
	h := newHouse(t, nil, func(o *policy.Options) { o.SignedRequests = ratelimit.Rate{Max: 5, Every: time.Minute} })
	admit := func(name, client string) error {
		a := h.arrival(t, p.URL+"/users/"+name+"#main-key", aliceKey, signature.Cavage)
		a.Client = netip.MustParseAddr(client)
		_, err := h.Admit(t.Context(), a)
		return err
	}
	for n := range 5 {
		if err := admit("alice", fmt.Sprintf("198.51.100.%d", n)); err != nil {
			t.Fatal(err)
		}
	}
	err := admit("alice", "198.51.100.9")
	limit, ok := errors.AsType[*policy.LimitError](err)
	if !ok || !errors.Is(err, policy.ErrTooMany) || limit.RetryAfter != 12*time.Second || limit.Key != "limits.signed_requests" {
		t.Fatalf("the sixth: %v", err)
	}
	if err := admit("bob", "198.51.100.9"); err != nil {
		t.Errorf("another signer of the same client pays for it: %v", err)
	}
	if n := h.count(t, "sealgate_limit_exceeded_total", "signed_requests"); n != 1 {
		t.Errorf("%v counted", n)
	}
	h.clock.advance(12 * time.Second)
	if err := admit("alice", "198.51.100.9"); err != nil {
		t.Errorf("after the announced wait: %v", err)
	}
}
