package peers_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
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

// counted passes everything on to an instance and counts what it was asked, and what it answered 404.
type counted struct {
	mu     sync.Mutex
	asked  map[string]int
	absent map[string]int
}

func (c *counted) before(t *testing.T, address string) (front string) {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: address})
	proxy.ModifyResponse = func(r *http.Response) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked[r.Request.URL.Path]++
		if r.StatusCode == http.StatusNotFound {
			c.absent[r.Request.URL.Path]++
		}
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
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
	here, there := startSnac(t, "", "bob"), startSnac(t, "", "zoe", "fan", "troll", "idol", "nobody")
	bob, base := "http://"+here.address+"/bob", "http://"+here.address
	actor := func(name string) string { return "http://" + there.address + "/" + name }
	token := here.token(t, base, "bob")
	for _, name := range []string{"zoe", "fan", "troll"} {
		there.run(t, "", "follow", there.data, name, bob)
	}
	for _, name := range []string{"zoe", "idol"} {
		here.run(t, "", "follow", here.data, "bob", actor(name))
	}
	id := func(name string) string {
		sum := md5.Sum([]byte(actor(name)))
		return hex.EncodeToString(sum[:])
	}
	for _, name := range []string{"zoe", "fan", "troll"} {
		eventually(t, name+" to follow bob", func() bool {
			answer := get(t, base+"/api/v1/accounts/relationships?id[]="+id(name), token)
			return bytes.Contains(answer.body, []byte(`"followed_by": true`))
		})
	}
	if answer := postForm(t, base+"/api/v1/accounts/"+id("troll")+"/block", token, nil); answer.status != http.StatusOK {
		t.Fatalf("block: %d %s", answer.status, answer.body)
	}

	c := &counted{asked: map[string]int{}, absent: map[string]int{}}
	i, err := mastodon.New(mastodon.Options{Domain: here.address, Web: c.before(t, here.address), Software: mastodon.SoftwareAuto})
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
