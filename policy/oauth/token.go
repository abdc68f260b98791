package oauth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
)

// What our tokens begin with, so that nobody asks the instance about them, and a leaked one can be
// told for what it is.
const (
	accessPrefix  = "sga_"
	refreshPrefix = "sgr_"
)

// IsToken tells whether a token is one of ours, valid or not.
func IsToken(token string) bool {
	return strings.HasPrefix(token, accessPrefix) || strings.HasPrefix(token, refreshPrefix)
}

// Tokens is what a client gets.
type Tokens struct {
	Access, Refresh string
	Expires         time.Duration
	Scopes          []string
	Actor           string
}

// Exchange is a token request of the authorization_code grant.
type Exchange struct{ Code, ClientID, Redirect, Verifier string }

func badGrant(detail string) *Refusal { return refuse("invalid_grant", detail) }

// Exchange buys tokens with a code. A code is good once: shown again by anybody, what it bought is
// taken back (OAuth 2.1 §4.1.3); shown with a wrong verifier, client or redirect, it is spent.
// Errors of the client are a *Refusal.
func (s *Server) Exchange(ctx context.Context, e Exchange) (Tokens, error) {
	if checkVerifier(e.Verifier) != nil {
		return Tokens{}, refuse("invalid_request", "Send the PKCE code_verifier: 43 to 128 characters.")
	}
	s.changing.Lock()
	defer s.unlock(ctx)
	n, err := s.note(ctx, e.Code, KindCode)
	if err != nil {
		return Tokens{}, err
	}
	g := n.Grant
	if g == nil {
		return Tokens{}, errors.Join(badGrant("The code was used before: everything it bought is revoked."), s.undo(ctx, n))
	}
	if s.over(n.Until) {
		return Tokens{}, badGrant("The code is over: it must be used within a minute.")
	}
	n.Grant, n.Until = nil, s.later(refreshLife) // spent, and known as such as long as what it bought
	if wrong := g.refuses(e); wrong != nil {
		return Tokens{}, errors.Join(wrong, s.change(ctx, Change{Notes: []Note{n}}))
	}
	d := Device{
		ID: Random()[:22], Account: g.Account, Actor: g.Actor, Client: g.Client, Scopes: g.Scopes,
		Login: g.Login, Created: s.clock(),
	}
	n.Device = d.ID
	return s.renew(ctx, d, n)
}

// refuses compares what the code was issued for with what it is shown with.
func (g *Grant) refuses(e Exchange) error {
	isVerifier := subtle.ConstantTimeCompare([]byte(challengeOf(e.Verifier)), []byte(g.Challenge)) == 1
	switch {
	case e.ClientID != g.Client.ID:
		return badGrant("The code was issued to another client.")
	case e.Redirect != "" && e.Redirect != g.Redirect:
		return badGrant("redirect_uri is not the one the code was sent to.")
	case !isVerifier:
		return badGrant("code_verifier does not match the code_challenge.")
	}
	return nil
}

// undo removes the device that a code bought.
func (s *Server) undo(ctx context.Context, n Note) error {
	if n.Device == "" {
		return nil
	}
	s.log.Warn("an authorization code was shown twice: the device it signed in is signed out")
	return s.removeID(ctx, n.Account, n.Device)
}

// Refresh gives a device its next tokens. A refresh token is good once: an old one shown again means
// that two have it, and signs the device out (RFC 9700 §4.14.2). Errors of the client are a *Refusal.
func (s *Server) Refresh(ctx context.Context, token, clientID, scope string) (Tokens, error) {
	if err := s.stillSomebody(ctx, token); err != nil {
		return Tokens{}, err
	}
	s.changing.Lock()
	defer s.unlock(ctx)
	d, n, err := s.refreshed(ctx, token)
	switch {
	case err != nil:
		return Tokens{}, err
	case clientID != d.Client.ID:
		return Tokens{}, badGrant("The refresh token was issued to another client.")
	case d.Refresh != n.Hash:
		s.log.Warn("a refresh token was shown twice: its device is signed out")
		return Tokens{}, errors.Join(badGrant("The refresh token was used before: this device is signed out."), s.remove(ctx, d))
	case s.over(d.RefreshEnds):
		return Tokens{}, errors.Join(badGrant("The refresh token is over: sign in again."), s.remove(ctx, d))
	}
	if scope != "" && !slices.Equal(narrowed(scope, d.Scopes), d.Scopes) {
		return Tokens{}, refuse("invalid_scope", "A device keeps the scopes it was given.")
	}
	return s.renew(ctx, d)
}

