package outbox_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay/outbox"
)

// commit is like private, but ends the epoch.
func commit(group string, epoch uint64) string {
	b, err := base64.StdEncoding.DecodeString(private(group, epoch))
	if err != nil {
		panic(err)
	}
	b[4+1+len(group)+8] = 3
	return base64.StdEncoding.EncodeToString(b)
}

func object(kind, content, extra string) string {
	return fmt.Sprintf(`{%s"type":%q,"mediaType":"message/mls","encoding":"base64","content":%q}`, extra, kind, content)
}

func welcome() string { return base64.StdEncoding.EncodeToString(inboxtest.Welcome([]byte("ref"))) }

func createOf(object string, to ...string) []byte {
	return fmt.Appendf(nil, `{"type":"Create","to":["%s"],"object":%s}`, strings.Join(to, `","`), object)
}

func commitTo(group string, epoch uint64, to ...string) []byte {
	return createOf(object("PrivateMessage", commit(group, epoch), ""), to...)
}

// member is somebody local with a device.
type member struct {
	mastodon.Person

	device string
}

func (w *world) as(p mastodon.Person, device string) member { return member{p, device} }

func (w *world) bobs() mastodon.Person {
	return mastodon.Person{Account: w.bob.Account, Name: "bob", Actor: w.bob.Actor}
}

func (w *world) submit(m member, body []byte) (outbox.Posted, error) {
	return w.Submit(context.Background(), m.Person, m.device, body)
}

// wins fails unless a submission is taken.
func (w *world) wins(t *testing.T, m member, body []byte) outbox.Posted {
	t.Helper()
	posted, err := w.submit(m, body)
	if err != nil {
		t.Fatalf("%s with %s: %v", m.Name, m.device, err)
	}
	return posted
}

// loses fails unless it comes too late, and tells where the group stands.
func (w *world) loses(t *testing.T, m member, body []byte) outbox.StaleError {
	t.Helper()
	_, err := w.submit(m, body)
	stale, ok := errors.AsType[*outbox.StaleError](err)
	if !ok {
		t.Fatalf("%s with %s: %v, want a StaleError", m.Name, m.device, err)
	}
	return *stale
}

// TestFirstCommitIsFirst: one commit for an epoch, whoever of the group's devices
// here makes it; the next epoch is open, and nothing of a late one is kept.
func TestFirstCommitIsFirst(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	alice, phone, bob := w.as(w.from, "laptop"), w.as(w.from, "phone"), w.as(w.bobs(), "tablet")
	won := w.wins(t, alice, commitTo("g", 3, w.bob.Actor))
	before, _ := w.store.Usage(t.Context(), inbox.Owner(w.alice.Account))
	for _, late := range []member{bob, phone} {
		got := w.loses(t, late, commitTo("g", 3, w.alice.Actor, w.bob.Actor, p.actor("zoe")))
		if got.Epoch != 4 || got.Winner != won.ID {
			t.Errorf("%s's %s is told %+v, want epoch 4 and %s", late.Name, late.device, got, won.ID)
		}
	}
	if after, _ := w.store.Usage(t.Context(), inbox.Owner(w.alice.Account)); after != before {
		t.Errorf("a late commit was kept: %+v, before %+v", after, before)
	}
	if list, err := w.store.Pending(t.Context(), outbox.Place{}, 10); len(list) != 0 || err != nil {
		t.Errorf("a late commit is queued: %v, %v", list, err)
	}
	w.wins(t, alice, commitTo("g", 3, w.bob.Actor)) // its own device knows what it does
	w.wins(t, bob, commitTo("other", 3, w.alice.Actor))
	w.wins(t, bob, message("g", 3, "", w.alice.Actor))
	w.wins(t, bob, commitTo("g", 4, w.alice.Actor))
	if got := w.loses(t, phone, commitTo("g", 3, w.bob.Actor)); got.Epoch != 5 || got.Winner != won.ID {
		t.Errorf("two epochs late: %+v", got)
	}
}

