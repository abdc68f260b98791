package mastodon_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
)

const credentials = "/api/v1/accounts/verify_credentials"

func TestCallerIsThePerson(t *testing.T) {
	d := newDouble(t)
	i, _, _ := newInstance(t, d.URL, "")
	c, err := i.Caller(t.Context(), "good")
	if err != nil {
		t.Fatal(err)
	}
	p, err := i.Person(t.Context(), "alice")
	if err != nil || c.Person != p {
		t.Errorf("Caller is %+v, Person is %+v (%v)", c.Person, p, err)
	}
	if c.MayRead() != nil || c.MayWrite() != nil || c.Remembered {
		t.Errorf("scopes %q: %v, %v", c.Scopes, c.MayRead(), c.MayWrite())
	}
}

func TestTokensThatAreNone(t *testing.T) {
	d := newDouble(t)
	i, _, _ := newInstance(t, d.URL, "")
	for _, token := range []string{"", "bad", "good\r\nX: y", "a b", "é", strings.Repeat("x", 5000)} {
		if _, err := i.Caller(t.Context(), token); !errors.Is(err, mastodon.ErrToken) {
			t.Errorf("Caller(%q): %v, want ErrToken", token, err)
		}
	}
	if got := d.count(credentials); got != 1 {
		t.Errorf("asked %d times: only the plausible one should be", got)
	}
	d.force(credentials, http.StatusUnprocessableEntity)
	if _, err := i.Caller(t.Context(), "app-only"); !errors.Is(err, mastodon.ErrToken) {
		t.Errorf("an app's token: %v, want ErrToken", err)
	}
}

func TestNarrowScopesNameWhatIsMissing(t *testing.T) {
	for scopes, want := range map[string]struct{ read, write []string }{
		`["read","write","follow"]`:           {nil, nil},
		`"read write"`:                        {nil, nil},
		`["read"]`:                            {nil, []string{"write"}},
		`["write"]`:                           {[]string{"read"}, []string{"read"}},
		`["read:statuses","write:media"]`:     {[]string{"read"}, []string{"read", "write"}},
		`["profile"]`:                         {[]string{"read"}, []string{"read", "write"}},
		`[]`:                                  {[]string{"read"}, []string{"read", "write"}},
		`["READ", "readwrite", "admin:read"]`: {[]string{"read"}, []string{"read", "write"}},
	} {
		d := newDouble(t)
		d.scopes = scopes
		i, _, _ := newInstance(t, d.URL, "")
		c, err := i.Caller(t.Context(), "good")
		if err != nil {
			t.Errorf("%s: %v", scopes, err)
			continue
		}
		if got := missing(c.MayRead()); !slices.Equal(got, want.read) {
			t.Errorf("%s: reading lacks %q, want %q", scopes, got, want.read)
		}
		if got := missing(c.MayWrite()); !slices.Equal(got, want.write) {
			t.Errorf("%s: writing lacks %q, want %q", scopes, got, want.write)
		}
	}
}

func missing(err error) []string {
	var scope *mastodon.ScopeError
	if errors.As(err, &scope) && errors.Is(err, mastodon.ErrScope) {
		return scope.Missing
	}
	return nil
}

func TestUnknownScopesReadOnly(t *testing.T) {
	d := newDouble(t)
	d.force("/oauth/token/info", http.StatusNotFound)
	i, _, _ := newInstance(t, d.URL, "")
	c, err := i.Caller(t.Context(), "good")
	if err != nil || c.MayRead() != nil || !errors.Is(c.MayWrite(), mastodon.ErrScope) {
		t.Errorf("%v: read %v, write %v", err, c.MayRead(), c.MayWrite())
	}
}

func TestForbiddenTokens(t *testing.T) {
	d := newDouble(t)
	d.force(credentials, http.StatusForbidden)
	d.scopes = `["push"]`
	i, c, _ := newInstance(t, d.URL, "")
	if _, err := i.Caller(t.Context(), "good"); !errors.Is(err, mastodon.ErrScope) {
		t.Errorf("without read: %v, want ErrScope", err)
	}
	c.turn(time.Minute)
	d.scopes = `["read"]`
	if _, err := i.Caller(t.Context(), "good"); !errors.Is(err, mastodon.ErrToken) {
		t.Errorf("login disabled: %v, want ErrToken", err)
	}
}

func TestTokenIsRememberedAndForgotten(t *testing.T) {
	d := newDouble(t)
	i, c, _ := newInstance(t, d.URL, "")
	ask := func(token string, want int) {
		t.Helper()
		_, _ = i.Caller(t.Context(), token)
		if got := d.count(credentials); got != want {
			t.Errorf("asked %d times, want %d", got, want)
		}
	}
	ask("good", 1)
	ask("bad", 2)
	c.turn(14 * time.Second)
	ask("good", 2)
	ask("bad", 2)
	c.turn(2 * time.Second)
	ask("good", 2)
	ask("bad", 3)
	c.turn(45 * time.Second)
	ask("good", 4)
	i.Forget("good")
	ask("good", 5)
}

func TestRevokedTokenEndsAtOnceWhenAsked(t *testing.T) {
	d := newDouble(t)
	i, c, _ := newInstance(t, d.URL, "")
	_, _ = i.Caller(t.Context(), "good")
	d.force(credentials, http.StatusUnauthorized)
	c.turn(time.Minute)
	if _, err := i.Caller(t.Context(), "good"); !errors.Is(err, mastodon.ErrToken) {
		t.Fatalf("%v, want ErrToken", err)
	}
	d.force(credentials, http.StatusBadGateway)
	c.turn(time.Minute)
	if _, err := i.Caller(t.Context(), "good"); !errors.Is(err, mastodon.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable: a refused token is not the last good answer", err)
	}
}

func TestLastGoodAnswerServesReadsForAnHour(t *testing.T) {
	d := newDouble(t)
	i, c, _ := newInstance(t, d.URL, "")
	_, _ = i.Caller(t.Context(), "good")
	for _, status := range []int{http.StatusBadGateway, http.StatusTooManyRequests} {
		d.force(credentials, status)
		c.turn(20 * time.Minute)
		who, err := i.Caller(t.Context(), "good")
		if err != nil || who.MayRead() != nil || !errors.Is(who.MayWrite(), mastodon.ErrUnavailable) {
			t.Errorf("%d: %v: read %v, write %v", status, err, who.MayRead(), who.MayWrite())
		}
	}
	c.turn(21 * time.Minute)
	if _, err := i.Caller(t.Context(), "good"); !errors.Is(err, mastodon.ErrUnavailable) {
		t.Errorf("after an hour: %v, want ErrUnavailable", err)
	}
}
