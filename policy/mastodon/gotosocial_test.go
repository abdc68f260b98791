package mastodon_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/rules"
)

// social is GoToSocial 0.20 as its API documentation has it: account lookup wants a token, accounts have an
// address and a web page but no uri, there is neither a notification policy nor a person's domain block, and
// domains are shown in Unicode, without a severity.
type social struct {
	*httptest.Server

	mu      sync.Mutex
	asked   map[string]int
	blocked []string                    // names at their servers: zoe@far.example
	muted   []string                    // likewise
	ties    map[string]map[string]bool  // by name
	ids     map[string]string           // by name
	lacks   int                         // what is answered for what is not there
	admin   map[string][]map[string]any // what /api/v1/admin/ shows
}

func newSocial(t *testing.T) *social {
	t.Helper()
	s := &social{asked: map[string]int{}, ties: map[string]map[string]bool{}, ids: map[string]string{}, lacks: http.StatusNotFound, admin: map[string][]map[string]any{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked[r.URL.Path]++
		status, answer := s.answer(r)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *social) answer(r *http.Request) (int, any) {
	refused := map[string]string{"error": "Unauthorized: token not supplied"}
	token := r.Header.Get("Authorization")
	switch path := r.URL.Path; {
	case path == "/.well-known/webfinger":
		return 200, map[string]any{"subject": "acct:bob@social.example", "links": []any{map[string]any{
			"rel": "self", "type": "application/activity+json", "href": "https://social.example/users/bob",
		}}}
	case path == "/users/bob":
		return 200, map[string]any{"id": "https://social.example/users/bob", "preferredUsername": "bob"}
	case path == "/api/v2/instance":
		return 200, map[string]any{"configuration": map[string]any{}}
	case token != "Bearer good" && strings.HasPrefix(path, "/api/"):
		return 401, refused
	case path == "/api/v1/accounts/verify_credentials":
		return 200, map[string]any{"id": "01BOB", "username": "bob", "acct": "bob", "url": "https://social.example/@bob"}
	case path == "/api/v1/accounts/lookup":
		if id, ok := s.ids[r.URL.Query().Get("acct")]; ok {
			return 200, s.account(r.URL.Query().Get("acct"), id)
		}
		return 404, map[string]string{"error": "Not Found"}
	case path == "/api/v1/accounts/relationships":
		for name, id := range s.ids {
			if id == r.URL.Query().Get("id[]") {
				tie := map[string]any{"id": id, "domain_blocking": false}
				for key, is := range s.ties[name] {
					tie[key] = is
				}
				return 200, []any{tie}
			}
		}
		return 404, map[string]string{"error": "Not Found"}
	case path == "/api/v1/blocks":
		return 200, s.accounts(s.blocked)
	case path == "/api/v1/mutes":
		return 200, s.accounts(s.muted)
	case s.admin[path] != nil:
		return 200, s.admin[path]
	}
	return s.lacks, map[string]string{"error": "Not Found: this endpoint does not exist"}
}

func (s *social) account(address, id string) map[string]any {
	name, host, _ := strings.Cut(address, "@")
	return map[string]any{"id": id, "username": name, "acct": address, "url": fmt.Sprintf("https://%s/@%s", host, name), "created_at": "2023-01-01T00:00:00.000Z"}
}

func (s *social) accounts(names []string) []any {
	list := []any{}
	for _, name := range names {
		list = append(list, s.account(name, s.ids[name]))
	}
	return list
}

// relate says what somebody and bob are to each other, and puts them on his lists.
func (s *social) relate(address string, ties ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids[address], s.ties[address] = "01"+strings.ToUpper(address), map[string]bool{}
	for _, key := range ties {
		s.ties[address][key] = true
		switch key {
		case "blocking":
			s.blocked = append(s.blocked, address)
		case "muting":
			s.muted = append(s.muted, address)
		}
	}
}

// TestGoToSocial: relations, blocks and mutes are inherited; what it lacks is asked once in a quarter of an hour,
// is unknown, and makes it no instance that is away.
func TestGoToSocial(t *testing.T) {
	for _, lacks := range []int{http.StatusNotFound, http.StatusNotImplemented, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusForbidden} {
		s := newSocial(t)
		s.lacks = lacks
		s.relate("friend@friend.example", "following", "followed_by")
		s.relate("fan@fan.example", "followed_by")
		s.relate("troll@troll.example", "blocking")
		s.relate("bore@bore.example", "muting", "following")
		c := &clock{now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}
		kept := &shelf{rows: map[string][]byte{}}
		start := func() *mastodon.Relations {
			i, err := mastodon.New(mastodon.Options{Domain: domain, Web: s.URL, Software: mastodon.SoftwareGoToSocial, Clock: c.time})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(i.Close)
			return i.NewRelations(mastodon.RelationsOptions{Shelf: kept})
		}
		r := start()
		want := func(actor string, rel rules.Rel) {
			t.Helper()
			if got := r.Relation(t.Context(), "bob", actor, everything()); got != rel {
				t.Errorf("%d: %s is %s, want %s", lacks, actor, got, rel)
			}
		}
		connect := func() {
			t.Helper()
			if _, err := r.CallerWithin(t.Context(), "good", 0); err != nil {
				t.Fatal(err)
			}
			r.AskDue(t.Context())
		}
		all := func() {
			t.Helper()
			want("https://friend.example/users/friend", rules.Mutual)
			want("https://fan.example/users/fan", rules.Follower)
			want("https://troll.example/users/troll", rules.Blocked)
			want("https://bore.example/users/bore", rules.Muted)
			want("https://never.example/users/heard", rules.Stranger)
		}
		connect()
		c.turn(10 * time.Minute)
		all()
		c.turn(6 * time.Minute)
		connect() // lists that are younger than what it said of each
		all()
		if n := s.asked["/api/v2/notifications/policy"]; n != 2 || s.asked["/api/v1/domain_blocks"] != 2 || s.asked["/api/v1/notifications/requests"] != 0 {
			t.Errorf("%d: asked for what it lacks: %v", lacks, s.asked)
		}
		s.Close()
		r = start()
		want("https://troll.example/users/troll", rules.Blocked)
		want("https://bore.example/users/bore", rules.Muted)
		want("https://friend.example/users/friend", rules.Mutual)
	}
}

// TestGoToSocialsDomainBlocks: an admin's token reads them; without one the list is hidden unless it is exposed.
func TestGoToSocialsDomainBlocks(t *testing.T) {
	s := newSocial(t)
	s.admin["/api/v1/admin/domain_blocks"] = []map[string]any{{"id": "01A", "domain": "hate.example"}, {"id": "01B", "domain": "bücher.example"}}
	s.admin["/api/v1/admin/domain_allows"] = []map[string]any{{"id": "01C", "domain": "good.hate.example"}}
	i, err := mastodon.New(mastodon.Options{Domain: domain, Web: s.URL, Software: mastodon.SoftwareGoToSocial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	token := ""
	r := i.NewRelations(mastodon.RelationsOptions{Shelf: &shelf{rows: map[string][]byte{}}, AdminToken: func() (string, error) { return token, nil }})
	f := func(actor string, rel rules.Rel) {
		t.Helper()
		if got := r.Relation(t.Context(), "bob", actor, everything()); got != rel {
			t.Errorf("%s is %s, want %s", actor, got, rel)
		}
	}
	r.RefreshDomains(t.Context())
	f("https://hate.example/users/a", rules.Stranger)
	token = "good"
	r.RefreshDomains(t.Context())
	f("https://hate.example/users/a", rules.Blocked)
	f("https://xn--bcher-kva.example/users/a", rules.Blocked)
	f("https://bücher.example/users/a", rules.Blocked)
	f("https://good.hate.example/users/a", rules.Stranger)
}
