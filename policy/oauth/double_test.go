package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
)

// memory is a Store.
type memory struct {
	mu      sync.Mutex
	notes   map[oauth.Hash]oauth.Note
	devices map[string]oauth.Device
}

func (m *memory) Note(_ context.Context, h oauth.Hash) (oauth.Note, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.notes[h]
	if !ok {
		return n, oauth.ErrNone
	}
	return n, nil
}

func (m *memory) Device(_ context.Context, account, id string) (oauth.Device, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.devices[account+" "+id]
	if !ok {
		return d, oauth.ErrNone
	}
	return d, nil
}

func (m *memory) Devices(_ context.Context, account string) ([]oauth.Device, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := slices.Collect(maps.Values(m.devices))
	return slices.DeleteFunc(list, func(d oauth.Device) bool { return d.Account != account }), nil
}

func (m *memory) Change(_ context.Context, c oauth.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range c.Notes {
		m.notes[n.Hash] = n
	}
	for _, d := range c.Devices {
		m.devices[d.Account+" "+d.ID] = d
	}
	for _, d := range c.Removed {
		delete(m.devices, d.Account+" "+d.ID)
	}
	return nil
}

// double is the instance, the store, the clock and the web of clients at once.
type double struct {
	memory

	server    *oauth.Server
	now       time.Time
	documents map[string]string
	fetched   int
	person    string // who signs in at the instance
	ended     []string
	gone      map[string]bool // tokens of the instance that ended
	away      bool
	challenge string // of the last login page
}

const (
	app      = "https://app.example/client"
	redirect = "https://app.example/back?tab=1"
	verifier = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"
	issuer   = "https://social.example/e2ee/oauth"
)

func newDouble(t *testing.T) *double {
	t.Helper()
	d := &double{
		memory: memory{notes: map[oauth.Hash]oauth.Note{}, devices: map[string]oauth.Device{}},
		now:    time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), person: "alice", gone: map[string]bool{},
		documents: map[string]string{app: fmt.Sprintf(
			`{"client_id":%q,"client_name":"App","redirect_uris":[%q,"http://127.0.0.1/cb","com.example.app:/cb"]}`, app, redirect)},
	}
	var err error
	d.server, err = oauth.New(oauth.Options{
		Base: "https://social.example", Secret: []byte(strings.Repeat("s", 32)), Store: d, Instance: d,
		Clock: func() time.Time { return d.now },
		Fetch: func(_ context.Context, id string) ([]byte, error) {
			d.fetched++
			doc, ok := d.documents[id]
			if !ok {
				return nil, errors.New("no such document")
			}
			return []byte(doc), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *double) LoginPage(_ context.Context, state, challenge string) (string, error) {
	if d.away {
		return "", mastodon.ErrUnavailable
	}
	d.challenge = challenge
	return "https://social.example/oauth/authorize?" + url.Values{"state": {state}}.Encode(), nil
}

func (d *double) Redeem(ctx context.Context, code, _ string) (string, mastodon.Caller, error) {
	if code != "of the instance" {
		return "", mastodon.Caller{}, mastodon.ErrToken
	}
	c, err := d.Caller(ctx, "login of "+d.person)
	return "login of " + d.person, c, err
}

func (d *double) Caller(_ context.Context, token string) (mastodon.Caller, error) {
	if d.away {
		return mastodon.Caller{}, mastodon.ErrUnavailable
	}
	name, ok := strings.CutPrefix(token, "login of ")
	if !ok || d.gone[token] {
		return mastodon.Caller{}, mastodon.ErrToken
	}
	return mastodon.Caller{
		Person: mastodon.Person{Account: "#" + name, Name: name, Actor: "https://social.example/users/" + name},
		Scopes: []string{"profile"},
	}, nil
}

func (d *double) End(_ context.Context, token string) { d.ended = append(d.ended, token) }

func (d *double) Issuer(context.Context) string { return "https://social.example/" }

// request is one that all is well with.
func request() oauth.Request {
	return oauth.Request{
		Entry: oauth.Own, ClientID: app, Redirect: redirect, ResponseType: "code", Scope: "read write",
		State: "client's", Challenge: oauth.ChallengeOf(verifier), Method: "S256",
	}
}

// ticket asks for consent; state gives it.
func (d *double) ticket(t *testing.T, q oauth.Request, browser string) string {
	t.Helper()
	c, err := d.server.Ask(t.Context(), q, browser)
	if err != nil {
		t.Fatal(err)
	}
	return c.Ticket
}

func (d *double) state(t *testing.T, q oauth.Request, browser string) string {
	t.Helper()
	page, err := d.server.Allow(t.Context(), d.ticket(t, q, browser), browser)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, page).Get("state")
}

// code goes the whole way to the client's code.
func (d *double) code(t *testing.T, q oauth.Request) string {
	t.Helper()
	back, err := d.server.Finish(t.Context(), oauth.Return{State: d.state(t, q, "browser"), Code: "of the instance"}, "browser")
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, back).Get("code")
}

func exchange(code string) oauth.Exchange {
	return oauth.Exchange{Code: code, ClientID: app, Redirect: redirect, Verifier: verifier}
}

func (d *double) signIn(t *testing.T) oauth.Tokens {
	t.Helper()
	tokens, err := d.server.Exchange(t.Context(), exchange(d.code(t, request())))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func parse(t *testing.T, location string) url.Values {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func wantRefusal(t *testing.T, err error, code string) {
	t.Helper()
	refusal, ok := errors.AsType[*oauth.Refusal](err)
	if !ok || refusal.Code != code {
		t.Errorf("error %v, want the refusal %q", err, code)
	}
}
