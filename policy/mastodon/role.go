package mastodon

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
)

// The flags of a role's permissions that make an administrator: everything, or whom the instance federates
// with. Mastodon's Owner and Admin have them, its Moderator has not.
const (
	mayAdminister       = 1 << 0
	mayManageFederation = 1 << 5
)

// IsAdmin says whether the person of a token administers the instance. ErrToken when it is over,
// ErrUnavailable when nobody can tell.
func (i *Instance) IsAdmin(ctx context.Context, token string) (bool, error) {
	reply, err := i.upstream.ask(ctx, question{path: "/api/v1/accounts/verify_credentials", token: token})
	if err != nil {
		return false, err
	}
	if reply.refused() {
		return false, ErrToken
	}
	var a struct {
		Role *struct {
			Name        string          `json:"name"`
			Permissions json.RawMessage `json:"permissions"`
		} `json:"role"`
	}
	if err := reply.into(&a); err != nil || a.Role == nil {
		return false, err
	}
	flags, err := strconv.ParseUint(strings.Trim(string(a.Role.Permissions), `"`), 10, 64)
	if err != nil { // GoToSocial before 0.17 has names only
		return a.Role.Permissions == nil && a.Role.Name == "admin", nil
	}
	return flags&(mayAdminister|mayManageFederation) != 0, nil
}
