package peers_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/cmd/demo/instance"
)

// webPage is a client in a browser, on a site of its own: browser.mjs.
type webPage struct {
	*peer
	Site string
}

// TestBrowser: a web page on another origin signs its person in, publishes, reads, posts and listens. CORS
// must let it do all of that with a real instance, and with one whose actor documents say nothing of CORS.
func TestBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("the real peers are left out by -short")
	}
	requirePeers(t)
	binary := buildGateway(t.Context(), t)
	t.Run("snac", func(t *testing.T) {
		domain := freeAddress(t)
		s := startSnac(t, domain, "anna", "ben")
		g := startGateway(t, binary, domain, s.address)
		login := func(name string) args { return args{"login": name, "passwd": s.password[name]} }
		inBrowser(t, g, login("anna"), "input[type=submit]", login("ben"))
	})
	t.Run("Mastodon 4.6", func(t *testing.T) {
		domain := freeAddress(t)
		double := instance.New(instance.Options{Origin: "http://" + domain, IDs: instance.Numeric})
		for _, name := range []string{"anna", "ben"} {
			if _, err := double.AddPerson(name); err != nil {
				t.Fatal(err)
			}
		}
		g := launch(t, setup{binary: binary, domain: domain, upstream: serveInstance(t, double), software: "mastodon"})
		inBrowser(t, g, nil, "button[value=anna]", args{"login": "ben"})
	})
}

// inBrowser is the story of anna, who uses the page, and ben, who has a client of his own.
func inBrowser(t *testing.T, g *gateway, fields args, button string, bens args) {
	p := new(webPage)
	p.peer = startPeer(t, p, "browser.mjs")
	ben := startMember(t, "tsmls", g.base, "ben", bens)
	screen := filepath.Join(t.ArtifactDir(), "consent.png")

	var shown struct{ URL, Text, Ticket string }
	p.call(t, "consent", args{"handle": "anna@" + g.domain, "screen": screen}, &shown)
	if !strings.HasPrefix(shown.URL, g.base+"/e2ee/oauth/authorize?") || !strings.Contains(shown.Text, strings.TrimPrefix(p.Site, "http://")) {
		t.Fatalf("the page of consent is %s: %s", shown.URL, shown.Text)
	}
	if picture, err := os.ReadFile(screen); err != nil || !bytes.HasPrefix(picture, []byte("\x89PNG")) {
		t.Errorf("no picture of it: %v", err)
	}
	var signedIn struct{ Who string }
	p.call(t, "agree", args{"fields": fields, "button": button}, &signedIn)
	if !strings.HasPrefix(signedIn.Who, g.base+"/") {
		t.Fatalf("the client says %q", signedIn.Who)
	}
	anna := signedIn.Who

	var posted struct{ Location, ID string }
	p.call(t, "listen", nil, nil)
	p.call(t, "publish", nil, &posted)
	if !strings.HasPrefix(posted.Location, g.base+"/e2ee/users/anna/keyPackages/") {
		t.Errorf("the page was not told where its package is: %+v", posted)
	}
	var seen struct{ ID string }
	p.call(t, "look", args{"who": ben.Actor}, &seen)
	if seen.ID != ben.Actor {
		t.Errorf("through the proxy ben is %q", seen.ID)
	}

	var intruded struct {
		Read   string
		Agreed int
	}
	p.call(t, "intrude", args{"gateway": g.base, "ticket": shown.Ticket}, &intruded)
	if intruded.Read != "kept from it" || intruded.Agreed != http.StatusForbidden {
		t.Errorf("another site's page reads with %q and agrees with %d", intruded.Read, intruded.Agreed)
	}

	const group = "uri:uuid:page"
	ben.call(t, "begin", args{"group": group, "named": "actor"}, nil)
	ben.call(t, "add", args{"group": group, "who": anna}, nil)
	ben.chat(t, group, 2, 0)
	p.hears(t, "ben 1", "ben 2")
	p.call(t, "say", args{"to": []string{ben.Actor}, "text": "anna 1"}, &posted)
	if posted.ID == "" || posted.Location != posted.ID {
		t.Errorf("the page was told %+v of what it posted", posted)
	}
	ben.hear(t, group, 3)
	if got := texts(ben.transcript(t, group)); !slices.Equal(got, []string{"ben 1", "ben 2", "anna 1"}) {
		t.Errorf("ben read %q", got)
	}
	var mailbox struct{ IDs []string }
	p.call(t, "read", nil, &mailbox)
	if len(mailbox.IDs) != 4 || mailbox.IDs[0] != posted.ID {
		t.Errorf("the page reads %q", mailbox.IDs)
	}
	inSession(t, p, g, args{"gateway": g.base, "fields": fields, "button": button}, ben.Actor)
}

// inSession: the same browser signs in for the instance's own pages, which need no token then; pages elsewhere
// get nothing by its cookie, though the browser sends it from another port.
func inSession(t *testing.T, p *webPage, g *gateway, way args, to string) {
	t.Helper()
	var own struct {
		Total, Posted int
		Heard, Cookie string
	}
	p.call(t, "session", way, &own)
	if own.Total != 4 || own.Posted != http.StatusNotImplemented || own.Heard != "open" || strings.Contains(own.Cookie, "sga_") {
		t.Errorf("an own page gets %+v", own)
	}
	var abused struct {
		Seen []struct {
			Status int
			Cookie bool
			Read   string
		}
	}
	message := args{"type": "Create", "to": []string{to}, "object": args{"type": "PrivateMessage", "mediaType": "message/mls", "content": "AAEAAg=="}}
	p.call(t, "abuse", args{"activity": message}, &abused)
	if len(abused.Seen) != 2 {
		t.Fatalf("%+v", abused)
	}
	for i, seen := range abused.Seen {
		if seen.Status != http.StatusUnauthorized || seen.Read != "kept from it" || seen.Cookie != (i == 1) {
			t.Errorf("a page elsewhere: %+v", seen)
		}
	}
}

// hears waits until the page's person was told these words and no others; the browser must have had
// nothing to complain of.
func (p *webPage) hears(t *testing.T, words ...string) {
	t.Helper()
	var now struct{ Heard, Complaints []string }
	eventually(t, "the page to hear", func() bool {
		p.call(t, "state", nil, &now)
		if len(now.Complaints) > 0 {
			t.Fatalf("the browser complains: %q", now.Complaints)
		}
		return len(now.Heard) >= len(words)
	})
	if !slices.Equal(now.Heard, words) {
		t.Errorf("the page heard %q, want %q", now.Heard, words)
	}
}
