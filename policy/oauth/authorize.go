package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sealgate/sealgate/policy/mastodon"
)

const maxState = 1024

// Entry is the address at which a client came in. It decides the issuer that the client must find
// in iss: the one whose metadata led it there.
type Entry string

// Own is /e2ee/oauth, Root the instance's /oauth.
const (
	Own  Entry = "own"
	Root Entry = "root"
)

// Request is an authorization request as it came (OAuth 2.1 §4.1.1, RFC 7636 §4.3).
type Request struct {
	Entry        Entry
	ClientID     string
	Redirect     string
	ResponseType string
	Scope        string
	State        string
	Challenge    string
	Method       string
}

// Consent is what the person is asked. Ticket goes into the form and comes back with the answer.
type Consent struct {
	Client   Client
	Redirect string
	Scopes   []string
	Ticket   string
}

// Returned is an error that the client itself is told, by sending the browser to Location.
type Returned struct {
	Location string
	Cause    error
}

func (r *Returned) Error() string { return "oauth: sent back to the client: " + r.Cause.Error() }

// Unwrap gives the cause.
func (r *Returned) Unwrap() error { return r.Cause }

// Ask checks a request and says what to ask the person. browser is the secret in the browser's
// cookie. ErrClient: client or redirect cannot be believed, nobody is sent anywhere. *Returned: the
// client is told what is wrong.
func (s *Server) Ask(ctx context.Context, q Request, browser string) (Consent, error) {
	c, err := s.client(ctx, q.ClientID)
	if err != nil {
		return Consent{}, err
	}
	if q.Redirect == "" && len(c.Redirects) == 1 {
		q.Redirect = c.Redirects[0]
	}
	if !c.allows(q.Redirect) {
		return Consent{}, fmt.Errorf("%w: redirect_uri %q is not one that %s has in its document", ErrClient, q.Redirect, c.Host)
	}
	if len(q.State) > maxState {
		return Consent{}, fmt.Errorf("%w: its state of %d bytes is over %d", ErrClient, len(q.State), maxState)
	}
	c.Redirects = nil // carried no further
	p := pending{
		ID: Random(), Browser: sum(browser), Client: c, Redirect: q.Redirect, State: q.State,
		Challenge: q.Challenge, Issuer: s.issuerAt(ctx, q.Entry), Ends: s.later(requestLife).Unix(),
	}
	p.Scopes, err = q.check()
	if err != nil {
		return Consent{}, s.back(p, err)
	}
	return Consent{Client: c, Redirect: p.Redirect, Scopes: p.Scopes, Ticket: s.sealed(p, stageConsent)}, nil
}

func (s *Server) issuerAt(ctx context.Context, e Entry) string {
	if e == Root {
		return s.instance.Issuer(ctx)
	}
	return s.Issuer()
}

// check is everything the client may be told about by redirect.
func (q Request) check() ([]string, error) {
	switch {
	case q.ResponseType != "code":
		return nil, refuse("unsupported_response_type", "Only response_type=code is supported.")
	case q.Challenge == "":
		return nil, refuse("invalid_request", "PKCE is required: send code_challenge.")
	case q.Method != "S256":
		return nil, refuse("invalid_request", "PKCE must use code_challenge_method=S256.")
	case len(q.Challenge) != 43 || checkVerifier(q.Challenge) != nil:
		return nil, refuse("invalid_request", "code_challenge is not a SHA-256 in base64url.")
	}
	return readScopes(q.Scope)
}

// Scopes are all there are: read one's messages; and write, to send, publish and delete.
func Scopes() []string { return []string{"read", "write"} }

// readScopes takes of what was asked what exists here. A client that asks for nothing gets both, one
// that asks only for what does not exist is told.
func readScopes(asked string) ([]string, error) {
	if strings.TrimSpace(asked) == "" {
		return Scopes(), nil
	}
	list := strings.Fields(asked)
	granted := slices.DeleteFunc(Scopes(), func(s string) bool { return !slices.Contains(list, s) })
	if len(granted) == 0 {
		return nil, refuse("invalid_scope", `The scopes here are "read" and "write".`)
	}
	return granted, nil
}