// TestStrangersCommitHoldsNothing: whom the sender does not address is no member, and
// cannot keep members from an epoch.
func TestStrangersCommitHoldsNothing(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	bob := w.as(w.bobs(), "tablet")
	w.wins(t, bob, commitTo("g", 3, w.alice.Actor, p.actor("zoe")))
	w.wins(t, w.as(w.from, "laptop"), commitTo("g", 3, p.actor("zoe")))
}

// TestWinnerIsShownToItsRecipients: a loser who has not got the other commit learns
// that there is one, and not which.
func TestWinnerIsShownToItsRecipients(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	w.wins(t, w.as(w.bobs(), "tablet"), commitTo("g", 3, p.actor("zoe")))
	if got := w.loses(t, w.as(w.from, "laptop"), commitTo("g", 3, w.bob.Actor)); got.Epoch != 4 || got.Winner != "" {
		t.Errorf("alice is told %+v", got)
	}
}

// TestCommitsRace: of many at once one wins, and all mailboxes have that one.
func TestCommitsRace(t *testing.T) {
	w := newWorld(t, settings{})
	var won, lost atomic.Int64
	var group sync.WaitGroup
	for n := range 24 {
		group.Go(func() {
			m := w.as([]mastodon.Person{w.from, w.bobs()}[n%2], fmt.Sprint("device ", n))
			_, err := w.submit(m, commitTo("g", 7, w.alice.Actor, w.bob.Actor))
			if _, ok := errors.AsType[*outbox.StaleError](err); ok {
				lost.Add(1)
			} else if err == nil {
				won.Add(1)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 || lost.Load() != 23 {
		t.Errorf("%d won and %d lost", won.Load(), lost.Load())
	}
	for _, owner := range []string{w.alice.Account, w.bob.Account} {
		if u, err := w.store.Usage(t.Context(), inbox.Owner(owner)); u.Total != 1 || err != nil {
			t.Errorf("%s has %d, %v", owner, u.Total, err)
		}
	}
}

// TestRemoteCommitsAreKept: they cause no refusal and are never dropped for one; both
// ways are counted.
func TestRemoteCommitsAreKept(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	w.wins(t, w.as(w.from, "laptop"), commitTo("g", 3, w.bob.Actor, p.actor("zoe")))
	w.accept(t, p.actor("zoe"), "1", object("PrivateMessage", commit("g", 3), ""), w.alice, w.bob)
	if n := w.conflicts(t); n != 1 {
		t.Errorf("a remote commit after a local one: %v conflicts", n)
	}
	w.accept(t, p.actor("zoe"), "1", object("PrivateMessage", commit("g", 3), ""), w.alice, w.bob)
	w.accept(t, p.actor("zoe"), "2", object("PrivateMessage", commit("g", 4), ""), w.alice, w.bob)
	if n := w.conflicts(t); n != 1 {
		t.Errorf("the same again, and the next: %v conflicts", n)
	}
	w.wins(t, w.as(w.bobs(), "tablet"), commitTo("g", 4, w.alice.Actor, p.actor("zoe")))
	if n := w.conflicts(t); n != 2 {
		t.Errorf("a local commit after a remote one: %v conflicts", n)
	}
	if u, err := w.store.Usage(t.Context(), inbox.Owner(w.bob.Account)); u.Total != 3 || err != nil {
		t.Errorf("bob has %d, %v", u.Total, err)
	}
}

// accept takes an activity of a peer's for local people.
func (w *world) accept(t *testing.T, actor, id, object string, to ...*instance.Person) {
	t.Helper()
	host := actor[:strings.Index(actor, "/users/")]
	body := fmt.Appendf(nil, `{"id":"%s/a/%s","type":"Create","actor":%q,"to":[],"object":%s}`, host, id, actor, object)
	a, err := activity.Parse(body, activity.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	d := inbox.Delivery{Signer: actor, Activity: a}
	for _, p := range to {
		d.Owners = append(d.Owners, inbox.Owner(p.Account))
	}
	if _, err := w.inbox.Accept(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// conflicts reads sealgate_epoch_conflicts_total.
func (w *world) conflicts(t *testing.T) float64 {
	t.Helper()
	return w.metric(t, "sealgate_epoch_conflicts_total").GetCounter().GetValue()
}

// metric is what has no labels and the name.
func (w *world) metric(t *testing.T, name string) *dto.Metric {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0]
		}
	}
	t.Fatal("no " + name)
	return nil
}

// conversationOf is what the object of an activity belongs to.
func conversationOf(t *testing.T, body []byte) string {
	t.Helper()
	var a struct {
		Object struct{ Conversation string }
	}
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatal(err)
	}
	return a.Object.Conversation
}

// lines are the ids in a conversation as one reader sees it.
func (w *world) lines(t *testing.T, conversation string, r outbox.Reader) []string {
	t.Helper()
	id := conversation[strings.LastIndex(conversation, "/")+1:]
	lines, total, err := w.Thread(t.Context(), id, r, 0, 100)
	if errors.Is(err, outbox.ErrNotSent) {
		return nil
	}
	if err != nil || total != len(lines) {
		t.Fatalf("%d lines, total %d, %v", len(lines), total, err)
	}
	var ids []string
	for _, l := range lines {
		ids = append(ids, l.ActivityID)
	}
	return ids
}

// TestConversation: a group that begins here has a conversation, which everybody who
// takes part reads in the order of acceptance, as far as it is for them.
func TestConversation(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	alice, bob := w.as(w.from, "laptop"), w.as(w.bobs(), "tablet")
	first := w.wins(t, alice, commitTo("g", 0, w.bob.Actor, p.actor("zoe")))
	c := conversationOf(t, first.Body)
	if !strings.HasPrefix(c, w.origin+"/e2ee/conversations/") {
		t.Fatalf("the first commit's conversation is %q", c)
	}
	second := w.wins(t, bob, message("g", 1, "", w.alice.Actor))
	if got := conversationOf(t, second.Body); got != c {
		t.Errorf("bob's message is in %q", got)
	}
	zoe := strings.TrimSuffix(p.actor("zoe"), "/users/zoe") + "/a/3"
	w.accept(t, p.actor("zoe"), "3", object("PrivateMessage", private("g", 1), `"conversation":"`+c+`",`), w.alice)
	fourth := w.wins(t, alice, message("g", 1, "", p.actor("zoe")))
	for _, one := range []struct {
		reader outbox.Reader
		want   []string
	}{
		{outbox.Reader{Owner: inbox.Owner(w.alice.Account), Actor: w.alice.Actor}, []string{first.ID, second.ID, zoe, fourth.ID}},
		{outbox.Reader{Owner: inbox.Owner(w.bob.Account), Actor: w.bob.Actor}, []string{first.ID, second.ID}},
		{outbox.Reader{Actor: p.actor("zoe")}, []string{first.ID, zoe, fourth.ID}},
		{outbox.Reader{Actor: p.actor("eve")}, nil},
		{outbox.Reader{}, nil},
	} {
		if got := w.lines(t, c, one.reader); !slices.Equal(got, one.want) {
			t.Errorf("%+v reads %v, want %v", one.reader, got, one.want)
		}
	}
}

// TestConversationsOfOthersStay: what a client names is left as it is, and a group
// that did not begin here gets none.
func TestConversationsOfOthersStay(t *testing.T) {
	w := newWorld(t, settings{})
	alice := w.as(w.from, "laptop")
	for _, body := range [][]byte{
		createOf(object("PrivateMessage", commit("g", 0), `"context":"uri:uuid:1",`), w.bob.Actor),
		createOf(object("PrivateMessage", commit("g", 0), `"conversation":"https://far.example/c/1",`), w.bob.Actor),
		message("h", 5, "", w.bob.Actor),
	} {
		if posted := w.wins(t, alice, body); strings.Contains(string(posted.Body), "/e2ee/conversations/") {
			t.Errorf("%s became %s", body, posted.Body)
		}
	}
}

// TestConversationBegunWithAWelcome: a group of two begins with a Welcome that shows
// no group; its first message has the conversation. A Welcome right after a commit is
// in the commit's.
func TestConversationBegunWithAWelcome(t *testing.T) {
	w := newWorld(t, settings{})
	alice := w.as(w.from, "laptop")
	w.wins(t, alice, createOf(object("Welcome", welcome(), ""), w.bob.Actor))
	first := w.wins(t, alice, message("g", 1, "", w.bob.Actor))
	c := conversationOf(t, first.Body)
	if c == "" {
		t.Fatal("the group's first message has no conversation")
	}
	w.wins(t, alice, commitTo("g", 1, w.bob.Actor))
	if got := conversationOf(t, w.wins(t, alice, createOf(object("Welcome", welcome(), ""), w.bob.Actor)).Body); got != c {
		t.Errorf("a Welcome right after a commit is in %q, want %q", got, c)
	}
	w.ahead.Add(int64(11 * time.Second))
	if got := conversationOf(t, w.wins(t, alice, createOf(object("Welcome", welcome(), ""), w.bob.Actor)).Body); got != "" {
		t.Errorf("a Welcome long after a commit is in %q", got)
	}
}

// TestWelcomeWithItsCommit: both in one activity are one: the commit decides, and
// when it is too late nobody is welcomed.
func TestWelcomeWithItsCommit(t *testing.T) {
	w := newWorld(t, settings{})
	both := func(epoch uint64) string {
		return `{"type":"Collection","items":[` + object("Welcome", welcome(), "") + `,` + object("PrivateMessage", commit("g", epoch), "") + `]}`
	}
	w.wins(t, w.as(w.from, "laptop"), createOf(both(2), w.bob.Actor))
	if got := w.loses(t, w.as(w.bobs(), "tablet"), createOf(both(2), w.alice.Actor)); got.Epoch != 3 {
		t.Errorf("bob is told %+v", got)
	}
	if u, _ := w.store.Usage(t.Context(), inbox.Owner(w.alice.Account)); u.Total != 0 {
		t.Errorf("alice was welcomed into an epoch that never was: %+v", u)
	}
}

// TestWelcomeDoesNotOvertake: a Welcome right after a commit waits until the commit
// has arrived at other servers, but not for long.
func TestWelcomeDoesNotOvertake(t *testing.T) {
	w := newWorld(t, settings{})
	var open atomic.Bool
	slow := newPeer(t, func(*http.Request, arrived) int {
		if open.Load() {
			return http.StatusAccepted
		}
		return http.StatusBadGateway
	})
	fast := newPeer(t, nil)
	alice := w.as(w.from, "laptop")
	w.wins(t, alice, commitTo("g", 2, slow.actor("zoe")))
	w.wins(t, alice, createOf(object("Welcome", welcome(), ""), fast.actor("yan")))
	w.wins(t, alice, createOf(object("PrivateMessage", private("other", 9), `"context":"uri:uuid:9",`), fast.actor("yan")))
	w.run(t)
	fast.await(t, 1)
	if got := fast.arrived(); len(got) != 1 || !strings.Contains(got[0].body, private("other", 9)) {
		t.Fatalf("before the commit has arrived there are %d, the first %s", len(got), got[0].body)
	}
	open.Store(true)
	slow.await(t, 1)
	fast.await(t, 2)
	if slow.arrived()[0].at.After(fast.arrived()[1].at) {
		t.Error("the Welcome arrived before its commit")
	}
	open.Store(false)
	w.wins(t, alice, commitTo("g", 3, slow.actor("zoe")))
	w.wins(t, alice, createOf(object("Welcome", welcome(), ""), fast.actor("xia")))
	w.ahead.Add(int64(11 * time.Second))
	w.wins(t, alice, createOf(object("PrivateMessage", private("other", 10), `"context":"uri:uuid:9",`), fast.actor("yan"))) // the outbox looks at its clock
	fast.await(t, 4)
}
