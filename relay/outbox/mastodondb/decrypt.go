package mastodondb

import (
	"bytes"
	"compress/zlib"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The errors of ActiveRecord encryption.
var (
	ErrEncrypted  = errors.New("signing.encryption.primary_key is missing: this Mastodon encrypts its keys (ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY)")
	ErrSalt       = errors.New("signing.encryption.key_derivation_salt is missing (ACTIVE_RECORD_ENCRYPTION_KEY_DERIVATION_SALT)")
	ErrEncryption = errors.New("signing.encryption: primary_key and key_derivation_salt are not those the instance encrypts with")
)

const (
	rounds   = 1 << 16 // ActiveSupport::KeyGenerator's
	tagBytes = 16
	maxPlain = 64 << 10 // a private key is two
)

// decrypter opens what ActiveRecord's non-deterministic encryption has sealed.
type decrypter struct{ gcm cipher.AEAD }

func newDecrypter(primary, salt string) (*decrypter, error) {
	if salt == "" {
		return nil, ErrSalt
	}
	key, err := pbkdf2.Key(sha256.New, primary, []byte(salt), rounds, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of signing.encryption: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("derive the key of signing.encryption: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("derive the key of signing.encryption: %w", err)
	}
	return &decrypter{gcm}, nil
}

// open reads {"p": payload, "h": {"iv", "at", "c"}}, base64 but for c, which says
// that the payload was compressed.
func (d *decrypter) open(text string) ([]byte, error) {
	if d == nil {
		return nil, ErrEncrypted
	}
	var m struct {
		P []byte `json:"p"`
		H struct {
			IV []byte `json:"iv"`
			AT []byte `json:"at"`
			C  bool   `json:"c"`
		} `json:"h"`
	}
	if json.Unmarshal([]byte(text), &m) != nil || len(m.H.IV) != d.gcm.NonceSize() || len(m.H.AT) != tagBytes {
		return nil, errors.New("signing.database: a private key is in no format of ActiveRecord encryption")
	}
	plain, err := d.gcm.Open(nil, m.H.IV, append(m.P, m.H.AT...), nil)
	if err != nil {
		return nil, ErrEncryption
	}
	if !m.H.C {
		return plain, nil
	}
	z, err := zlib.NewReader(bytes.NewReader(plain))
	if err != nil {
		return nil, fmt.Errorf("signing.database: unpack a private key: %w", err)
	}
	if plain, err = io.ReadAll(io.LimitReader(z, maxPlain)); err != nil {
		return nil, fmt.Errorf("signing.database: unpack a private key: %w", err)
	}
	return plain, nil
}
