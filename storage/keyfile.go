package storage

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// KeySize is the length of the encryption key in bytes (AES-256).
const KeySize = 32

// LoadOrCreateKey reads the key file at path. On the first start, when neither
// the file nor the store exists, it makes one of random bytes, in hex, mode 0600,
// atomically and synced. A store whose key file is gone is ErrKeyMissing: a new
// key could not open it.
func LoadOrCreateKey(path, store string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if text, err = createKey(path, store); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the key file (storage.encryption_key): %w", err)
	}
	key, err := ParseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}

// ParseKey reads a key of 32 bytes written in hex or base64. Its error does not
// repeat the text.
func ParseKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if key, err := decode(text); err == nil && len(key) == KeySize {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: storage.encryption_key is not 32 bytes in hex or base64 (try: openssl rand -hex 32)", ErrKey)
}

func createKey(path, store string) ([]byte, error) {
	if _, err := os.Stat(filepath.Join(store, "KEYREGISTRY")); err == nil {
		return nil, fmt.Errorf("%w: put %s (storage.encryption_key) back from your backup, or move %s (storage.path) away to begin anew", ErrKeyMissing, path, store)
	}
	if _, err := newKeyFile(path); err != nil {
		return nil, fmt.Errorf("make the key file (storage.encryption_key): %w", err)
	}
	return os.ReadFile(path) // whoever else made it at the same time: one file won
}

func newKeyFile(path string) (key []byte, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil { //nolint:gosec // the operator's own path
		return nil, err
	}
	key = make([]byte, KeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return key, publish(path, hex.EncodeToString(key)+"\n")
}

// publish makes path appear with all of text or not at all, and never replaces it.
func publish(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // what is left is a second name, or of no use
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncFile(filepath.Dir(path))
}
