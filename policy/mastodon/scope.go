package mastodon

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// maxToken bounds a token; Mastodon's have 43 characters, JWTs a few thousand.
const maxToken = 4096

// plausible tells whether a token can be one at all (RFC 6750 §2.1): visible
// ASCII, so that it can be put in a header as it is.
func plausible(token string) bool {
	if token == "" || len(token) > maxToken {
		return false
	}
	return strings.IndexFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// scopes are a list on Mastodon and a space-separated string in RFC 7662.
type scopes []string

func (s *scopes) UnmarshalJSON(b []byte) error {
	var list []string
	if json.Unmarshal(b, &list) == nil {
		*s = list
		return nil
	}
	var line string
	if err := json.Unmarshal(b, &line); err != nil {
		return err
	}
	*s = strings.Fields(line)
	return nil
}

// withScopes adds what the token may do. Software that shows no scopes lets its
// tokens do everything; where scopes exist but are not told, the caller is
// marked ScopesUnknown.
func (i *Instance) withScopes(ctx context.Context, token string, c Caller) (Caller, error) {
	software, err := i.softwareName(ctx)
	if err != nil {
		return c, err
	}
	if software != SoftwareMastodon {
		c.Scopes = []string{"read", "write"}
		return c, nil
	}
	told, err := i.tokenScopes(ctx, token)
	if errors.Is(err, errNotTold) {
		c.ScopesUnknown = true
		return c, nil
	}
	c.Scopes = told
	return c, err
}

var errNotTold = errors.New("mastodon: the instance does not tell a token's scopes")

func (i *Instance) tokenScopes(ctx context.Context, token string) ([]string, error) {
	reply, err := i.upstream.ask(ctx, question{path: "/oauth/token/info", token: token})
	if err != nil {
		return nil, err
	}
	switch {
	case reply.status == http.StatusUnauthorized: // revoked between two questions
		return nil, ErrToken
	case reply.gone(), reply.status == http.StatusForbidden:
		return nil, errNotTold
	}
	var info struct {
		Scope  scopes `json:"scope"`
		Scopes scopes `json:"scopes"` // Doorkeeper before 5.2
	}
	if err := reply.into(&info); err != nil {
		return nil, err
	}
	if info.Scope == nil {
		info.Scope = info.Scopes
	}
	if info.Scope == nil {
		return nil, errNotTold
	}
	return info.Scope, nil
}

// whyForbidden tells a token that may not ask who it is from a person whose
// login is disabled: the first has no read scope.
func (i *Instance) whyForbidden(ctx context.Context, token string) error {
	has, err := i.tokenScopes(ctx, token)
	switch {
	case errors.Is(err, errNotTold):
		return &ScopeError{Missing: []string{"read"}}
	case err != nil:
		return err
	case slices.Contains(has, "read"):
		return ErrToken
	}
	return &ScopeError{Missing: []string{"read"}}
}
