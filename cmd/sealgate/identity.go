package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/sealgate/sealgate/configs"
)

// actorKeyBits is what every peer accepts (interop: RSA-2048 is the rule).
const actorKeyBits = 2048

// actorKeyFile is where the key of /e2ee/actor lies: beside the store.
func actorKeyFile(config configs.Config) string {
	return filepath.Join(filepath.Dir(config.Storage.Path), "actor.pem")
}

// loadOrCreateActorKey reads the RSA key that signs the gateway's own requests, or makes it on
// the first start, mode 0600.
func loadOrCreateActorKey(path string) (*rsa.PrivateKey, error) {
	key, err := loadActorKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = rsa.GenerateKey(rand.Reader, actorKeyBits); err != nil {
		return nil, fmt.Errorf("make the gateway's own key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write the gateway's own key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory (storage.path): %w", err)
	}
	if err := writeSynced(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return nil, fmt.Errorf("write the gateway's own key: %w", err)
	}
	return key, nil
}

func loadActorKey(path string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the gateway's own key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("read the gateway's own key: %s is not PEM; put it back from your backup, or move it away to get a new one", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the gateway's own key %s: %w", path, err)
	}
	pair, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read the gateway's own key: %s is not RSA", path)
	}
	return pair, nil
}

// writeSynced makes path with mode 0600, whole or not at all.
func writeSynced(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // CreateTemp's mode is 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// publicBase is what the gateway's own URLs begin with. People's ids are https; only a domain on
// loopback with a port, where plain http is allowed, is http: tests and the demonstration.
func publicBase(config configs.Config) string {
	port, err := netip.ParseAddrPort(config.Domain)
	if err == nil && port.Addr().IsLoopback() && config.Federation.AllowPlainHTTP && config.TLS.Mode == "off" {
		return "http://" + config.Domain
	}
	return "https://" + config.Domain
}
