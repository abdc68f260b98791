package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sealgate/sealgate/policy/mastodon"
)

// Caller names the person who shows one of our access tokens, with the scopes of the token. It looks
// at the store each time, and at the instance as often as mastodon.Instance.Caller does: a device
// that was signed out is out at once, a person whom the instance no longer knows within a minute.
// mastodon.ErrToken, ErrUnavailable.
func (s *Server) Caller(ctx context.Context, token string) (mastodon.Caller, error) {
	d, err := s.device(ctx, token)
	if err != nil {
		return mastodon.Caller{}, err
	}
	c, err := s.confirm(ctx, d)
	if err != nil {
		return mastodon.Caller{}, err
	}
	s.touch(ctx, d)
	return c, nil
}

// Device is the id of the device whose access token this is. mastodon.ErrToken.
func (s *Server) Device(ctx context.Context, token string) (string, error) {
	d, err := s.device(ctx, token)
	return d.ID, err
}

// device finds whose access token this is.
func (s *Server) device(ctx context.Context, token string) (Device, error) {
	if !strings.HasPrefix(token, accessPrefix) {
		return Device{}, mastodon.ErrToken
	}
	n, err := s.store.Note(ctx, hashOf(token))
	var d Device
	if err == nil && n.Kind == KindAccess {
		d, err = s.store.Device(ctx, n.Account, n.Device)
	}
	if err != nil && !errors.Is(err, ErrNone) {
		return Device{}, fmt.Errorf("%w: look up a token: %w", mastodon.ErrUnavailable, err)
	}
	isCurrent := n.Hash == d.Access && !s.over(d.AccessEnds)
	isFormer := n.Hash == d.Former && !s.over(d.FormerEnds)
	if err != nil || n.Kind != KindAccess || !isCurrent && !isFormer {
		return Device{}, mastodon.ErrToken
	}
	return d, nil
}

// confirm asks the instance whether the person is still who signed in. When it says no, the device
// is signed out: signing in again elsewhere must not bring a lost phone back.
func (s *Server) confirm(ctx context.Context, d Device) (mastodon.Caller, error) {
	c, err := s.instance.Caller(ctx, d.Login)
	if errors.Is(err, mastodon.ErrToken) || err == nil && c.Account != d.Account {
		return mastodon.Caller{}, errors.Join(mastodon.ErrToken, s.drop(ctx, d))
	}
	if err != nil {
		return mastodon.Caller{}, err
	}
	c.Scopes, c.ScopesUnknown = slices.Clone(d.Scopes), false
	return c, nil
}

// drop signs a device out that may already be.
func (s *Server) drop(ctx context.Context, d Device) error {
	err := s.SignOut(ctx, d.Account, d.ID)
	if errors.Is(err, ErrNone) {
		return nil
	}
	return err
}

// touch notes the day of use. That it could not be written is no reason to refuse anybody.
func (s *Server) touch(ctx context.Context, d Device) {
	if d.Used.Equal(day(s.clock())) || !s.changing.TryLock() {
		return
	}
	defer s.unlock(ctx)
	d, err := s.store.Device(ctx, d.Account, d.ID) // as it is now that nobody changes it
	if err != nil {
		return
	}
	d.Used = day(s.clock())
	if err := s.change(ctx, Change{Devices: []Device{d}}); err != nil {
		s.log.Debug("the day a device was used could not be kept", "error", err)
	}
}

// Devices are the signed-in devices of an account, newest first.
func (s *Server) Devices(ctx context.Context, account string) ([]Device, error) {
	list, err := s.store.Devices(ctx, account)
	list = slices.DeleteFunc(list, func(d Device) bool { return s.over(d.RefreshEnds) })
	slices.SortFunc(list, func(a, b Device) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(a.ID, b.ID))
	})
	return list, err
}

// SignOut ends one device of an account. ErrNone when it has no such device.
func (s *Server) SignOut(ctx context.Context, account, id string) error {
	s.changing.Lock()
	defer s.unlock(ctx)
	return s.removeID(ctx, account, id)
}

// Revoke ends the device of an access or refresh token (RFC 7009). A token that is none is fine; one
// of another client is a *Refusal. clientID may be empty.
func (s *Server) Revoke(ctx context.Context, token, clientID string) error {
	s.changing.Lock()
	defer s.unlock(ctx)
	n, err := s.store.Note(ctx, hashOf(token))
	var d Device
	if err == nil && (n.Kind == KindAccess || n.Kind == KindRefresh) {
		d, err = s.store.Device(ctx, n.Account, n.Device)
	}
	switch {
	case errors.Is(err, ErrNone), err == nil && d.ID == "":
		return nil
	case err != nil:
		return fmt.Errorf("look up a token: %w", err)
	case clientID != "" && clientID != d.Client.ID:
		return refuse("unauthorized_client", "The token was issued to another client.")
	}
	return s.remove(ctx, d)
}

// Login is the instance's token of a person who is signed in, to ask for what only they may know.
// ErrNone when nobody is.
func (s *Server) Login(ctx context.Context, account string) (string, error) {
	list, err := s.Devices(ctx, account)
	if err != nil {
		return "", err
	}
	if len(list) == 0 {
		return "", ErrNone
	}
	return list[0].Login, nil
}

func (s *Server) removeID(ctx context.Context, account, id string) error {
	d, err := s.store.Device(ctx, account, id)
	if err != nil {
		return err
	}
	return s.remove(ctx, d)
}

// remove signs a device out, and ends the instance's token when no other device stands on it:
// Mastodon gives one to all of a person's.
func (s *Server) remove(ctx context.Context, d Device) error {
	if err := s.change(ctx, Change{Removed: []Device{d}}); err != nil {
		return err
	}
	others, err := s.store.Devices(ctx, d.Account)
	if err == nil && !slices.ContainsFunc(others, func(o Device) bool { return o.Login == d.Login }) {
		s.ended = append(s.ended, d.Login)
	}
	return nil
}
