package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
)

// The second byte of a key that begins with signInKey.
const (
	noteKind   = 'n'
	deviceKind = 'd'
)

// appName is under which Keep has the application registered at the instance.
const appName = "mastodon application"

var (
	_ oauth.Store   = (*Store)(nil)
	_ mastodon.Apps = (*Store)(nil)
)

// Note implements oauth.Store.
func (s *Store) Note(ctx context.Context, h oauth.Hash) (oauth.Note, error) {
	var n oauth.Note
	return n, s.readSignIn(ctx, noteKeyOf(h), &n)
}

// Device implements oauth.Store.
func (s *Store) Device(ctx context.Context, account, id string) (oauth.Device, error) {
	var d oauth.Device
	return d, s.readSignIn(ctx, s.deviceKeyOf(account, id), &d)
}

func (s *Store) readSignIn(ctx context.Context, key []byte, into any) error {
	value, err := s.read(ctx, key)
	if isMissing(err) || err == nil && len(value) == 0 {
		return oauth.ErrNone
	}
	if err == nil {
		err = json.Unmarshal(value, into)
	}
	if err != nil {
		return fmt.Errorf("read a sign-in: %w", err)
	}
	return nil
}

// Devices implements oauth.Store.
func (s *Store) Devices(ctx context.Context, account string) ([]oauth.Device, error) {
	var list []oauth.Device
	err := s.scan(ctx, s.devicesOf(account), func(r *badger.Entry) error {
		var d oauth.Device
		err := json.Unmarshal(r.Value, &d)
		list = append(list, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the devices of an account: %w", err)
	}
	return list, nil
}

// Change implements oauth.Store. Notes go when they end, devices when they are removed.
func (s *Store) Change(ctx context.Context, c oauth.Change) error {
	var rows []lasting
	add := func(key []byte, v any, until time.Time) error {
		value, err := json.Marshal(v)
		rows = append(rows, lasting{row{key, value}, max(until.Sub(s.now()), time.Second)})
		return err
	}
	var err error
	for _, n := range c.Notes {
		err = errors.Join(err, add(noteKeyOf(n.Hash), n, n.Until))
	}
	for _, d := range c.Devices {
		err = errors.Join(err, add(s.deviceKeyOf(d.Account, d.ID), d, d.RefreshEnds))
	}
	for _, d := range c.Removed {
		rows = append(rows, lasting{row: row{key: s.deviceKeyOf(d.Account, d.ID)}})
	}
	if err != nil {
		return fmt.Errorf("write a sign-in: %w", err)
	}
	return s.writeLasting(ctx, rows)
}

// KeepApp implements mastodon.Apps, for signing in.
func (s *Store) KeepApp(ctx context.Context, a mastodon.App) error { return s.Apps("").KeepApp(ctx, a) }

// KeptApp implements mastodon.Apps, for signing in.
func (s *Store) KeptApp(ctx context.Context) (mastodon.App, error) { return s.Apps("").KeptApp(ctx) }

// Apps keeps an application registered for something else.
func (s *Store) Apps(purpose string) mastodon.Apps {
	return apps{s, strings.TrimSpace(appName + " " + purpose)}
}

type apps struct {
	store *Store
	name  string
}

// KeepApp implements mastodon.Apps.
func (p apps) KeepApp(ctx context.Context, a mastodon.App) error {
	value, err := json.Marshal(a) //nolint:gosec // the store is encrypted
	if err != nil {
		return fmt.Errorf("keep the registered application: %w", err)
	}
	return p.store.Keep(ctx, p.name, value)
}

// KeptApp implements mastodon.Apps.
func (p apps) KeptApp(ctx context.Context) (mastodon.App, error) {
	value, err := p.store.Kept(ctx, p.name)
	if errors.Is(err, ErrNotKept) {
		return mastodon.App{}, mastodon.ErrNoApp
	}
	var a mastodon.App
	if err == nil {
		err = json.Unmarshal(value, &a)
	}
	if err != nil {
		return mastodon.App{}, fmt.Errorf("read the registered application: %w", err)
	}
	return a, nil
}

func noteKeyOf(h oauth.Hash) []byte { return append([]byte{signInKey, noteKind}, h[:]...) }

func (s *Store) devicesOf(account string) []byte {
	h := s.keys.hash(signInKey, account)
	return append([]byte{signInKey, deviceKind}, h[:]...)
}

func (s *Store) deviceKeyOf(account, id string) []byte {
	h := s.keys.hash(signInKey, account, id)
	return append(s.devicesOf(account), h[:]...)
}
