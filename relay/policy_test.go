package relay_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/intake"
)

// ruled decides by a real policy; what people are to each other the test says.
type ruled struct {
	policy *rules.Policy
	rel    sync.Map // rules.Rel by actor; strangers else
	clock  *inboxtest.Clock
}

func (g *ruled) Decide(_ context.Context, q policy.Question) policy.Decision {
	c := &rules.Case{At: q.At, Actor: rules.Actor{ID: q.Actor, FirstSeenDays: 30}, Rel: rules.Stranger, Msg: q.Msg, Group: q.Group, Recipient: q.Account}
	if rel, ok := g.rel.Load(q.Actor); ok {
		c.Rel = rel.(rules.Rel)
	}
	v := g.policy.Decide(c, g.clock.Now())
	return policy.Decision{ID: "decision1", Action: v.Action, Rule: v.Rule, RetryAfter: v.RetryAfter, Limit: v.Limit}
}

// balky is a store that can be told not to write.
type balky struct {
	*inboxtest.Memory
	balks atomic.Bool
}

func (b *balky) Append(ctx context.Context, ms []inbox.Message) ([]inbox.Result, error) {
	if b.balks.Load() {
		return nil, inbox.ErrUnavailable
	}
	return b.Memory.Append(ctx, ms)
}

// guarded is a world with a policy, a clock, and alice's key packages.
type guarded struct {
	*world
	disk  *balky
	gate  *ruled
	clock *inboxtest.Clock
	refs  [][]byte
}

func guard(t *testing.T, text []byte) *guarded {
	t.Helper()
	return guardWith(t, text, nil)
}

