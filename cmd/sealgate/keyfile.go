package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sealgate/sealgate/configs"
)

// keyFile is a private key of the gateway's own, kept beside the store: PKCS #8 in PEM, mode 0600.
type keyFile[K crypto.Signer] struct {
	name string // of the file
	what string // it is, for errors
	cure string // of a file that is no key
	make func() (K, error)
}

// actorKey signs the gateway's own requests. RSA-2048 is what every peer accepts.
func actorKey() keyFile[*rsa.PrivateKey] {
	return keyFile[*rsa.PrivateKey]{
		name: "actor.pem", what: "the gateway's own key", cure: "put it back from your backup, or move it away to get a new one",
		make: func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) },
	}
}

// logKey signs people's key logs.
func logKey() keyFile[ed25519.PrivateKey] {
	return keyFile[ed25519.PrivateKey]{
		name: "keylog.pem", what: "the key of the key logs", cure: "put it back from your backup",
		make: func() (ed25519.PrivateKey, error) {
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		},
	}
}

// pushKey is the P-256 key by which push services know the gateway (RFC 8292). Subscriptions are bound to it: a
// new one ends them all.
func pushKey() keyFile[*ecdsa.PrivateKey] {
	return keyFile[*ecdsa.PrivateKey]{
		name: "vapid.pem", what: "the Web Push key", cure: "put it back from your backup, or move it away to get a new one",
		make: func() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
	}
}

func (f keyFile[K]) path(config configs.Config) string {
	return filepath.Join(filepath.Dir(config.Storage.Path), f.name)
}

// load reads the key. Without one the error is fs.ErrNotExist.
func (f keyFile[K]) load(config configs.Config) (K, error) {
	var none K
	path := f.path(config)
	text, err := os.ReadFile(path)
	if err != nil {
		return none, fmt.Errorf("read %s: %w", f.what, err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return none, fmt.Errorf("read %s: %s is not PEM; %s", f.what, path, f.cure)
	}
	found, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return none, fmt.Errorf("read %s: %s is damaged; %s: %w", f.what, path, f.cure, err)
	}
	key, ok := found.(K)
	if !ok {
		return none, fmt.Errorf("read %s: %s holds a key of another kind; %s", f.what, path, f.cure)
	}
	return key, nil
}

// loadOrMake is load, but the first start makes the key.
func (f keyFile[K]) loadOrMake(config configs.Config) (K, error) {
	key, err := f.load(config)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = f.make(); err != nil {
		return key, fmt.Errorf("make %s: %w", f.what, err)
	}
	path := f.path(config)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = writeWhole(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		return key, fmt.Errorf("write %s: %w", f.what, err)
	}
	return key, nil
}

// writeWhole makes or replaces path, whole and synced or not at all.
func writeWhole(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
