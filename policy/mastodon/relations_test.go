package mastodon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/rules"
)

// shelf is a Shelf in memory.
type shelf struct {
	mu     sync.Mutex
	rows   map[string][]byte
	writes int
}

func (s *shelf) KeepAnswer(_ context.Context, account, about string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if len(value) > 512<<10 {
		return fmt.Errorf("a value of %d bytes", len(value))
	}
	s.rows[account+" "+about] = value
	if len(value) == 0 {
		delete(s.rows, account+" "+about)
	}
	return nil
}

func (s *shelf) KeptAnswer(_ context.Context, account, about string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value, ok := s.rows[account+" "+about]; ok {
		return value, nil
	}
	return nil, mastodon.ErrNotKept
}

func (s *shelf) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// town is an instance with alice and people elsewhere, and the relations that a gateway before it knows.
type town struct {
	*mastodon.Relations

	sample *instance.Instance
	server *httptest.Server
	alice  *instance.Person
	token  string
	tired  atomic.Value // a token that asks too often
	admin  string
	clock  *clock
	shelf  *shelf
	away   atomic.Bool
	names  map[string]string // preferredUsernames that are known
	logged bytes.Buffer
}

func everything() rules.Inherit {
	return rules.Inherit{DomainBlocks: true, UserBlocks: true, NotificationPolicy: true}
}

