package oauth

import (
	"context"
	"net/url"
	"time"
)

// sessionLife is how long a browser stays signed in for the pages of our own origin.
const sessionLife = 30 * 24 * time.Hour

// session is the address where browsers sign in for the pages of our own origin: the id and the
// redirect of the one client that needs no document.
func (s *Server) session() string { return s.base + "/e2ee/session" }

func (s *Server) ownPage() Client {
	c := Client{ID: s.session(), Redirects: []string{s.session()}}
	if u, err := url.Parse(s.base); err == nil {
		c.Host = u.Host
	}
	return c
}

// AskSession is Ask for the pages of our own origin. to comes back as state. The browser's secret
// is the PKCE verifier: only this browser can open the session.
func (s *Server) AskSession(ctx context.Context, to, browser string) (Consent, error) {
	return s.Ask(ctx, Request{
		Entry: Own, ClientID: s.session(), Redirect: s.session(), ResponseType: "code", State: to,
		Challenge: challengeOf(browser), Method: "S256",
	}, browser)
}

// OpenSession buys the token of a session with the code that came back: a device like any other.
func (s *Server) OpenSession(ctx context.Context, code, browser string) (Tokens, error) {
	return s.Exchange(ctx, Exchange{Code: code, ClientID: s.session(), Redirect: s.session(), Verifier: browser})
}
