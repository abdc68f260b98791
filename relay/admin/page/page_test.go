package page_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay/admin/page"
)

const fileText = `version: 1
rules:
  - {name: blocked-contact, at: contact, when: 'rel == "blocked"', then: ignore}
  - {name: trial, at: contact, when: 'rel == "stranger"', then: hold, mode: shadow}
tests:
  - {name: blocked, given: {at: contact, rel: blocked, msg: {kind: welcome, key_is_ours: true}}, expect: ignore}
`

const openText = `version: 1
rules:
  - {name: forged, at: contact, when: 'msg.kind == "welcome" && !msg.key_is_ours', then: refuse}
tests:
  - {name: forged, given: {at: contact, rel: mutual, msg: {kind: welcome}}, expect: refuse}
`

// journal remembers changes and bundles in memory; the rest of it nobody asks for.
type journal struct {
	policy.Journal

	mu      sync.Mutex
	changes []policy.Change
	bundles map[string][]byte
}

func (j *journal) AddChange(_ context.Context, c policy.Change, bundle, _ []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changes = append([]policy.Change{c}, j.changes...)
	j.bundles[c.ID] = bundle
	return nil
}

func (j *journal) Changes(context.Context) ([]policy.Change, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.changes, nil
}

func (j *journal) Bundle(_ context.Context, id string) ([]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bundles[id], nil
}

// office is a page with its book, log and instance.
type office struct {
	page    *page.Page
	book    *policy.Book
	text    []byte // the policy file
	now     time.Time
	entries []policy.Entry
	isAdmin bool
	leaving bool
	ended   int
}

func (o *office) LoginPage(_ context.Context, state, _ string) (string, error) {
	return "https://social.example/oauth/authorize?state=" + url.QueryEscape(state), nil
}

func (o *office) Redeem(_ context.Context, code, verifier string) (string, mastodon.Caller, error) {
	if code != "good" || verifier == "" {
		return "", mastodon.Caller{}, mastodon.ErrToken
	}
	return "token", mastodon.Caller{Person: mastodon.Person{Name: "olga"}}, nil
}

func (o *office) IsAdmin(_ context.Context, token string) (bool, error) {
	return o.isAdmin && token == "token", nil
}

