package relay

import (
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/relay/forward"
)

// requestLines are where they go.
func requestLines() map[string]route {
	return map[string]route{
		"GET /":                                     routeForward,
		"GET /api/v1/timelines/home?limit=40":       routeForward,
		"GET /users/alice/statuses/1":               routeForward,
		"GET /users/alice":                          routeActor,
		"HEAD /users/alice":                         routeActor,
		"GET /users/alice/":                         routeActor,
		"GET /users/alice?x=1":                      routeActor,
		"GET /ap/users/115390000000000001":          routeActor,
		"GET /@alice":                               routeActor,
		"GET /alice":                                routeActor,
		"GET /@alice/115390000000000001":            routeForward,
		"POST /users/alice":                         routeForward,
		"GET /inbox":                                routeActor, // the document decides
		"POST /inbox":                               routeInbox,
		"post /inbox":                               routeInbox,
		"PUT /inbox":                                routeForward,
		"POST /api/v1/statuses":                     routeForward,
		"POST /inboxes":                             routeForward,
		"POST /users/alice/outbox":                  routeOutbox,
		"OPTIONS /ap/users/1/outbox":                routeOutbox,
		"POST /users/alice/outbox/":                 routeOutbox,
		"OPTIONS /ap/users/1":                       routePreflight,
		"OPTIONS /users/alice":                      routeForward, // Mastodon answers that
		"OPTIONS /users/alice/inbox":                routePreflight,
		"OPTIONS /inbox":                            routeForward,
		"GET /users/alice/outbox":                   routeForward,
		"GET /e2ee/activities/00":                   routeActivities,
		"GET /e2ee/objects/00":                      routeObjects,
		"POST /api/v1/media?next=/inbox":            routeForward,
		"POST https://social.example/inbox":         routeInbox,
		"GET /.well-known/webfinger?resource=x":     routeWebFinger,
		"GET /users/alice/inbox":                    routeOwnInbox,
		"POST /oauth/revoke":                        routeRevoke,
		"GET /oauth/authorize?client_id=x":          routeAuthorize,
		"POST /oauth/authorize":                     routeForward,
		"POST /oauth/token":                         routeToken,
		"GET /oauth/token/info":                     routeForward,
		"GET " + metadataPath:                       routeMetadata,
		"GET /e2ee/actor":                           routeOwnActor,
		"GET /e2ee/users/alice/messages?after=x":    routeMessages,
		"OPTIONS /e2ee/users/alice/messages":        routeMessages,
		"DELETE /e2ee/users/alice/messages":         routeMessages,
		"GET /e2ee/users/alice/keyPackages":         routeKeyPackages,
		"GET /e2ee/users/alice/unheard-of":          routeForward,
		"GET /e2ee/users//messages":                 routeForward,
		"GET /e2ee/users/alice/messages/":           routeForward,
		"GET /e2eeusers/alice/messages":             routeForward,
		"GET /api/v1/streaming":                     routeStreaming,
		"GET /api/v1/streaming/user?access_token=x": routeStreaming,
		"GET /api/v1/streamingly":                   routeForward,
		"OPTIONS *":                                 routeForward,
		"GET ":                                      routeForward,
		"GET http://social.example":                 routeForward,
	}
}

func TestRouteOf(t *testing.T) {
	r := &Relay{domain: "social.example", streaming: &forward.Upstream{}, signIn: &signIn{}}
	for line, want := range requestLines() {
		method, target, _ := strings.Cut(line, " ")
		if got := r.routeOf([]byte(method), []byte(target)); got.route != want {
			t.Errorf("%s goes to %s, want %s", line, got.route, want)
		}
	}
	if got := r.routeOf([]byte("GET"), []byte("/e2ee/users/alice/messages?page=1")); string(got.name) != "alice" {
		t.Errorf("the mailbox is %q's, want alice's", got.name)
	}
	r.streaming = nil
	if got := r.routeOf([]byte("GET"), []byte("/api/v1/streaming")); got.route != routeForward {
		t.Errorf("streaming without upstream.streaming goes to %s", got.route)
	}
}

// TestNeedsAreOfEveryKind: for each route that is not below /e2ee/ a need goes there.
func TestNeedsAreOfEveryKind(t *testing.T) {
	r := &Relay{domain: "social.example", signIn: &signIn{}}
	needed := map[route]bool{routeForward: true, routeStreaming: true}
	for _, path := range Needs() {
		ours := false
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			to := r.routeOf([]byte(method), []byte(path)).route
			needed[to], ours = true, ours || to != routeForward
		}
		if !ours {
			t.Errorf("%s is the instance's alone", path)
		}
	}
	for line, to := range requestLines() {
		if !needed[to] && !strings.Contains(line, " /e2ee/") {
			t.Errorf("%s goes to %s, and no need does", line, to)
		}
	}
}

