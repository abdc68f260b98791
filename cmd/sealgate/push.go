package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/push"
)

// newPush wakes devices for every message that is kept. It goes out through the client that cannot be
// sent inside.
func (g *gateway) newPush() (*push.Pusher, error) {
	key, err := loadOrCreatePushKey(filepath.Join(filepath.Dir(g.config.Storage.Path), "vapid.pem"))
	if err != nil {
		return nil, err
	}
	f, actor := g.config.Federation, relay.OwnActor(publicBase(g.config))
	client := actorkey.NewClient(actorkey.ClientOptions{
		Timeout: time.Duration(f.Timeout), AllowPlainHTTP: f.AllowPlainHTTP, AllowNetworks: f.AllowNetworks,
		MaxBytes: 64 << 10, UserAgent: "Sealgate/" + version + " (+" + actor + ")", Metrics: g.metrics,
	})
	pusher, err := push.New(push.Options{
		Values: g.store, Client: client, Key: key, Subject: actor, AllowPlainHTTP: f.AllowPlainHTTP,
		Log: g.log, Metrics: g.metrics,
	})
	if err != nil {
		return nil, err
	}
	g.inbox.OnMail(pusher.Wake)
	g.later(func() error { pusher.Close(); client.CloseIdleConnections(); return nil })
	return pusher, nil
}

// loadOrCreatePushKey reads the P-256 key by which push services know the gateway (RFC 8292), or makes
// it on the first start, mode 0600. Subscriptions are bound to it: a new key ends them all.
func loadOrCreatePushKey(path string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createPushKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the Web Push key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("read the Web Push key: %s is not PEM; put it back from your backup, or move it away to get a new one", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the Web Push key %s: %w", path, err)
	}
	pair, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read the Web Push key: %s is not ECDSA", path)
	}
	return pair, nil
}

func createPushKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the Web Push key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write the Web Push key: %w", err)
	}
	if err := writeSynced(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return nil, fmt.Errorf("write the Web Push key: %w", err)
	}
	return key, nil
}