func guardWith(t *testing.T, text []byte, places *intake.Places) *guarded {
	t.Helper()
	clock := inboxtest.NewClock()
	p, err := rules.Parse(rules.Source{Name: "policy.yaml", Text: text, Now: clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	g := &guarded{clock: clock, gate: &ruled{policy: p, clock: clock}}
	store := &balky{Memory: &inboxtest.Memory{Clock: clock.Now}}
	g.disk = store
	keys := inboxtest.NewDirectory(&inboxtest.KeyMemory{Clock: clock.Now}, clock.Now)
	for _, one := range inboxtest.Fill(t, keys, "1", inboxtest.NewClient(alice, clock.Now()), 60) {
		g.refs = append(g.refs, one.Ref)
	}
	g.world = newWorldWith(t, store, gate{}, func(o *relay.Options) {
		o.Clock, o.Keys = clock.Now, keys
		o.Inbox = inbox.New(inbox.Options{Store: store, Clock: clock.Now})
		o.Intake = intake.New(intake.Options{Gate: g.gate, Inbox: o.Inbox, Keys: keys, Clock: clock.Now, Places: places})
	})
	return g
}

func preset(t *testing.T, name string) []byte {
	t.Helper()
	text, err := configs.Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// post sends one MLS message of actor's to alice.
func (g *guarded) post(t *testing.T, actor, id string, content []byte, header ...string) answer {
	t.Helper()
	host := actor[:strings.Index(actor, "/users/")]
	body := fmt.Sprintf(`{"id":"%s/a/%s","type":"Create","actor":%q,"to":[%q],"object":{"type":"PrivateMessage","attributedTo":%q,`+
		`"mediaType":"message/mls","encoding":"base64","content":%q}}`, host, id, actor, alice, actor, base64.StdEncoding.EncodeToString(content))
	return g.ask(t, http.MethodPost, "/users/alice/inbox", strings.NewReader(body), append(header, "X-Signer", actor)...)
}

// invite uses up one of alice's packages.
func (g *guarded) invite(t *testing.T, actor, id string) answer {
	t.Helper()
	ref := g.refs[0]
	g.refs = g.refs[1:]
	return g.post(t, actor, id, inboxtest.Welcome(ref))
}

func commit(group string, epoch uint64) []byte {
	return inboxtest.Private(inboxtest.Commit, group, epoch, "c")
}

// joins: alice's device has written in the group, to these.
func (g *guarded) joins(t *testing.T, group string, members ...string) {
	t.Helper()
	err := g.store.(inbox.Books).ChangeRows(t.Context(), func(l inbox.Ledger) error {
		return inbox.Door{}.Complete(0).Learn(l, g.clock.Now(), inbox.Lesson{Owner: "1", Group: []byte(group), Members: members})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (g *guarded) letGo(t *testing.T) {
	t.Helper()
	if _, err := g.inbox.LetGo(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// software is what a server does with our answers (interop.md, "What senders do with an answer").
type software struct {
	name     string
	again    func(status int) bool // else the activity is given up
	attempts int
	every    time.Duration
	dead     []int // statuses after which the whole host is given up
}

func transient(status int) bool { return status == 429 || status >= 500 }

var senders = []software{
	{"Mastodon", func(s int) bool { return s == 401 || s == 408 || transient(s) }, 16, 3 * time.Hour, nil},
	{"Fedify", func(s int) bool { return s >= 400 && s != 404 && s != 410 }, 10, time.Hour, nil},
	{"Emissary", transient, 8, time.Hour, nil},
	{"GoToSocial", transient, 5, 10 * time.Second, nil},
	{"Misskey", transient, 12, time.Hour, []int{404, 410}},
	{"Pleroma", func(s int) bool { return s >= 400 }, 5, time.Hour, []int{404, 410}},
}

// deliver sends as the software does, the n-th time of these, and tells whether it believes to be done. The first try of
// some meets a store that cannot write, or its answer is lost on the way, with what a proxy says then.
func (s software) deliver(t *testing.T, g *guarded, n int, post func() answer) bool {
	t.Helper()
	for attempt := range s.attempts {
		balks := attempt == 0 && n%16 == 1
		g.disk.balks.Store(balks)
		a := post()
		if balks && a.status != http.StatusServiceUnavailable {
			t.Fatalf("a store that cannot write: %+v", a)
		}
		if attempt == 0 && n%16 == 3 {
			a.status = []int{http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout}[n/16%3]
		}
		switch {
		case a.status < 300:
			return true
		case slices.Contains(s.dead, a.status):
			t.Fatalf("%s takes this server for dead after %d", s.name, a.status)
		case !s.again(a.status):
			return false
		}
		g.clock.Advance(s.every)
		g.letGo(t)
	}
	return false
}

// TestNoSenderLosesACommit has every software send to alice what members of a group
// send, under every preset, whoever the sender is to her, through 503, 500, 502 and 504: each commit arrives once, in order.
func TestNoSenderLosesACommit(t *testing.T) {
	for _, name := range []string{"open", "normal", "quiet"} {
		t.Run(name, func(t *testing.T) {
			g := guard(t, preset(t, name))
			for _, s := range senders {
				for _, rel := range []rules.Rel{rules.Mutual, rules.Stranger, rules.Limited, rules.Muted, rules.Blocked} {
					g.conversation(t, s, rel)
				}
			}
		})
	}
}

func (g *guarded) conversation(t *testing.T, s software, rel rules.Rel) {
	t.Helper()
	host := strings.ToLower(s.name) + "-" + string(rel)
	actor, group := "https://"+host+".example/users/x", "group of "+host
	g.gate.rel.Store(actor, rel)
	want := 0
	say := func(n int) {
		t.Helper()
		for range n {
			want++
			epoch := uint64(want)
			done := s.deliver(t, g, want, func() answer { return g.post(t, actor, fmt.Sprint(epoch), commit(group, epoch)) })
			if !done {
				t.Fatalf("%s gives up commit %d of one who is %s", s.name, epoch, rel)
			}
		}
	}
	invited := s.deliver(t, g, 0, func() answer { return g.invite(t, actor, "welcome") })
	if !invited {
		t.Fatalf("%s gives up the invitation of one who is %s", s.name, rel)
	}
	say(10) // before she has answered
	if err := g.inbox.AcceptRequest(t.Context(), "1", inbox.RequestID(actor)); err != nil && !errors.Is(err, inbox.ErrNoRequest) {
		t.Fatal(err)
	}
	g.joins(t, group, actor)
	say(125) // over group-flood's burst
	g.clock.Advance(time.Hour)
	g.letGo(t)
	entries := g.inOrder(t, group)
	if len(entries) != want {
		t.Errorf("%s, %s: %d of %d commits arrived", s.name, rel, len(entries), want)
	}
	labels := bytes.Contains(g.gate.policy.Text(), []byte("blocked-member"))
	for _, e := range entries[min(10, len(entries)):] {
		if hidden := labels && (rel == rules.Blocked || rel == rules.Muted); e.Hidden != hidden {
			t.Fatalf("%s: hidden is %t", rel, e.Hidden)
		}
	}
}

// inOrder are the group's messages in alice's mailbox, whose epochs must count up.
func (g *guarded) inOrder(t *testing.T, group string) (out []inbox.Entry) {
	t.Helper()
	for p := inbox.Position(0); ; {
		page, err := g.store.After(t.Context(), "1", p, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return out
		}
		p = page[len(page)-1].Position
		for _, e := range page {
			if string(e.Group) != group {
				continue
			}
			if out = append(out, e); e.Epoch != uint64(len(out)) {
				t.Fatalf("%s: epoch %d at place %d", group, e.Epoch, len(out))
			}
		}
	}
}

const everything = `version: 1
limits: {few: {max: 1, every: 1h, per: [actor]}}
rules:
  - {name: forged, at: contact, when: 'msg.kind == "welcome" && !msg.key_is_ours', then: refuse}
  - {name: blocks, at: contact, when: 'rel == "blocked"', then: ignore}
  - {name: waits,  at: contact, when: 'msg.kind == "welcome" && rel == "limited"', limit: few, then: retry-later}
  - {name: quiet,  at: contact, when: 'msg.kind == "welcome" && rel == "muted"', then: retry-later}
  - {name: drain,  at: contact, when: 'msg.kind == "key_fetch"', limit: few, then: last-resort}
  - {name: hold,   at: contact, when: 'msg.kind == "welcome" && rel == "stranger"', then: hold}
  - {name: hide,   at: group,   when: 'rel == "muted"', then: hide}
tests: [{name: a stranger waits, given: {at: contact, rel: stranger, msg: {kind: welcome, key_is_ours: true}}, expect: hold}]
`

func TestAnswersOfPolicy(t *testing.T) {
	g := guard(t, []byte(everything))
	blocked, limited := "https://b.example/users/b", "https://l.example/users/l"
	g.gate.rel.Store(blocked, rules.Blocked)
	g.gate.rel.Store(limited, rules.Limited)

	forged := g.post(t, zoe, "1", inboxtest.Welcome(make([]byte, 32)))
	var p struct{ Decision, Rule, Detail string }
	if err := json.Unmarshal([]byte(forged.body), &p); err != nil || forged.status != 403 || p.Rule != "forged" || p.Decision != "decision1" || !strings.Contains(p.Detail, "decision1") {
		t.Errorf("forged: %d %s", forged.status, forged.body)
	}
	if a := g.invite(t, blocked, "1"); a.status != 202 || a.body != "" {
		t.Errorf("ignored: %+v", a)
	}
	if a := g.invite(t, limited, "1"); a.status != 202 {
		t.Errorf("within the limit: %+v", a)
	}
	later := g.invite(t, limited, "2")
	if later.status != 429 || later.header.Get("Retry-After") == "" || !strings.HasPrefix(later.header.Get("RateLimit"), `"waits";r=0;t=`) ||
		later.header.Get("RateLimit-Policy") != `"waits";q=1;w=3600` || later.header.Get("X-RateLimit-Reset") != "" {
		t.Errorf("retry later: %d %v", later.status, later.header)
	}
	muted := "https://m.example/users/m"
	g.gate.rel.Store(muted, rules.Muted)
	if a := g.invite(t, muted, "1"); a.status != 429 || a.header.Get("Retry-After") == "" || a.header.Get("RateLimit-Policy") != "" || a.header.Get("RateLimit") != "" {
		t.Errorf("later, without a quota: %d %v", a.status, a.header)
	}
	if a := g.invite(t, zoe, "2"); a.status != 202 {
		t.Errorf("held: %+v", a)
	}
	if got := len(g.held(t, "1")); got != 1 {
		t.Errorf("%d messages, want the limited one's invitation", got)
	}
}

func TestMessageRequests(t *testing.T) {
	g := guard(t, []byte(everything))
	watch := g.inbox.Watch("1")
	defer watch.Close()
	ref := g.refs[0]
	g.invite(t, zoe, "1")
	g.post(t, zoe, "2", commit("g", 1))
	if ns := watch.Notices(); len(ns) != 1 || ns[0].Kind != inbox.MessageRequest || ns[0].Actor != zoe {
		t.Errorf("%+v", ns)
	}
	if a := g.ask(t, http.MethodGet, "/e2ee/requests", nil); a.status != 401 {
		t.Errorf("without a token: %+v", a)
	}
	list := g.ask(t, http.MethodGet, "/e2ee/requests", nil, "Authorization", "Bearer of-alice")
	var all struct {
		TotalItems int
		Requests   []struct {
			ID, Actor, Host       string
			Messages, Invitations int
		}
	}
	if err := json.Unmarshal([]byte(list.body), &all); err != nil || all.TotalItems != 1 {
		t.Fatalf("%d %s", list.status, list.body)
	}
	one := all.Requests[0]
	if one.Actor != zoe || one.Host != "far.example" || one.Messages != 2 || one.Invitations != 1 || strings.Contains(list.body, "content") {
		t.Errorf("%s", list.body)
	}
	path := strings.TrimPrefix(one.ID, "https://social.example")
	for _, c := range []struct {
		token, action string
		status        int
	}{{"of-bob", "accept", 404}, {"narrow", "accept", 403}, {"of-alice", "eat", 400}, {"of-alice", "accept", 204}, {"of-alice", "accept", 404}} {
		a := g.ask(t, http.MethodPost, path, strings.NewReader("action="+c.action), "Authorization", "Bearer "+c.token, "Content-Type", "application/x-www-form-urlencoded")
		if a.status != c.status {
			t.Errorf("%+v: %d %s", c, a.status, a.body)
		}
		if c.status != 204 && c.action != "accept" && len(g.held(t, "1")) != 0 {
			t.Error("something was delivered")
		}
	}
	if es := g.held(t, "1"); len(es) != 2 || es[0].Kind != "welcome" || es[1].Kind != "commit" {
		t.Errorf("%+v", es)
	}
	collection := g.ask(t, http.MethodGet, "/e2ee/users/alice/keyPackages", nil, "Authorization", "Bearer of-alice")
	if !strings.Contains(collection.body, `"totalItems":59`) {
		t.Errorf("the package %x was not consumed: %.200s", ref[:4], collection.body)
	}
}

func TestHiddenIsALabelBesideTheBytes(t *testing.T) {
	g := guard(t, []byte(everything))
	g.gate.rel.Store(zoe, rules.Muted)
	g.joins(t, "g", zoe)
	g.post(t, zoe, "1", commit("g", 1))
	e := g.held(t, "1")[0]
	page := g.ask(t, http.MethodGet, "/e2ee/users/alice/messages?page=1", nil, "Authorization", "Bearer of-alice")
	var p struct {
		OrderedItems []json.RawMessage
		Hidden       []string
	}
	if err := json.Unmarshal([]byte(page.body), &p); err != nil || len(p.OrderedItems) != 1 || string(p.OrderedItems[0]) != string(e.Activity) ||
		!slices.Equal(p.Hidden, []string{e.ActivityID}) {
		t.Errorf("%s", page.body)
	}
	stream := g.listen(t, "", "Last-Event-ID", "0")
	if got := stream.next(); !strings.HasSuffix(got.data, `,"hidden":true}`) || !strings.Contains(got.data, `"object":`+string(e.Activity)) {
		t.Errorf("the event %s", got.data)
	}
	g.gate.rel.Store(zoe, rules.Mutual)
	g.post(t, zoe, "2", commit("g", 2))
	if got := stream.next(); strings.Contains(got.data, "hidden") || !strings.Contains(got.data, zoe[:len("https://far.example")]+"/a/2") {
		t.Errorf("the next event %s", got.data)
	}
	page = g.ask(t, http.MethodGet, "/e2ee/users/alice/messages?after="+e.ActivityID, nil, "Authorization", "Bearer of-alice")
	if strings.Contains(page.body, "hidden") {
		t.Errorf("nothing is hidden in %s", page.body)
	}
}

func TestKeyFetchesMeetPolicy(t *testing.T) {
	g := guard(t, []byte(everything))
	fetch := func(actor string) answer {
		return g.ask(t, http.MethodGet, "/e2ee/users/alice/keyPackages", nil, "X-Signer", actor, "Signature", "x")
	}
	first, second := fetch(zoe), fetch(zoe)
	if first.status != 200 || second.status != 200 {
		t.Fatalf("%d %d", first.status, second.status)
	}
	again := fetch(zoe)
	if again.body != second.body || !strings.Contains(again.body, `"totalItems":1`) {
		t.Errorf("the reusable package is %s and then %s", second.body, again.body)
	}
	g.gate.rel.Store("https://b.example/users/b", rules.Blocked)
	if a := fetch("https://b.example/users/b"); a.status != 404 {
		t.Errorf("blocked: %d %s", a.status, a.body)
	}
}

func TestSeveredIsDroppedAndTold(t *testing.T) {
	g := guard(t, []byte(everything))
	g.joins(t, "g", zoe)
	contacts, err := g.inbox.ContactsOf(t.Context(), "far.example", []inbox.Owner{"1", "2"})
	if err != nil || len(contacts) != 1 || contacts[0] != (inbox.Contact{Owner: "1", Groups: 1}) {
		t.Fatalf("%+v, %v", contacts, err)
	}
	if err := g.inbox.Sever(t.Context(), inbox.Severed{Who: "far.example", By: "test"}, []inbox.Owner{"1"}); err != nil {
		t.Fatal(err)
	}
	if a := g.post(t, zoe, "1", commit("g", 1)); a.status != 202 || len(g.held(t, "1")) != 0 {
		t.Errorf("%+v, %d kept", a, len(g.held(t, "1")))
	}
	list := g.ask(t, http.MethodGet, "/e2ee/requests", nil, "Authorization", "Bearer of-alice")
	if !strings.Contains(list.body, `"who":"far.example"`) {
		t.Errorf("no tombstone in %s", list.body)
	}
	if told, err := g.inbox.Reports(t.Context(), "1"); err != nil || len(told) != 1 || told[0].Kind != inbox.Cut {
		t.Errorf("%+v, %v", told, err)
	}
	if err := g.inbox.Rejoin(t.Context(), inbox.Severed{Who: "far.example"}); err != nil {
		t.Fatal(err)
	}
	if g.post(t, zoe, "2", commit("g", 2)); len(g.held(t, "1")) != 1 {
		t.Error("still severed")
	}
}

// TestRequestsAreTold: a notice has where to answer, and who is severed.
func TestRequestsAreTold(t *testing.T) {
	g := guard(t, []byte(everything))
	stream := g.listen(t, "")
	stream.any() // the cursor: it listens
	g.invite(t, zoe, "1")
	if got := stream.next().data; !strings.Contains(got, `"actor":"`+zoe+`"`) || !strings.Contains(got, `"request":"https://social.example/e2ee/requests/`) {
		t.Errorf("the request is told as %s", got)
	}
	if err := g.inbox.Sever(t.Context(), inbox.Severed{Who: zoe, By: "test"}, []inbox.Owner{"1"}); err != nil {
		t.Fatal(err)
	}
	if got := stream.next().data; !strings.Contains(got, `"actor":"`+zoe+`"`) || strings.Contains(got, `"activity"`) || strings.Contains(got, `"host"`) {
		t.Errorf("zoe is severed, which is told as %s", got)
	}
}

// TestNobodyHereIsSevered: however the configuration and the person spell the host.
func TestNobodyHereIsSevered(t *testing.T) {
	w := newWorldWith(t, &inboxtest.Memory{}, gate{}, func(o *relay.Options) { o.Domain = "Social.example:443" })
	for _, who := range []string{"social.example", "SOCIAL.example:443", "https://Social.Example:443/", "https://SOCIAL.example/users/bob", "http://social.example:80/users/bob"} {
		form := strings.NewReader(url.Values{"action": {"sever"}, "who": {who}}.Encode())
		a := w.ask(t, http.MethodPost, "/e2ee/requests", form, "Authorization", "Bearer of-alice", "Content-Type", "application/x-www-form-urlencoded")
		if a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", who, a.status, a.body)
		}
	}
}

// TestOwnersSever: a person sees whom it touches, cuts off a host for themself alone, is told, and takes it back.
func TestOwnersSever(t *testing.T) {
	g := guard(t, []byte(everything))
	notes := make(chan string, 256)
	g.inbox.OnSever(func(_ context.Context, s inbox.Severed, undone bool) {
		notes <- fmt.Sprint(s.By, " ", s.Owner, " ", s.Who, " ", undone)
	})
	g.joins(t, "g", zoe)
	g.invite(t, "https://far.example/users/other", "w")
	do := func(token, form string) answer {
		return g.ask(t, http.MethodPost, "/e2ee/requests", strings.NewReader(form), "Authorization", "Bearer "+token, "Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range []struct {
		token, form string
		status      int
	}{
		{"none", "action=sever&who=far.example&done=1", 401},
		{"narrow", "action=sever&who=far.example&done=1", 403},
		{"of-alice", "action=eat&who=far.example&done=1", 400},
		{"of-alice", "action=sever&who=&done=1", 400},
		{"of-alice", "action=sever&who=javascript://x/&done=1", 400},
		{"of-alice", "action=sever&who=social.example&done=1", 400},
		{"of-alice", "action=sever&who=https://social.example/users/bob&done=1", 400},
		{"of-alice", "action=rejoin&who=far.example", 404},
	} {
		if a := do(c.token, c.form); a.status != c.status {
			t.Errorf("%+v: %d %s", c, a.status, a.body)
		}
	}
	preview := do("of-alice", "action=sever&who=FAR.example")
	if preview.status != 200 || strings.TrimSpace(preview.body) != `{"who":"far.example","done":false,"groups":1,"requests":1}` || len(notes) != 0 {
		t.Errorf("the preview: %d %s, %d notes", preview.status, preview.body, len(notes))
	}
	if g.post(t, zoe, "1", commit("g", 1)); len(g.held(t, "1")) != 1 {
		t.Fatal("a preview did something")
	}
	for range 2 {
		if a := do("of-alice", "action=sever&who=far.example&done=1"); a.status != 200 || !strings.Contains(a.body, `"done":true`) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if a := g.post(t, zoe, "2", commit("g", 2)); a.status != 202 || len(g.held(t, "1")) != 1 {
		t.Errorf("%+v, %d kept", a, len(g.held(t, "1")))
	}
	if g.inbox.Severed("2", zoe) {
		t.Error("bob lost something, too")
	}
	list := g.ask(t, http.MethodGet, "/e2ee/requests", nil, "Authorization", "Bearer of-alice")
	if !strings.Contains(list.body, `"totalItems":0`) || !strings.Contains(list.body, `"who":"far.example"`) {
		t.Errorf("%s", list.body)
	}
	if other := g.ask(t, http.MethodGet, "/e2ee/requests", nil, "Authorization", "Bearer of-bob"); strings.Contains(other.body, "far.example") {
		t.Errorf("bob sees %s", other.body)
	}
	if told, err := g.inbox.Reports(t.Context(), "1"); err != nil || len(told) != 1 || told[0].Kind != inbox.Cut {
		t.Errorf("%+v, %v", told, err)
	}
	if a := do("of-alice", "action=rejoin&who=far.example"); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if g.post(t, zoe, "3", commit("g", 3)); len(g.held(t, "1")) != 2 {
		t.Error("still severed")
	}
	if len(notes) != 2 {
		t.Fatalf("%d notes", len(notes))
	}
	if first, then := <-notes, <-notes; first != "owner 1 far.example false" || then != "owner 1 far.example true" {
		t.Errorf("noted %q and %q", first, then)
	}
	for n := range 120 {
		a := do("of-alice", fmt.Sprintf("action=sever&who=h%d.example&done=1", n))
		if want := map[bool]int{true: 200, false: 409}[n < 100]; a.status != want {
			t.Fatalf("number %d: %d %s", n, a.status, a.body)
		}
	}
}
