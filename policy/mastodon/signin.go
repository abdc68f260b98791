package mastodon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sealgate/sealgate/policy/ratelimit"
)

// ErrNoApp means that no application was registered at the instance yet.
var ErrNoApp = errors.New("mastodon: no application registered")

const (
	appConfirmed = 10 * time.Minute // an application is not asked about again for so long
	issuerFresh  = 10 * time.Minute
	// The instance lets five applications be registered in ten minutes per address, ours and perhaps
	// others'; more than three are never needed.
	registerMax   = 3
	registerEvery = 10 * time.Minute
)

// loginScopes is what the registered application asks of a person: who they are, whom they follow,
// block and mute, their notification policy (the API has no narrower scope for it), and to find and
// report somebody on their behalf. What an instance lacks is left out.
func loginScopes() []string {
	return []string{"profile", "read:follows", "read:blocks", "read:mutes", "read:notifications", "read:search", "write:reports"}
}

// App is the application that the gateway registered at the instance.
type App struct {
	ID, Secret string
	Redirect   string
	Scopes     []string
}

// Apps keeps the application durably. KeptApp answers ErrNoApp when there is none.
type Apps interface {
	KeepApp(ctx context.Context, a App) error
	KeptApp(ctx context.Context) (App, error)
}

// SignInOptions of a SignIn. Base, Redirect and Apps are required.
type SignInOptions struct {
	Base     string // the instance's public address, such as https://social.example
	Redirect string // our callback
	Apps     Apps
	Scopes   []string // what is asked of a person; nil: all that the gateway can use
	Clock    func() time.Time
	Log      *slog.Logger
}

// SignIn asks the instance who somebody is, as one application for everybody. It is safe for
// concurrent use.
type SignIn struct {
	*Instance

	options   SignInOptions
	attempts  *ratelimit.Limiter
	confirmed atomic.Int64 // when the application was last known to exist, Unix seconds
	metadata  atomic.Pointer[metadata]
}

// NewSignIn makes a SignIn; nothing is registered before the first person comes.
func (i *Instance) NewSignIn(o SignInOptions) (*SignIn, error) {
	if o.Base == "" || o.Redirect == "" || o.Apps == nil {
		return nil, errors.New("mastodon: SignInOptions.Base, Redirect and Apps are required")
	}
	if o.Clock == nil {
		o.Clock = i.clock
	}
	if o.Log == nil {
		o.Log = i.log
	}
	if o.Scopes == nil {
		o.Scopes = loginScopes()
	}
	o.Base = strings.TrimSuffix(o.Base, "/")
	return &SignIn{Instance: i, options: o, attempts: ratelimit.New(ratelimit.Options{
		Rate: ratelimit.Rate{Max: registerMax, Every: registerEvery}, Keys: 1,
	})}, nil
}

// LoginPage is the instance's own page where a person signs in and allows the gateway to know who
// they are. ErrUnavailable.
func (s *SignIn) LoginPage(ctx context.Context, state, challenge string) (string, error) {
	a, err := once(ctx, s.Instance, "application "+s.options.Redirect, s.app)
	if err != nil {
		return "", err
	}
	return s.options.Base + "/oauth/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {a.ID}, "redirect_uri": {a.Redirect},
		"scope": {strings.Join(a.Scopes, " ")}, "state": {state},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}.Encode(), nil
}

// Redeem turns the instance's code into its token and the person whose it is. ErrToken when the
// instance does not accept the code; ErrUnavailable.
func (s *SignIn) Redeem(ctx context.Context, code, verifier string) (string, Caller, error) {
	a, err := s.options.Apps.KeptApp(ctx)
	if err != nil {
		return "", Caller{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	reply, err := s.upstream.ask(ctx, question{path: "/oauth/token", form: url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.Redirect},
		"client_id": {a.ID}, "client_secret": {a.Secret}, "code_verifier": {verifier},
	}})
	if err != nil {
		return "", Caller{}, err
	}
	if reply.status >= 400 && reply.status < 500 {
		return "", Caller{}, fmt.Errorf("%w: it answers %d to a code", ErrToken, reply.status)
	}
	var granted struct {
		Token string `json:"access_token"`
	}
	if err := reply.into(&granted); err != nil {
		return "", Caller{}, fmt.Errorf("exchange a code: %w", err)
	}
	caller, err := s.Caller(ctx, granted.Token)
	return granted.Token, caller, err
}

// End revokes a token of the instance. That it could not be is logged and no more: the token is known
// to nobody else.
func (s *SignIn) End(ctx context.Context, token string) {
	s.Forget(token)
	a, err := s.options.Apps.KeptApp(ctx)
	if err == nil {
		_, err = s.upstream.ask(ctx, question{path: "/oauth/revoke", form: url.Values{
			"token": {token}, "client_id": {a.ID}, "client_secret": {a.Secret},
		}})
	}
	if err != nil {
		s.options.Log.Debug("a token of the instance could not be revoked", "error", err)
	}
}