// refreshed is the device that a refresh token was issued to.
func (s *Server) refreshed(ctx context.Context, token string) (Device, Note, error) {
	n, err := s.note(ctx, token, KindRefresh)
	if err != nil {
		return Device{}, Note{}, err
	}
	d, err := s.store.Device(ctx, n.Account, n.Device)
	if errors.Is(err, ErrNone) {
		return Device{}, Note{}, badGrant("This device was signed out.")
	}
	if err != nil {
		return Device{}, Note{}, fmt.Errorf("look up a device: %w", err)
	}
	return d, n, nil
}

// stillSomebody asks the instance about the person before a refresh, without holding anybody up.
func (s *Server) stillSomebody(ctx context.Context, token string) error {
	d, _, err := s.refreshed(ctx, token)
	if err != nil {
		return err
	}
	_, err = s.confirm(ctx, d)
	if errors.Is(err, mastodon.ErrToken) {
		return badGrant("The instance no longer knows this person's sign-in: sign in again.")
	}
	return err
}

func narrowed(asked string, scopes []string) []string {
	list := strings.Fields(asked)
	return slices.DeleteFunc(slices.Clone(scopes), func(one string) bool { return !slices.Contains(list, one) })
}

// renew gives d new tokens and writes it with them, and the notes given, at once.
func (s *Server) renew(ctx context.Context, d Device, notes ...Note) (Tokens, error) {
	now := s.clock()
	t := Tokens{
		Access: accessPrefix + Random(), Refresh: refreshPrefix + Random(),
		Scopes: d.Scopes, Actor: d.Actor,
	}
	refresh := refreshLife
	t.Expires = accessLife
	if d.Client.ID == s.session() {
		refresh, t.Expires = sessionLife, sessionLife
	}
	d.Former, d.FormerEnds = d.Access, earlier(d.AccessEnds, now.Add(overlapLife))
	d.Access, d.AccessEnds = hashOf(t.Access), now.Add(t.Expires)
	d.Refresh, d.RefreshEnds = hashOf(t.Refresh), now.Add(refresh)
	d.Used = day(now)
	notes = append(notes,
		Note{Hash: d.Access, Kind: KindAccess, Until: d.AccessEnds, Account: d.Account, Device: d.ID},
		// An old refresh token is recognised for as long as it could have been used.
		Note{Hash: d.Refresh, Kind: KindRefresh, Until: d.RefreshEnds, Account: d.Account, Device: d.ID},
	)
	if err := s.change(ctx, Change{Notes: notes, Devices: []Device{d}}); err != nil {
		return Tokens{}, err
	}
	return t, nil
}

// note is what a code or token stands for; invalid_grant when it was never issued as such.
func (s *Server) note(ctx context.Context, secret string, k Kind) (Note, error) {
	n, err := s.store.Note(ctx, hashOf(secret))
	if errors.Is(err, ErrNone) || err == nil && n.Kind != k {
		return Note{}, badGrant("This was not issued here, or is over.")
	}
	if err != nil {
		return Note{}, fmt.Errorf("look up a %s: %w", k, err)
	}
	return n, nil
}

func (s *Server) over(t time.Time) bool { return !s.clock().Before(t) }

// change writes even when who asked has gone: what was decided must be seen by the next.
func (s *Server) change(ctx context.Context, c Change) error {
	if err := s.store.Change(context.WithoutCancel(ctx), c); err != nil {
		return fmt.Errorf("keep a sign-in: %w", err)
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
