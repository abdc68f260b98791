package mastodon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Caller is the person whose token was shown, and what the token may do.
// Scopes are as the instance shows them; ScopesUnknown when it does not, and
// Remembered when the instance is away and this is its last answer.
type Caller struct {
	Person
	Scopes        []string
	ScopesUnknown bool
	Remembered    bool
}

// ScopeError names what a token lacks. It is an ErrScope.
type ScopeError struct{ Missing []string }

func (e *ScopeError) Error() string {
	return fmt.Sprintf("the access token lacks the scope %q: sign in again and allow it",
		strings.Join(e.Missing, " "))
}

// Is makes a ScopeError an ErrScope.
func (e *ScopeError) Is(target error) bool { return target == ErrScope }

// MayRead says whether the caller may read their own mailbox: nil or a
// *ScopeError. A narrower scope such as read:statuses is not enough.
func (c Caller) MayRead() error {
	if c.ScopesUnknown {
		return nil
	}
	return c.require("read")
}

// MayWrite says whether the caller may post, delete and publish: nil, a
// *ScopeError, or ErrUnavailable while only a remembered answer speaks for them.
func (c Caller) MayWrite() error {
	if c.Remembered {
		return fmt.Errorf("confirm the access token: %w", ErrUnavailable)
	}
	return c.require("read", "write")
}

func (c Caller) require(scopes ...string) error {
	var missing []string
	for _, s := range scopes {
		if !slices.Contains(c.Scopes, s) {
			missing = append(missing, s)
		}
	}
	if missing != nil {
		return &ScopeError{Missing: missing}
	}
	return nil
}

// tokenAnswer is what the instance said about a token. good is the last caller
// it named, kept beyond a failure to ask.
type tokenAnswer struct {
	caller Caller
	err    error // nil or ErrToken or a *ScopeError
	at     time.Time
}

func (a *tokenAnswer) fresh(now time.Time) bool {
	keep := tokenBad
	if a.err == nil {
		keep = tokenGood
	}
	return now.Sub(a.at) < keep
}

// Caller names the person behind a token of the instance. The answer is
// remembered by the token's SHA-256, 60 s when good and 15 s when bad, with one
// question in flight. ErrToken: 401. *ScopeError (ErrScope): 403. When the
// instance cannot be asked the last good answer, marked Remembered, serves for
// an hour; without one, ErrUnavailable.
//
// What the caller may do is for MayRead and MayWrite to say.
func (i *Instance) Caller(ctx context.Context, token string) (Caller, error) {
	return i.CallerWithin(ctx, token, tokenGood)
}

// CallerWithin is Caller with an answer that is at most age old: for whoever
// cannot wait a minute to learn that a token has ended.
func (i *Instance) CallerWithin(ctx context.Context, token string, age time.Duration) (Caller, error) {
	if !plausible(token) {
		return Caller{}, ErrToken
	}
	key := sha256.Sum256([]byte(token))
	now := i.clock()
	if a, ok := i.tokens.GetIfPresent(key); ok && a.fresh(now) && now.Sub(a.at) <= age {
		return a.caller, a.err
	}
	return once(ctx, i, "token "+hex.EncodeToString(key[:]), func(ctx context.Context) (Caller, error) {
		return i.confirm(ctx, key, token)
	})
}

// Forget drops what is remembered about a token: it was revoked, or refused.
func (i *Instance) Forget(token string) {
	i.tokens.Invalidate(sha256.Sum256([]byte(token)))
}

// confirm asks the instance and keeps what it says; its silence keeps what it
// said before.
func (i *Instance) confirm(ctx context.Context, key [sha256.Size]byte, token string) (Caller, error) {
	c, err := i.identify(ctx, token)
	if err != nil && !errors.Is(err, ErrToken) && !errors.Is(err, ErrScope) {
		return i.lastGood(key, err)
	}
	i.tokens.Set(key, &tokenAnswer{caller: c, err: err, at: i.clock()})
	if met := i.met.Load(); met != nil && err == nil {
		(*met)(c, token)
	}
	return c, err
}

func (i *Instance) lastGood(key [sha256.Size]byte, cause error) (Caller, error) {
	a, ok := i.tokens.GetIfPresent(key)
	if !ok || a.err != nil || i.clock().Sub(a.at) > tokenFallback {
		return Caller{}, cause
	}
	c := a.caller
	c.Remembered = true
	return c, nil
}

// identify asks who the token is and what it may do.
func (i *Instance) identify(ctx context.Context, token string) (Caller, error) {
	reply, err := i.upstream.ask(ctx, question{path: "/api/v1/accounts/verify_credentials", token: token})
	if err != nil {
		return Caller{}, err
	}
	switch reply.status {
	case http.StatusUnauthorized, http.StatusUnprocessableEntity: // 422: the token of an app, of nobody
		return Caller{}, ErrToken
	case http.StatusForbidden:
		return Caller{}, i.whyForbidden(ctx, token)
	}
	var a account
	if err := reply.into(&a); err != nil {
		return Caller{}, fmt.Errorf("verify credentials: %w", err)
	}
	p, err := i.self(ctx, a)
	if err != nil {
		return Caller{}, err
	}
	c, err := i.withScopes(ctx, token, Caller{Person: p})
	if err != nil {
		return Caller{}, err
	}
	return c, nil
}

// self is the person of an account that a token named. Mastodon says all of it;
// for the rest the username is mapped through WebFinger.
func (i *Instance) self(ctx context.Context, a account) (Person, error) {
	software, err := i.softwareName(ctx)
	if err != nil {
		return Person{}, err
	}
	if !username.MatchString(a.Username) {
		return Person{}, fmt.Errorf("%w: it names no local person for a token", ErrUnavailable)
	}
	s := subject{name: strings.ToLower(a.Username)}
	if cached, ok := i.persons.GetIfPresent(s.key()); ok && cached.known() && cached.fresh(i.clock()) {
		if software != SoftwareMastodon || cached.person.Account == a.ID {
			return cached.person, nil
		}
	}
	var p Person
	if software == SoftwareMastodon {
		p, err = i.describe(ctx, a)
	} else {
		p, err = i.byWebFinger(ctx, s)
	}
	if errors.Is(err, ErrNoPerson) {
		return Person{}, fmt.Errorf("%w: WebFinger does not know the person of a token", ErrUnavailable)
	}
	if err == nil {
		i.remember(ctx, p)
	}
	return p, err
}
