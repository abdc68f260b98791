package peers_test

import (
	"bytes"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// snac is a real instance: its server, and its people with their passwords.
type snac struct {
	binary   string
	data     string
	address  string // where it listens; its people know it by another host
	password map[string]string
	log      *output
}

// startSnac makes an instance whose public host is domain, with the people
// named, and serves it until the test ends. Without a domain nothing is in front of it.
func startSnac(t *testing.T, domain string, people ...string) *snac {
	t.Helper()
	s := &snac{
		binary:   snacPath(t),
		data:     filepath.Join(t.TempDir(), "snac"),
		address:  freeAddress(t),
		password: map[string]string{},
		log:      new(output),
	}
	if domain == "" {
		domain = s.address
	}
	s.run(t, "127.0.0.1\n"+portOf(t, s.address)+"\n"+domain+"\n\n\n", "init", s.data)
	s.speakPlainHTTP(t)
	for _, name := range people {
		s.add(t, name)
	}
	cmd := exec.CommandContext(t.Context(), s.binary, "httpd", s.data)
	cmd.Env = append(os.Environ(), "DEBUG=3") // it then says what it verified
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	showOnFailure(t, "snac", s.log)
	t.Cleanup(func() { cmd.Wait() }) // killed with the test's context
	eventually(t, "snac to listen", func() bool {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	return s
}

func (s *snac) run(t *testing.T, input string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.binary, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("snac %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

func (s *snac) speakPlainHTTP(t *testing.T) {
	t.Helper()
	path := filepath.Join(s.data, "server.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	plain := bytes.Replace(b, []byte(`"protocol": "https"`), []byte(`"protocol": "http"`), 1)
	if bytes.Equal(plain, b) {
		t.Fatal("snac's server.json has no protocol to change")
	}
	if err := os.WriteFile(path, plain, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *snac) add(t *testing.T, name string) {
	t.Helper()
	out := s.run(t, name+"\n", "adduser", s.data, name)
	password := regexp.MustCompile(`User password is (\S+)`).FindStringSubmatch(out)
	if password == nil {
		t.Fatalf("snac adduser gave no password: %s", out)
	}
	s.password[name] = password[1]
}

// token goes the whole OAuth way of a Mastodon client, at base: register an
// app, open the form, log in, exchange the code.
func (s *snac) token(t *testing.T, base, name string) string {
	t.Helper()
	const callback = "http://127.0.0.1:1/callback"
	app := postForm(t, base+"/api/v1/apps", "", url.Values{
		"client_name": {"client"}, "redirect_uris": {callback}, "scopes": {"read write"},
	})
	var registered struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	decode(t, app.body, &registered)
	page := get(t, base+"/oauth/authorize?"+url.Values{
		"client_id": {registered.ID}, "redirect_uri": {callback}, "response_type": {"code"},
		"scope": {"read write"}, "state": {"kept"},
	}.Encode(), "")
	action := regexp.MustCompile(`<form method="post" action="([^"]+)"`).FindSubmatch(page.body)
	if action == nil || !bytes.HasPrefix(action[1], []byte(base)) {
		t.Fatalf("the login form does not come back through %s: %q", base, page.body)
	}
	login := postForm(t, string(action[1]), "", url.Values{
		"login": {name}, "passwd": {s.password[name]}, "redir": {callback}, "cid": {registered.ID}, "state": {"kept"},
	})
	back, err := url.Parse(login.header.Get("Location"))
	if err != nil || back.Query().Get("code") == "" || back.Query().Get("state") != "kept" {
		t.Fatalf("login as %q: %d, Location %q", name, login.status, login.header.Get("Location"))
	}
	exchange := postForm(t, base+"/oauth/token", "", url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {callback},
		"client_id": {registered.ID}, "client_secret": {registered.Secret},
	})
	var granted struct {
		Token string `json:"access_token"`
	}
	decode(t, exchange.body, &granted)
	if granted.Token == "" {
		t.Fatalf("no token: %d %s", exchange.status, exchange.body)
	}
	return granted.Token
}

// status is a post as a Mastodon client sees it.
type status struct{ ID, Content string }

// mentions are the notes that name the owner of the token.
func mentions(t *testing.T, base, token string) []status {
	t.Helper()
	answer := get(t, base+"/api/v1/notifications", token)
	if answer.status != http.StatusOK {
		t.Fatalf("notifications: %d %s", answer.status, answer.body)
	}
	var notifications []struct{ Status status }
	decode(t, answer.body, &notifications)
	var named []status
	for _, n := range notifications {
		named = append(named, n.Status)
	}
	return named
}

// timeline is what the owner of the token sees at home.
func timeline(t *testing.T, base, token string) []status {
	t.Helper()
	answer := get(t, base+"/api/v1/timelines/home", token)
	if answer.status != http.StatusOK {
		t.Fatalf("timeline: %d %s", answer.status, answer.body)
	}
	var home []status
	decode(t, answer.body, &home)
	return home
}

// with finds the post that has these words; ok tells whether there is one.
func with(posts []status, words string) (found status, ok bool) {
	i := slices.IndexFunc(posts, func(s status) bool { return strings.Contains(s.Content, words) })
	if i < 0 {
		return status{}, false
	}
	return posts[i], true
}