func (o *office) End(context.Context, string) { o.ended++ }

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{text: []byte(fileText), now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC), isAdmin: true}
	var err error
	o.book, err = policy.OpenBook(t.Context(), policy.BookOptions{
		Origin: policy.Origin{
			Name: "policy.yaml", Read: func() ([]byte, error) { return o.text, nil },
			Write: func(text []byte) error { o.text = text; return nil },
		},
		Fallback: []byte(openText), Journal: &journal{bundles: map[string][]byte{}}, Clock: func() time.Time { return o.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 30 {
		e := policy.Entry{ID: "decision" + string(rune('a'+n)), Time: o.now.Add(-time.Duration(n) * time.Hour), Action: rules.Ignore, Rule: "blocked-contact", Policy: "other"}
		e.Case = rules.Case{At: rules.Contact, Rel: rules.Blocked, Recipient: "r", Msg: rules.Msg{Kind: rules.KindWelcome}, Actor: rules.Actor{Domain: "evil.example"}}
		e.Shadow = []rules.Shadow{{Rule: "trial", Action: rules.Hold}}
		o.entries = append(o.entries, e)
	}
	o.page, err = page.New(page.Options{
		URL: "http://admin.example", Domain: "social.example", Version: "v0", Policy: o.book, Instance: o,
		Entries: func(_ context.Context, since time.Time, do func(policy.Entry) bool) error {
			for _, e := range o.entries {
				if e.Time.After(since) && !do(e) {
					break
				}
			}
			return nil
		},
		Preset: func(name string) ([]byte, error) {
			if name != "open" {
				return nil, errors.New("no preset")
			}
			return []byte(openText), nil
		},
		Requests: func(_ context.Context, do func(page.Waiting)) error {
			for n, hours := range []int{1, 2, 50, 60, 100, 24 * 13} {
				do(page.Waiting{Since: o.now.Add(-time.Duration(hours) * time.Hour), Domain: []string{"a.example", "b.example"}[n%2], Messages: n + 1})
			}
			return nil
		},
		Retention: []page.Retention{{What: "Decisions", Kept: "7 days"}},
		Leaving:   func() bool { return o.leaving },
		Clock:     func() time.Time { return o.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// browser keeps cookies and follows nothing by itself.
type browser struct {
	handler http.Handler
	jar     http.CookieJar
	host    string
}

func (o *office) browser(t *testing.T, h http.Handler, host string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{h, jar, host}
}

func (b *browser) send(t *testing.T, method, target string, form url.Values, header ...string) (int, http.Header, string) {
	t.Helper()
	var body io.Reader = http.NoBody
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, "http://"+b.host+target, body)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://"+b.host)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	res := w.Result()
	defer res.Body.Close()
	b.jar.SetCookies(r.URL, res.Cookies())
	return w.Code, w.Header(), w.Body.String()
}

func (b *browser) login(t *testing.T, code string) (int, http.Header, string) {
	t.Helper()
	status, header, body := b.send(t, "GET", "/page/login", nil)
	u, err := url.Parse(header.Get("Location"))
	if err != nil || status != http.StatusSeeOther {
		t.Fatalf("login: %d %s", status, body)
	}
	return b.send(t, "GET", "/page/callback?"+url.Values{"state": {u.Query().Get("state")}, "code": {code}}.Encode(), nil)
}

func csrfOf(t *testing.T, body string) string {
	t.Helper()
	found := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(body)
	if found == nil {
		t.Fatalf("no form: %s", body)
	}
	return found[1]
}

// TestEveryPage is shown through the socket, with what it promises.
func TestEveryPage(t *testing.T) {
	o := newOffice(t)
	b := o.browser(t, o.page.Socket(), "localhost")
	for target, wants := range map[string][]string{
		"/page/":                         {"In force", "loaded by start", "24 decisions", "1 test", "<svg", "evil.example", "6 requests wait"},
		"/page/rules":                    {"blocked-contact", "24 hits", "Would have done it 24 times", "page/preset?name=quiet"},
		"/page/domains":                  {"evil.example", "30 turned away"},
		"/page/domain?name=evil.example": {"30 invitations", "1 person", "30 of them were turned away as it is", "no-evil-example", "sealgate requests sever evil.example", `domains" aria-current`},
		"/page/requests": {
			"came 13 days ago", "2</strong> from the last 24 hours", "3 messages from 2 servers", "2</strong> one to three days old", "7 messages from 2 servers",
			"1</strong> three to seven days old", "5 messages from 1 server", "1</strong> older than a week", "6 messages from 1 server",
		},
		"/page/explain":              {"number of a decision"},
		"/page/explain?id=decisionb": {"ignore by blocked-contact", "an invitation from <strong>evil.example</strong>. The other one is blocked here.", "policy has changed since then"},
		"/page/explain?id=nothing":   {"No decision of the last 7 days"},
		"/page/deliveries":           {"Metrics are off"},
		"/page/changes":              {"Loaded", "in force"},
		"/page/preset?name=open":     {"refuse instead of ignore: 24 times", "Put open in force", `rules" aria-current`},
		"/page/public":               {"how the two people know each other", "Decisions: 7 days"},
	} {
		status, header, body := b.send(t, "GET", target, nil)
		for _, want := range wants {
			if status != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s: %d, no %q in %s", target, status, want, body)
			}
		}
		if strings.Contains(body, "<script") || strings.Contains(body, "ZgotmplZ") || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v %s", target, header, body)
		}
	}
	for _, target := range []string{"/page/domain?name=nobody.example", "/page/preset?name=none", "/page/login"} {
		if status, _, _ := b.send(t, "GET", target, nil); status != http.StatusNotFound {
			t.Errorf("%s: %d", target, status)
		}
	}
}

func TestPageSaysThatItLeaves(t *testing.T) {
	o := newOffice(t)
	b := o.browser(t, o.page.Socket(), "localhost")
	for _, leaving := range []bool{false, true} {
		o.leaving = leaving
		if _, _, body := b.send(t, "GET", "/page/", nil); strings.Contains(body, "sealgate leave --undo") != leaving {
			t.Errorf("leaving is %v: %s", leaving, body)
		}
	}
}

func TestPresetAndUndo(t *testing.T) {
	o := newOffice(t)
	b := o.browser(t, o.page.Socket(), "localhost")
	_, _, body := b.send(t, "GET", "/page/preset?name=open", nil)
	csrf := csrfOf(t, body)
	o.now = o.now.Add(time.Minute)
	status, header, body := b.send(t, "POST", "/page/preset", url.Values{"csrf": {csrf}, "name": {"open"}})
	if status != http.StatusSeeOther || header.Get("Location") != "/page/changes?done=loaded" || string(o.text) != openText {
		t.Fatalf("preset: %d %v %s", status, header, body)
	}
	_, _, body = b.send(t, "GET", "/page/changes?done=loaded", nil)
	for _, want := range []string{"Done: the policy below is in force", "page, the socket&#39;s owner", "Undo the last change", `class="del"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %s", want, body)
		}
	}
	o.now = o.now.Add(time.Minute)
	if status, _, body = b.send(t, "POST", "/page/undo", url.Values{"csrf": {csrf}, "change": {""}}); status != http.StatusSeeOther || string(o.text) != fileText {
		t.Errorf("undo: %d %s", status, body)
	}
	_, _, body = b.send(t, "GET", "/page/changes", nil)
	if strings.Count(body, ">in force<") != 1 || strings.Index(body, ">in force<") > strings.Index(body, "Back to this one") {
		t.Errorf("the newest of two with one policy is in force: %s", body)
	}
	o.now = o.now.Add(time.Minute)
	status, _, body = b.send(t, "POST", "/page/domain", url.Values{"csrf": {csrf}, "domain": {"evil.example"}})
	if status != http.StatusSeeOther || !strings.Contains(string(o.text), `actor.domain == "evil.example"`) {
		t.Errorf("ignore a server: %d %s", status, body)
	}
	for _, name := range []string{`x', then: allow}`, "a b", "", "é.example"} {
		before := string(o.text)
		if status, _, _ = b.send(t, "POST", "/page/domain", url.Values{"csrf": {csrf}, "domain": {name}}); status != http.StatusConflict || string(o.text) != before {
			t.Errorf("a domain %q: %d", name, status)
		}
	}
}

func TestOnlyAdministratorsLogIn(t *testing.T) {
	o := newOffice(t)
	b := o.browser(t, o.page.Handler(), "admin.example")
	if status, _, body := b.send(t, "GET", "/page/", nil); status != http.StatusUnauthorized || strings.Contains(body, "In force") {
		t.Errorf("without a login: %d", status)
	}
	if status, _, _ := b.login(t, "bad"); status != http.StatusForbidden {
		t.Errorf("a bad code: %d", status)
	}
	o.isAdmin = false
	if status, _, _ := b.login(t, "good"); status != http.StatusForbidden || o.ended != 1 {
		t.Errorf("somebody else: %d, tokens ended %d", status, o.ended)
	}
	o.isAdmin = true
	status, header, body := b.login(t, "good")
	cookies := strings.Join(header.Values("Set-Cookie"), "\n")
	if status != http.StatusOK || !strings.Contains(body, "url=/page/") || !strings.Contains(cookies, "SameSite=Strict") || !strings.Contains(cookies, "HttpOnly") {
		t.Fatalf("login: %d %s %s", status, cookies, body)
	}
	status, _, body = b.send(t, "GET", "/page/changes", nil)
	if status != http.StatusOK || !strings.Contains(body, "@olga") {
		t.Errorf("logged in: %d %s", status, body)
	}
	status, _, body = o.browser(t, o.page.Handler(), "elsewhere.example").send(t, "GET", "/page/", nil)
	if status != http.StatusMisdirectedRequest || !strings.Contains(body, `href="http://admin.example/page/"`) {
		t.Errorf("another host: %d %s", status, body)
	}
	o.isAdmin = false
	if status, _, _ = b.send(t, "GET", "/page/", nil); status != http.StatusOK {
		t.Errorf("within five minutes: %d", status)
	}
	o.now = o.now.Add(6 * time.Minute)
	if status, _, _ = b.send(t, "GET", "/page/", nil); status != http.StatusForbidden {
		t.Errorf("no administrator any more: %d", status)
	}
}

func TestForgedFormsChangeNothing(t *testing.T) {
	o := newOffice(t)
	b := o.browser(t, o.page.Handler(), "admin.example")
	b.login(t, "good")
	_, _, body := b.send(t, "GET", "/page/preset?name=open", nil)
	good := url.Values{"csrf": {csrfOf(t, body)}, "name": {"open"}}
	for name, try := range map[string]struct {
		form   url.Values
		header []string
	}{
		"no token":           {url.Values{"name": {"open"}}, nil},
		"another token":      {url.Values{"csrf": {"x"}, "name": {"open"}}, nil},
		"another site":       {good, []string{"Origin", "https://evil.example"}},
		"a sandboxed frame":  {good, []string{"Origin", "null"}},
		"another site, too":  {good, []string{"Sec-Fetch-Site", "cross-site"}},
		"a site beside ours": {good, []string{"Sec-Fetch-Site", "same-site"}},
	} {
		if status, _, _ := b.send(t, "POST", "/page/preset", try.form, try.header...); status != http.StatusForbidden || string(o.text) != fileText {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _, body := b.send(t, "POST", "/page/preset", good); status != http.StatusSeeOther || string(o.text) != openText {
		t.Errorf("our own: %d %s", status, body)
	}
	if status, _, _ := b.send(t, "POST", "/page/logout", good); status != http.StatusSeeOther || o.ended != 1 {
		t.Errorf("log out: %d", status)
	}
	if status, _, _ := b.send(t, "POST", "/page/undo", good); status != http.StatusUnauthorized {
		t.Errorf("after it: %d", status)
	}
}