// app is the registered application, registered now if there is none, or if the instance forgot it.
func (s *SignIn) app(ctx context.Context) (App, error) {
	a, err := s.options.Apps.KeptApp(ctx)
	switch {
	case errors.Is(err, ErrNoApp):
	case err != nil:
		return App{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case a.Redirect == s.options.Redirect:
		known, err := s.confirm(ctx, a)
		if err != nil || known {
			return a, err
		}
		s.options.Log.Warn("the instance has forgotten the gateway's application: registering it anew")
	}
	return s.register(ctx)
}

// confirm asks for a token of the application itself: it tells whether the application still exists,
// and having one keeps Mastodon from clearing it away as unused.
func (s *SignIn) confirm(ctx context.Context, a App) (bool, error) {
	now := s.options.Clock().Unix()
	if now-s.confirmed.Load() < int64(appConfirmed/time.Second) {
		return true, nil
	}
	reply, err := s.upstream.ask(ctx, question{path: "/oauth/token", form: url.Values{
		"grant_type": {"client_credentials"}, "client_id": {a.ID}, "client_secret": {a.Secret},
		"redirect_uri": {a.Redirect}, "scope": {strings.Join(a.Scopes, " ")},
	}})
	if err != nil {
		return false, err
	}
	var answer struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(reply.body, &answer) // only what it says matters
	if answer.Error == "invalid_client" {
		return false, nil
	}
	s.confirmed.Store(now)
	return true, nil
}

// register registers the application and keeps it. An instance that does not know one of the scopes
// is asked for the one that every instance has.
func (s *SignIn) register(ctx context.Context) (App, error) {
	scopes, err := s.scopes(ctx)
	if err != nil {
		return App{}, err
	}
	a, status, err := s.tryRegister(ctx, scopes)
	if err == nil && status == http.StatusUnprocessableEntity {
		a, status, err = s.tryRegister(ctx, []string{"read"})
	}
	if err != nil {
		return App{}, err
	}
	if a.ID == "" {
		return App{}, fmt.Errorf("%w: it answers %d to the registration of an application", ErrUnavailable, status)
	}
	if err := s.options.Apps.KeepApp(ctx, a); err != nil {
		return App{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s.options.Log.Info("registered at the instance", "scopes", strings.Join(a.Scopes, " "))
	if _, err := s.confirm(ctx, a); err != nil {
		s.options.Log.Debug("the new application has no token of its own yet", "error", err)
	}
	return a, nil
}

func (s *SignIn) tryRegister(ctx context.Context, scopes []string) (App, int, error) {
	if wait := s.attempts.Take(s.attempts.Of(""), s.options.Clock()); wait > 0 {
		return App{}, 0, fmt.Errorf("%w: an application was registered too often, again in %s", ErrUnavailable, wait)
	}
	reply, err := s.upstream.ask(ctx, question{path: "/api/v1/apps", form: url.Values{
		"client_name": {"Sealgate"}, "redirect_uris": {s.options.Redirect},
		"scopes": {strings.Join(scopes, " ")}, "website": {s.options.Base},
	}})
	if err != nil || reply.status != http.StatusOK {
		return App{}, reply.status, err
	}
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := reply.into(&made); err != nil || made.ID == "" {
		return App{}, 0, fmt.Errorf("%w: it registered no application (%w)", ErrUnavailable, err)
	}
	return App{ID: made.ID, Secret: made.Secret, Redirect: s.options.Redirect, Scopes: scopes}, reply.status, nil
}

// metadata is what the instance says of itself as authorization server (RFC 8414).
type metadata struct {
	Issuer string   `json:"issuer"`
	Scopes []string `json:"scopes_supported"`
	at     time.Time
}

// Issuer is how the instance names itself as authorization server, or "" when it does not
// (Mastodon before 4.3, snac).
func (s *SignIn) Issuer(ctx context.Context) string {
	m, err := s.described(ctx)
	if err != nil {
		return ""
	}
	return m.Issuer
}

func (s *SignIn) described(ctx context.Context) (*metadata, error) {
	if m := s.metadata.Load(); m != nil && s.options.Clock().Sub(m.at) < issuerFresh {
		return m, nil
	}
	reply, err := s.upstream.ask(ctx, question{path: "/.well-known/oauth-authorization-server"})
	if err != nil {
		return nil, err
	}
	if reply.status >= http.StatusInternalServerError {
		return nil, fmt.Errorf("%w: it answers %d", ErrUnavailable, reply.status)
	}
	m := &metadata{}
	if reply.into(m) != nil {
		m = &metadata{}
	}
	m.at = s.options.Clock()
	s.metadata.Store(m)
	return m, nil
}

// scopes are those wanted that the instance has. Who somebody is, profile tells from 4.3 on,
// read:accounts before.
func (s *SignIn) scopes(ctx context.Context) ([]string, error) {
	m, err := s.described(ctx)
	if err != nil {
		return nil, err
	}
	has := func(scope string) bool { return slices.Contains(m.Scopes, scope) }
	if m.Scopes == nil {
		has = func(scope string) bool { return scope != "profile" }
	}
	list := slices.DeleteFunc(slices.Clone(s.options.Scopes), func(scope string) bool { return !has(scope) })
	if !has("profile") {
		list = slices.Insert(list, 0, "read:accounts")
	}
	return list, nil
}