// Allow goes on after the person said yes: the URL of the instance's login. ErrBrowser, *Returned.
func (s *Server) Allow(ctx context.Context, ticket, browser string) (string, error) {
	p, err := s.opened(ticket, browser, stageConsent)
	if err != nil {
		return "", err
	}
	p.Verifier = Random()
	page, err := s.instance.LoginPage(ctx, s.sealed(p, stageLogin), challengeOf(p.Verifier))
	if err != nil {
		return "", s.back(p, err)
	}
	return page, nil
}

// Deny ends it after the person said no: where to send the browser.
func (s *Server) Deny(ticket, browser string) (string, error) {
	p, err := s.opened(ticket, browser, stageConsent)
	if err != nil {
		return "", err
	}
	return s.back(p, refuse("access_denied", "The person said no.")).Location, nil
}

// Return is the instance's answer at our callback: Code, or Error when it has none.
type Return struct{ State, Code, Error string }

// Finish turns the instance's answer into a code for the client, and says where to send the browser.
// Each state finishes once. ErrBrowser, *Returned.
func (s *Server) Finish(ctx context.Context, r Return, browser string) (string, error) {
	p, err := s.opened(r.State, browser, stageLogin)
	if err != nil {
		return "", err
	}
	if err := s.unfinished(ctx, p); err != nil {
		return "", err
	}
	if r.Code == "" {
		return "", s.back(p, refuse("access_denied", "The instance did not sign the person in."))
	}
	login, caller, err := s.instance.Redeem(ctx, r.Code, p.Verifier)
	if err != nil {
		return "", s.back(p, err)
	}
	code, err := s.issueCode(ctx, p, login, caller)
	if err != nil {
		return "", err
	}
	return p.location(url.Values{"code": {code}}), nil
}

func (s *Server) unfinished(ctx context.Context, p pending) error {
	_, err := s.store.Note(ctx, hashOf(p.ID))
	if err == nil {
		return fmt.Errorf("%w: it was finished before", ErrBrowser)
	}
	if errors.Is(err, ErrNone) {
		return nil
	}
	return fmt.Errorf("look up a sign-in: %w", err)
}

// issueCode keeps the code and that its state was used, in one write.
func (s *Server) issueCode(ctx context.Context, p pending, login string, c mastodon.Caller) (string, error) {
	s.changing.Lock()
	defer s.unlock(ctx)
	if err := s.unfinished(ctx, p); err != nil {
		return "", err
	}
	code := Random()
	err := s.change(ctx, Change{Notes: []Note{
		{Hash: hashOf(p.ID), Kind: KindState, Until: s.later(requestLife)},
		{Hash: hashOf(code), Kind: KindCode, Until: s.later(codeLife), Account: c.Account, Grant: &Grant{
			Client: p.Client, Redirect: p.Redirect, Challenge: p.Challenge, Scopes: p.Scopes,
			Account: c.Account, Actor: c.Actor, Login: login,
		}},
	}})
	return code, err
}

// back is the client's own error. What it has no code for is server_error, or, when trying again
// helps, temporarily_unavailable.
func (s *Server) back(p pending, cause error) *Returned {
	answer := url.Values{"error": {"server_error"}, "error_description": {"The sign-in could not be finished."}}
	var r *Refusal
	switch {
	case errors.As(cause, &r):
		answer = url.Values{"error": {r.Code}, "error_description": {r.Detail}}
	case errors.Is(cause, mastodon.ErrUnavailable):
		answer = url.Values{
			"error":             {"temporarily_unavailable"},
			"error_description": {"The instance cannot be asked now: try again later."},
		}
	case errors.Is(cause, mastodon.ErrToken), errors.Is(cause, mastodon.ErrScope):
		answer = url.Values{"error": {"access_denied"}, "error_description": {"The instance did not sign the person in."}}
	}
	return &Returned{Location: p.location(answer), Cause: cause}
}

// location is the client's redirect address with an answer, its state and the issuer (RFC 9207).
// The query that a redirect address has of its own stays as it is (OAuth 2.1 §4.1.2).
func (p pending) location(answer url.Values) string {
	if p.State != "" {
		answer.Set("state", p.State)
	}
	if p.Issuer != "" {
		answer.Set("iss", p.Issuer)
	}
	joint := "?"
	if strings.Contains(p.Redirect, "?") {
		joint = "&"
	}
	return p.Redirect + joint + answer.Encode()
}