func newTown(t testing.TB) *town {
	t.Helper()
	w := &town{
		sample: instance.New(instance.Options{Origin: "https://" + domain}), names: map[string]string{},
		clock: &clock{now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}, shelf: &shelf{rows: map[string][]byte{}},
	}
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.away.Load() {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		if tired, _ := w.tired.Load().(string); tired != "" && r.Header.Get("Authorization") == "Bearer "+tired {
			rw.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.sample.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.server.Close)
	var err error
	if w.alice, err = w.sample.AddPerson("alice"); err != nil {
		t.Fatal(err)
	}
	w.sample.SetNotificationPolicy(w.alice, map[string]string{"for_private_mentions": "accept", "for_limited_accounts": "accept"})
	w.token = w.sample.Token(w.alice, "read")
	w.start(t)
	return w
}

// start is a gateway that starts, with what an earlier one kept.
func (w *town) start(t testing.TB) {
	t.Helper()
	i, err := mastodon.New(mastodon.Options{
		Domain: domain, Web: w.server.URL, Clock: w.clock.time, Log: slog.New(slog.NewTextHandler(&w.logged, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	w.Relations = i.NewRelations(mastodon.RelationsOptions{
		Shelf: w.shelf, Name: func(actor string) string { return w.names[actor] },
		AdminToken: func() (string, error) { return w.admin, nil },
	})
}

// connect is alice's client showing its token, and the questions that follow. Run does nothing but them.
func (w *town) connect(t testing.TB) {
	t.Helper()
	if _, err := w.CallerWithin(t.Context(), w.token, 0); err != nil && !w.away.Load() {
		t.Fatal(err)
	}
	w.AskDue(t.Context())
}

// know makes the instance know zoe of a host, whose actor id shows her name.
func (w *town) know(host string, tie instance.Tie) *instance.Remote {
	r := w.sample.AddRemote(instance.Remote{Name: "zoe", Host: host, Actor: "https://" + host + "/users/zoe"})
	w.sample.Relate(w.alice, r, tie)
	return r
}

func (w *town) want(t *testing.T, actor string, rel rules.Rel) {
	t.Helper()
	w.wantWith(t, actor, rel, everything())
}

func (w *town) wantWith(t *testing.T, actor string, rel rules.Rel, with rules.Inherit) {
	t.Helper()
	if got := w.Relation(t.Context(), w.alice.Account, actor, with); got != rel {
		t.Errorf("%s is %s, want %s", actor, got, rel)
	}
}

func TestRelationsOfOnePerson(t *testing.T) {
	w := newTown(t)
	w.connect(t)
	both := instance.Tie{Following: true, FollowedBy: true}
	f := func(host string, tie instance.Tie, rel rules.Rel) {
		t.Helper()
		w.want(t, w.know(host, tie).Actor, rel)
	}
	f("mutual.example", both, rules.Mutual)
	f("idol.example", instance.Tie{Following: true}, rules.Following)
	f("fan.example", instance.Tie{FollowedBy: true}, rules.Follower)
	f("nobody.example", instance.Tie{}, rules.Stranger)
	f("troll.example", instance.Tie{Blocking: true}, rules.Blocked)
	f("bore.example", instance.Tie{Following: true, FollowedBy: true, Muting: true}, rules.Muted)
	w.want(t, "https://never.example/users/heard", rules.Stranger)
	w.want(t, "not a url", rules.Stranger)

	r := w.sample.AddRemote(instance.Remote{Name: "zoe", Host: "split.example", Actor: "https://social.split.example/ap/users/7"})
	w.sample.Relate(w.alice, r, both)
	w.want(t, r.Actor, rules.Stranger) // its id does not show a name
	w.names[r.Actor] = "zoe"
	w.clock.turn(16 * time.Minute)
	w.connect(t)
	w.want(t, r.Actor, rules.Mutual) // LOCAL_DOMAIN above WEB_DOMAIN
	imitation := "https://social.split.example/evil/zoe"
	w.want(t, imitation, rules.Stranger) // the instance knows another actor by this name

	suspended := w.know("one.example", instance.Tie{FollowedBy: true})
	suspended.Suspended = true
	w.want(t, suspended.Actor, rules.Blocked)
	limited := w.know("two.example", instance.Tie{FollowedBy: true})
	limited.Limited = true
	w.want(t, limited.Actor, rules.Limited)
	w.wantWith(t, limited.Actor, rules.Follower, rules.Inherit{UserBlocks: true})
}

func TestRelationWithOneself(t *testing.T) {
	w := newTown(t)
	w.connect(t)
	w.want(t, w.alice.Actor, rules.Self)
}

func TestBlocksOfPeopleOutliveTheInstanceAndARestart(t *testing.T) {
	w := newTown(t)
	troll, bore := w.know("troll.example", instance.Tie{Blocking: true}), w.know("bore.example", instance.Tie{Muting: true})
	friend := w.know("friend.example", instance.Tie{Following: true, FollowedBy: true})
	w.sample.BlockDomains(w.alice, "hate.example")
	w.connect(t)
	w.want(t, friend.Actor, rules.Mutual)

	w.away.Store(true)
	w.start(t)
	w.want(t, troll.Actor, rules.Blocked) // never asked about: from the list
	w.want(t, bore.Actor, rules.Muted)
	w.want(t, friend.Actor, rules.Mutual)
	w.want(t, "https://hate.example/users/new", rules.Blocked)
	w.want(t, "https://hate.example.:443/users/new", rules.Blocked)
	w.want(t, "https://new.example/users/new", rules.Stranger)

	// Back again: what changed meanwhile is learnt, and what was taken back is forgotten.
	w.away.Store(false)
	w.sample.Relate(w.alice, troll, instance.Tie{})
	w.sample.Relate(w.alice, friend, instance.Tie{Blocking: true})
	w.clock.turn(20 * time.Minute)
	w.connect(t)
	w.want(t, troll.Actor, rules.Stranger)
	w.want(t, friend.Actor, rules.Blocked)
	w.away.Store(true)
	w.start(t)
	w.want(t, troll.Actor, rules.Stranger)
}

func TestRelationsAreAskedOnceInFifteenMinutes(t *testing.T) {
	w := newTown(t)
	zoe := w.know("friend.example", instance.Tie{Following: true})
	w.connect(t)
	for range 5 {
		w.connect(t)
		w.want(t, zoe.Actor, rules.Following)
		w.want(t, "https://never.example/users/heard", rules.Stranger)
	}
	for path, want := range map[string]int{
		"/api/v1/accounts/relationships": 1, "/api/v1/accounts/lookup": 2, "/api/v1/blocks": 1, "/api/v2/notifications/policy": 1,
	} {
		if n := w.sample.Asked("GET", path); n != want {
			t.Errorf("%s was asked %d times, want %d", path, n, want)
		}
	}
	before := w.shelf.written()
	w.sample.Relate(w.alice, zoe, instance.Tie{})
	w.want(t, zoe.Actor, rules.Following)
	w.clock.turn(16 * time.Minute)
	w.connect(t)
	w.want(t, zoe.Actor, rules.Stranger)
	if n := w.shelf.written() - before; n != 1 { // the tie; the lists are what they were
		t.Errorf("%d writes for one change", n)
	}
}

func TestAnInstanceThatIsAwayIsNotWaitedForTwice(t *testing.T) {
	w := newTown(t)
	w.connect(t)
	w.away.Store(true)
	for n := range 20 {
		w.want(t, fmt.Sprintf("https://h%d.example/users/x", n), rules.Stranger)
	}
	if n := w.sample.Asked("GET", "/api/v1/accounts/lookup"); n != 0 {
		t.Fatalf("the double counts what does not reach it: %d", n)
	}
	w.away.Store(false)
	w.want(t, "https://h0.example/users/x", rules.Stranger)
	if n := w.sample.Asked("GET", "/api/v1/accounts/lookup"); n != 0 {
		t.Errorf("asked again at once: %d", n)
	}
	w.clock.turn(time.Minute)
	w.want(t, "https://h0.example/users/x", rules.Stranger)
	if n := w.sample.Asked("GET", "/api/v1/accounts/lookup"); n != 1 {
		t.Errorf("asked %d times after a minute", n)
	}
}

// TestATokenThatAsksTooOftenIsItsOwnersMatter: what others are to somebody is asked nevertheless.
func TestATokenThatAsksTooOftenIsItsOwnersMatter(t *testing.T) {
	w := newTown(t)
	friend := w.know("friend.example", instance.Tie{Following: true})
	w.connect(t)
	bob, err := w.sample.AddPerson("bob")
	if err != nil {
		t.Fatal(err)
	}
	w.sample.Relate(bob, friend, instance.Tie{Blocking: true})
	if _, err := w.CallerWithin(t.Context(), w.sample.Token(bob, "read"), 0); err != nil {
		t.Fatal(err)
	}
	w.tired.Store(w.token)
	w.want(t, friend.Actor, rules.Stranger)
	if got := w.Relation(t.Context(), bob.Account, friend.Actor, everything()); got != rules.Blocked {
		t.Errorf("whom bob blocks is %s to him", got)
	}
	w.tired.Store("")
	w.clock.turn(time.Minute)
	w.want(t, friend.Actor, rules.Following)
}

func TestNotificationPolicy(t *testing.T) {
	w := newTown(t)
	fan, idol := w.know("fan.example", instance.Tie{FollowedBy: true}), w.know("idol.example", instance.Tie{Following: true})
	young := w.sample.AddRemote(instance.Remote{
		Name: "zoe", Host: "young.example", Actor: "https://young.example/users/zoe", Created: w.clock.time().Add(-5 * 24 * time.Hour),
	})
	w.sample.Relate(w.alice, young, instance.Tie{FollowedBy: true})
	f := func(key, choice string, ofFan, ofIdol, ofYoung, ofStranger rules.Rel) {
		t.Helper()
		w.sample.SetNotificationPolicy(w.alice, map[string]string{"for_private_mentions": "accept", "for_limited_accounts": "accept", key: choice})
		w.clock.turn(16 * time.Minute)
		w.connect(t)
		w.want(t, fan.Actor, ofFan)
		w.want(t, idol.Actor, ofIdol)
		w.want(t, young.Actor, ofYoung)
		w.want(t, "https://never.example/users/heard", ofStranger)
		w.wantWith(t, fan.Actor, rules.Follower, rules.Inherit{DomainBlocks: true, UserBlocks: true})
	}
	f("for_not_following", "accept", rules.Follower, rules.Following, rules.Follower, rules.Stranger)
	f("for_not_following", "filter", rules.Limited, rules.Following, rules.Limited, rules.Limited)
	f("for_not_following", "drop", rules.Blocked, rules.Following, rules.Blocked, rules.Blocked)
	f("for_private_mentions", "filter", rules.Limited, rules.Following, rules.Limited, rules.Limited)
	f("for_not_followers", "drop", rules.Follower, rules.Blocked, rules.Follower, rules.Blocked)
	f("for_not_followers", "filter", rules.Follower, rules.Limited, rules.Follower, rules.Limited)
	f("for_new_accounts", "filter", rules.Follower, rules.Following, rules.Limited, rules.Stranger)
	f("for_bots", "filter", rules.Follower, rules.Following, rules.Follower, rules.Stranger)
	young.Bot = true
	f("for_bots", "filter", rules.Follower, rules.Following, rules.Limited, rules.Stranger)
	f("for_limited_accounts", "drop", rules.Follower, rules.Following, rules.Follower, rules.Stranger)
	fan.Limited, idol.Limited = true, true
	w.clock.turn(16 * time.Minute)
	w.connect(t)
	w.want(t, fan.Actor, rules.Blocked)
	w.want(t, idol.Actor, rules.Following)
}

func TestLongListsAreReadInPages(t *testing.T) {
	w := newTown(t)
	var last *instance.Remote
	for n := range 205 {
		last = w.know(fmt.Sprintf("troll%d.example", n), instance.Tie{Blocking: true})
	}
	w.connect(t)
	if n := w.sample.Asked("GET", "/api/v1/blocks"); n != 3 {
		t.Errorf("%d pages", n)
	}
	w.away.Store(true)
	w.want(t, "https://troll0.example/users/zoe", rules.Blocked)
	w.want(t, last.Actor, rules.Blocked)
}

// TestNarrowTokens: what the scopes do not reach is unknown, and nobody is let in or shut out by it.
func TestNarrowTokens(t *testing.T) {
	w := newTown(t)
	troll := w.know("troll.example", instance.Tie{Blocking: true})
	w.sample.SetNotificationPolicy(w.alice, map[string]string{"for_not_following": "drop"})
	w.token = w.sample.Token(w.alice, "profile", "read:follows")
	w.connect(t)
	w.want(t, troll.Actor, rules.Blocked) // relationships tell
	w.want(t, "https://never.example/users/heard", rules.Stranger)

	w.start(t)
	w.token = w.sample.Token(w.alice, "profile")
	w.connect(t)
	w.want(t, "https://never.example/users/heard", rules.Stranger)
	if n := w.sample.Asked("GET", "/api/v1/blocks"); n != 1 {
		t.Errorf("a token that may not ask was used: %d", n)
	}
}

func TestARevokedTokenIsNotUsedAgain(t *testing.T) {
	w := newTown(t)
	w.connect(t)
	w.sample.Revoke(w.token)
	zoe := w.know("friend.example", instance.Tie{Following: true})
	w.want(t, zoe.Actor, rules.Stranger)
	w.clock.turn(time.Minute)
	w.want(t, zoe.Actor, rules.Stranger)
	if n := w.sample.Asked("GET", "/api/v1/accounts/relationships"); n != 1 {
		t.Errorf("asked %d times with a revoked token", n)
	}
}

func TestDomainBlocks(t *testing.T) {
	for name, admin := range map[string]bool{"public list": false, "admin's token": true} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t)
			w.connect(t)
			w.sample.Moderate(instance.Moderation{
				Blocks: []instance.DomainBlock{
					{Domain: "hate.example", Severity: "suspend"},
					{Domain: "noise.example", Severity: "silence"},
					{Domain: "böse.example", Severity: "suspend"}, // as GoToSocial shows it
					{Domain: "secret-hate.example", Severity: "suspend", Obfuscated: true},
					{Domain: "media.example", Severity: "noop"},
				},
				Allows: []string{"good.hate.example"}, Hidden: admin,
			})
			if admin {
				w.sample.SetRole(w.alice, instance.Admin)
				w.admin = w.sample.Token(w.alice, "admin:read")
			}
			w.RefreshDomains(t.Context())
			w.want(t, "https://hate.example/users/a", rules.Blocked)
			w.want(t, "https://deep.under.hate.example/users/a", rules.Blocked)
			w.want(t, "https://nothate.example/users/a", rules.Stranger)
			for _, host := range []string{ // all lead to a server that is blocked
				"HATE.Example", "hate.example.", "hate.example:443", "hate.example:", "hate.example:0443", "hate.example.:443", "xn--bse-sna.example", "Böse.example",
			} {
				w.want(t, "https://"+host+"/users/a", rules.Blocked)
			}
			w.want(t, "https://secret-hate.example/users/a", rules.Blocked)
			w.want(t, "https://noise.example/users/a", rules.Limited)
			w.want(t, "https://media.example/users/a", rules.Stranger)
			w.want(t, w.know("noise.example", instance.Tie{Following: true}).Actor, rules.Following) // whom one follows is not limited
			w.wantWith(t, "https://hate.example/users/a", rules.Stranger, rules.Inherit{UserBlocks: true})
			allowed := map[bool]rules.Rel{false: rules.Blocked, true: rules.Stranger}
			w.want(t, "https://good.hate.example/users/a", allowed[admin]) // the public list has no allows

			w.away.Store(true)
			w.start(t)
			w.RefreshDomains(t.Context())
			w.want(t, "https://hate.example/users/a", rules.Blocked)
		})
	}
}

func TestLimitedFederation(t *testing.T) {
	w := newTown(t)
	w.sample.SetRole(w.alice, instance.Owner)
	w.admin = w.sample.Token(w.alice, "admin:read:domain_blocks", "admin:read:domain_allows")
	w.sample.Moderate(instance.Moderation{Allows: []string{"friend.example"}, LimitedFederation: true})
	w.RefreshDomains(t.Context())
	w.want(t, "https://friend.example/users/a", rules.Stranger)
	w.want(t, "https://other.example/users/a", rules.Blocked)
	w.want(t, "https://"+domain+"/users/bob", rules.Stranger)
}

func TestAnAdminTokenThatMayNotKeepsWhatWasKnown(t *testing.T) {
	w := newTown(t)
	w.sample.Moderate(instance.Moderation{Blocks: []instance.DomainBlock{{Domain: "hate.example", Severity: "suspend"}}})
	w.RefreshDomains(t.Context())
	w.admin = w.token
	w.RefreshDomains(t.Context())
	w.want(t, "https://hate.example/users/a", rules.Blocked)
}

// TestAnAwayInstanceIsNotedOnce: that the domains cannot be read is said when it begins, and when it ends.
func TestAnAwayInstanceIsNotedOnce(t *testing.T) {
	w := newTown(t)
	for range 2 {
		w.away.Store(true)
		w.RefreshDomains(t.Context())
		w.RefreshDomains(t.Context())
		w.away.Store(false)
		w.RefreshDomains(t.Context())
		w.RefreshDomains(t.Context())
	}
	for _, said := range []string{"level=WARN msg=\"the instance's domain blocks cannot be read", "level=INFO msg=\"the instance's domain blocks can be read again\""} {
		if n := bytes.Count(w.logged.Bytes(), []byte(said)); n != 2 {
			t.Errorf("%q was said %d times, want 2:\n%s", said, n, &w.logged)
		}
	}
}

// FuzzNextPage: whatever an instance links to, only a query comes of it, and it can be asked again.
func FuzzNextPage(f *testing.F) {
	f.Add(`<https://social.example/api/v1/blocks?limit=80&max_id=7>; rel="next", <https://social.example/api/v1/blocks?since_id=9>; rel="prev"`)
	f.Add(`<?a=%zz>; rel="next"`)
	f.Fuzz(func(t *testing.T, link string) {
		q := mastodon.NextPage(link)
		if again, err := url.ParseQuery(q.Encode()); err != nil || again.Encode() != q.Encode() {
			t.Errorf("%q leads to %q, %v", link, q.Encode(), err)
		}
	})
}

func TestReportsWhatTheInstanceAnswers(t *testing.T) {
	w := newTown(t)
	zoe := w.know("far.example", instance.Tie{})
	f := func(token, actor, comment string, want error) {
		t.Helper()
		if err := w.Report(t.Context(), token, []string{actor}, comment); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	f(w.sample.Token(w.alice, "write:reports"), zoe.Actor, "words", nil)
	f(w.token, zoe.Actor, "words", mastodon.ErrScope)
	f("over", zoe.Actor, "words", mastodon.ErrToken)
	f(w.token, "https://never.example/users/heard", "words", mastodon.ErrReport)
	w.tired.Store(w.token) // it may look up whom the instance knows, which needs no token, and have it search later
	f(w.token, "https://never.example/users/heard", "words", mastodon.ErrUnavailable)
	w.away.Store(true)
	f(w.token, zoe.Actor, "words", mastodon.ErrUnavailable)
	f(w.token, "https://other.example/users/x", "words", mastodon.ErrUnavailable)
	if got := w.sample.Reports(); len(got) != 1 || got[0].Comment != "words" || got[0].AccountID != zoe.Account {
		t.Errorf("%+v", got)
	}
}

// BenchmarkRelation asks about somebody whom the instance was asked about just now.
func BenchmarkRelation(b *testing.B) {
	w := newTown(b)
	friend := w.know("friend.example", instance.Tie{Following: true, FollowedBy: true})
	w.connect(b)
	w.RefreshDomains(b.Context())
	b.ReportAllocs()
	for b.Loop() {
		if rel := w.Relation(b.Context(), w.alice.Account, friend.Actor, everything()); rel != rules.Mutual {
			b.Fatal(rel)
		}
	}
}
