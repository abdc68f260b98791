package peers_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/rules"
)

// noShelf keeps nothing.
type noShelf struct{}

func (noShelf) KeepAnswer(context.Context, string, string, []byte) error { return nil }

func (noShelf) KeptAnswer(context.Context, string, string) ([]byte, error) {
	return nil, mastodon.ErrNotKept
}

// counted passes everything on to an instance, each request by a connection of its own, since snac ends them without a
// word, and counts what it was asked, and what it answered 404.
type counted struct {
	mu     sync.Mutex
	asked  map[string]int
	absent map[string]int
}

// at is where it listens.
func (c *counted) at(t *testing.T, domain, address string) {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	proxy.ModifyResponse = func(r *http.Response) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked[r.Request.URL.Path]++
		if r.StatusCode == http.StatusNotFound {
			c.absent[r.Request.URL.Path]++
		}
		return nil
	}
	l, err := net.Listen("tcp", domain)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: proxy}}
	server.Start()
	t.Cleanup(server.Close)
}

func (c *counted) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.absent = map[string]int{}, map[string]int{}
}

func (c *counted) times(path string) (asked, absent int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[path], c.absent[path]
}

// TestSnacsRelations: follows and blocks of people of a real snac are inherited; what it does not have is asked
// once, and takes nothing from what it said.
func TestSnacsRelations(t *testing.T) {
	if testing.Short() {
		t.Skip("the real peers are left out by -short")
	}
	domain := freeAddress(t)
	here, there := startSnac(t, domain, "bob"), startSnac(t, "", "zoe", "fan", "troll", "idol", "nobody")
	var c counted
	c.reset()
	c.at(t, domain, here.address)
	bob, base := "http://"+domain+"/bob", "http://"+domain
	actor := func(name string) string { return "http://" + there.address + "/" + name }
	token := here.token(t, base, "bob")
	id := func(name string) string {
		sum := md5.Sum([]byte(actor(name)))
		return hex.EncodeToString(sum[:])
	}
	becomes := func(name, relation string) {
		t.Helper()
		eventually(t, name+" and bob: "+relation, func() bool {
			answer := get(t, base+"/api/v1/accounts/relationships?id[]="+id(name), token)
			return bytes.Contains(answer.body, []byte(`"`+relation+`": true`))
		})
	}
	for _, name := range []string{"zoe", "fan", "troll"} { // one by one: of several that came at once, snac has lost one
		there.run(t, "", "follow", there.data, name, bob)
		becomes(name, "followed_by")
	}
	for _, name := range []string{"zoe", "idol"} {
		here.run(t, "", "follow", here.data, "bob", actor(name))
		becomes(name, "following")
	}
	if answer := postForm(t, base+"/api/v1/accounts/"+id("troll")+"/block", token, nil); answer.status != http.StatusOK {
		t.Fatalf("block: %d %s", answer.status, answer.body)
	}

	c.reset()
	i, err := mastodon.New(mastodon.Options{Domain: domain, Web: base, Software: mastodon.SoftwareAuto})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	r := i.NewRelations(mastodon.RelationsOptions{Shelf: noShelf{}})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	rel := func(name string) rules.Rel {
		return r.Relation(ctx, "bob", actor(name), rules.Inherit{DomainBlocks: true, UserBlocks: true, NotificationPolicy: true})
	}
	all := func() {
		t.Helper()
		for name, want := range map[string]rules.Rel{
			"zoe": rules.Mutual, "fan": rules.Follower, "troll": rules.Blocked, "idol": rules.Following, "nobody": rules.Stranger,
		} {
			if got := rel(name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	}
	if _, err := i.Caller(ctx, token); err != nil {
		t.Fatal(err)
	}
	eventually(t, "snac to be asked for bob's lists", func() bool {
		asked, _ := c.times("/api/v2/notifications/policy")
		return asked > 0
	})
	all()
	for _, path := range []string{"/api/v1/blocks", "/api/v1/mutes", "/api/v1/domain_blocks", "/api/v2/notifications/policy", "/api/v1/instance/domain_blocks"} {
		if asked, absent := c.times(path); asked != 1 || absent != 1 {
			t.Errorf("%s was asked %d times and is absent %d times: snac has changed, or it is asked in vain", path, asked, absent)
		}
	}
}
