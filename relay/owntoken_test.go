package relay_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/storage"
)

// knowsAlice is an instance where whoever signs in is alice.
type knowsAlice struct{ state string }

func (k *knowsAlice) LoginPage(_ context.Context, state, _ string) (string, error) {
	k.state = state
	return "https://social.example/login", nil
}

func (k *knowsAlice) Redeem(ctx context.Context, _, _ string) (string, mastodon.Caller, error) {
	c, err := k.Caller(ctx, "")
	return "of the instance", c, err
}

func (*knowsAlice) Caller(context.Context, string) (mastodon.Caller, error) {
	return mastodon.Caller{Person: mastodon.Person{Account: "1", Name: "alice", Actor: alice}}, nil
}

func (*knowsAlice) End(context.Context, string)          {}
func (*knowsAlice) Issuer(context.Context) string        { return "" }
func noDocument(context.Context, string) ([]byte, error) { panic("bug: nobody's document is wanted") }

// aDevice signs alice in and gives the token.
func aDevice(t *testing.T, server *oauth.Server, instance *knowsAlice) string {
	t.Helper()
	browser := oauth.Random()
	consent, err := server.AskSession(t.Context(), "/", browser)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = server.Allow(t.Context(), consent.Ticket, browser); err != nil {
		t.Fatal(err)
	}
	back, err := server.Finish(t.Context(), oauth.Return{State: instance.state, Code: "x"}, browser)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := server.OpenSession(t.Context(), u.Query().Get("code"), browser)
	if err != nil {
		t.Fatal(err)
	}
	return tokens.Access
}

// TestEventsEndWithTheirDevice: a token of the gateway's own, too, is looked at while its stream lasts; the stream of
// another device goes on.
func TestEventsEndWithTheirDevice(t *testing.T) {
	store, err := storage.Open(storage.Options{Path: t.TempDir(), Key: make([]byte, storage.KeySize), Retention: time.Hour, Quota: 1 << 20, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	instance := &knowsAlice{}
	server, err := oauth.New(oauth.Options{Base: "https://" + domain, Secret: make([]byte, 32), Store: store, Instance: instance, Fetch: noDocument})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldWith(t, memory(), gate{}, func(o *relay.Options) { o.SignIn, o.Heartbeat = server, 50*time.Millisecond })
	phone, laptop := aDevice(t, server, instance), aDevice(t, server, instance)
	lost, kept := w.listen(t, "?access_token="+phone), w.listen(t, "?access_token="+laptop)
	lost.any()
	device, err := server.Device(t.Context(), phone)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.SignOut(t.Context(), "1", device); err != nil {
		t.Fatal(err)
	}
	if lost.ended(); !lost.whole {
		t.Error("the stream was cut, not ended")
	}
	w.send(t, 1)
	if e := kept.next(); e.id != "1" {
		t.Errorf("the other device: %+v", e)
	}
	// What goes wrong with signing in has a count of its own.
	for _, target := range []string{"/e2ee/oauth/callback?code=x&state=y", "/e2ee/session?code=x&state=/"} {
		if got := w.ask(t, http.MethodGet, target, nil); got.status != http.StatusBadRequest || !strings.Contains(got.body, "begin anew") {
			t.Errorf("%s: %+v", target, got)
		}
	}
	if n := count(t, w.registry, "sealgate_sign_ins_total", "browser"); n != 2 {
		t.Errorf("counted %v times", n)
	}
}
