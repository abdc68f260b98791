package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/configs"
)

// TestKeyFiles: a key is made once, for its owner alone, and of a file that is none it is said what cures it.
func TestKeyFiles(t *testing.T) {
	config := configs.Default()
	config.Storage.Path = filepath.Join(t.TempDir(), "data", "store")
	made, err := actorKey().loadOrMake(config)
	if err != nil {
		t.Fatal(err)
	}
	again, err := actorKey().loadOrMake(config)
	if err != nil || !made.Equal(again) {
		t.Errorf("the next start has another key, or none: %v", err)
	}
	path := actorKey().path(config)
	if about, err := os.Stat(path); err != nil || about.Mode() != 0o600 {
		t.Errorf("%v, %v", about.Mode(), err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	for why, text := range map[string][]byte{
		"is not PEM":                  []byte("junk"),
		"is damaged":                  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der[:20]}),
		"holds a key of another kind": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := actorKey().loadOrMake(config)
		if err == nil || !strings.Contains(err.Error(), path+" "+why+"; put it back from your backup") {
			t.Errorf("%s: %v", why, err)
		}
	}
}