func TestInboxInEverySpelling(t *testing.T) {
	r := &Relay{}
	for _, p := range []string{
		"/inbox", "/inbox/", "//inbox", "/INBOX", "/Inbox.json", "/inbox.json/", "/inbox.activity+json",
		"/users/alice/inbox", "/users/alice/inbox.json", "/ap/users/1/inbox", "/actor/inbox", "/shared-inbox",
		"/users/alice//inbox", "/users/./alice/inbox/.", "/x/../inbox", "/inbox/x/..", "/inbox/%2e", "/inbox/%2E%2e/inbox",
		"/%69nbox", "/%2569nbox", "/%25252569nbox", "/inbo%78", "/%49%4e%42%4F%58", "/users%2Falice%2finbox",
		"/inbox%20", "/inbox%00", "/inbox%0a", "/inbox%3Fx=1", "/inbox%23x", "/alice/inbox", "/inbox .json",
		"/" + strings.Repeat("a/", 400) + "inbox", "/%%36%39nbox",
	} {
		if !r.isInbox([]byte(p)) {
			t.Errorf("%q is not seen as an inbox", p)
		}
	}
	for _, p := range []string{
		"", "/", "/inboxx", "/xinbox", "/inbox/x", "/inbox.json/x", "/my-inbox", "/outbox", "/in%62ox2", "/inbox/%2e%2e/x",
		"/users/inbox.alice/outbox", "/%zz",
	} {
		if r.isInbox([]byte(p)) {
			t.Errorf("%q is seen as an inbox", p)
		}
	}
}

func TestNamedInboxes(t *testing.T) {
	r := &Relay{domain: "social.example", base: "https://social.example"}
	r.named.learn([]byte("/users/alice/inbox"), "https://social.example/users/alice")
	if r.named.load() != nil {
		t.Error("an inbox that its spelling gives away is learned")
	}
	r.named.learn([]byte("/Alice/Post-Here/"), "https://social.example/alice")
	r.named.learn([]byte("/everyone"), "")
	for p, owner := range map[string]string{
		"/alice/post-here": "https://social.example/alice", "//ALICE/%70ost-here.json": "https://social.example/alice", "/everyone": "",
	} {
		if got := r.routeOf([]byte("POST"), []byte(p)); got.route != routeInbox || r.inboxOwner([]byte(p)) != owner {
			t.Errorf("%q goes to %s, owner %q", p, got.route, r.inboxOwner([]byte(p)))
		}
	}
	if got := r.routeOf([]byte("POST"), []byte("/alice/post")); got.route != routeForward {
		t.Errorf("another path goes to %s", got.route)
	}
}

func TestInboxOwner(t *testing.T) {
	r := &Relay{domain: "social.example", base: "https://social.example"}
	for p, want := range map[string]string{
		"/inbox": "", "/actor/inbox": "", "/shared-inbox": "",
		"/users/Alice/inbox":      "https://social.example/users/alice",
		"/ap/users/42/inbox.json": "https://social.example/ap/users/42",
		"/bob//%69nbox":           "https://social.example/bob",
	} {
		if got := r.inboxOwner([]byte(p)); got != want {
			t.Errorf("%q belongs to %q, want %q", p, got, want)
		}
	}
}

func TestRoutingAllocatesNothing(t *testing.T) {
	r := &Relay{streaming: &forward.Upstream{}}
	lines := [][2][]byte{
		{[]byte("GET"), []byte("/api/v1/timelines/home?limit=40&max_id=115390000000000001")},
		{[]byte("GET"), []byte("/users/alice/statuses/115390000000000001")},
		{[]byte("POST"), []byte("/api/v1/statuses")},
		{[]byte("POST"), []byte("/users/alice/inbox")},
		{[]byte("POST"), []byte("/users/%61lice/%69nbox.json")},
	}
	allocs := testing.AllocsPerRun(100, func() {
		for _, l := range lines {
			_ = r.routeOf(l[0], l[1])
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for %d requests, want none", allocs, len(lines))
	}
	m := newMetrics(nil)
	m.request(routeForward, 200, 0)
	if allocs := testing.AllocsPerRun(100, func() { m.request(routeForward, 200, 0) }); allocs != 0 {
		t.Errorf("%v allocations to count a request, want none", allocs)
	}
}

var railsInbox = regexp.MustCompile(`(?:^|/)(?:shared-)?inbox(?:\.[^/.]+)?$`)

// railsLike says whether a normaliser written with other tools, the way Rails
// and the proxies before it do, ends at an inbox: after any number of decodings.
func railsLike(target string) bool {
	target, _, _ = strings.Cut(target, "?")
	target, _, _ = strings.Cut(target, "#")
	for range 8 {
		clean := strings.ToLower(strings.TrimRight(path.Clean("/"+target), "/ \n"))
		if railsInbox.MatchString(clean) {
			return true
		}
		decoded, err := url.PathUnescape(target)
		if err != nil || decoded == target {
			return false
		}
		target = decoded
	}
	return false
}

func FuzzInboxSpelling(f *testing.F) {
	for _, s := range []string{
		"/inbox", "/users/a/inbox.json?x", "/%69nbox", "//INBOX//", "/a/../inbox", "/a%2f..%2finbox", "/%2569nbox", "/inbox%23", "/x", "/%", "/inbox..json",
	} {
		f.Add(s)
	}
	r := &Relay{}
	f.Fuzz(func(t *testing.T, target string) {
		if !strings.HasPrefix(target, "/") {
			return // not origin form; pathOf is tested apart
		}
		seen := r.isInbox(pathOf([]byte(target)))
		if railsLike(target) && !seen {
			t.Errorf("%q reaches an inbox and is not seen as one", target)
		}
		plain := normalise(nil, pathOf([]byte(target)))
		if again := normalise(nil, plain); len(again) > len(plain) || (seen && endsInInbox(plain) && !endsInInbox(again)) {
			t.Errorf("normalising %q gives %q, and again %q", target, plain, again)
		}
	})
}
