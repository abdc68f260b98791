package outbox

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrNoKey means that a person's messages cannot be signed, and why.
var ErrNoKey = errors.New("outbox: no key to sign with")

// Keys is a signing source: where local people's private keys come from.
type Keys interface {
	// Key gives a person's key as it is now, or an error that wraps ErrNoKey when
	// there is none. It is asked for every key now and then, so that a rotated one
	// is noticed.
	Key(ctx context.Context, s Sender) (crypto.Signer, error)
}

// Files is the signing source `file`: {directory}/{username}.pem.
type Files struct{ directory string }

// NewFiles is the source over a directory, which must be there.
func NewFiles(directory string) (*Files, error) {
	info, err := os.Stat(directory)
	if err != nil {
		return nil, fmt.Errorf("read signing.file: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("read signing.file: %s is not a directory", directory)
	}
	return &Files{directory: directory}, nil
}

// Key implements Keys. The name's case does not matter. Its errors do not repeat it.
func (f *Files) Key(_ context.Context, s Sender) (crypto.Signer, error) {
	if s.Name != filepath.Base(s.Name) || strings.HasPrefix(s.Name, ".") {
		return nil, fmt.Errorf("%w: the name cannot be one of a file", ErrNoKey)
	}
	text, err := os.ReadFile(filepath.Join(f.directory, s.Name+".pem"))
	if errors.Is(err, os.ErrNotExist) {
		text, err = os.ReadFile(filepath.Join(f.directory, strings.ToLower(s.Name)+".pem"))
	}
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("%w: %w (signing.file)", ErrNoKey, failed.Err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w (signing.file)", ErrNoKey, err)
	}
	return ReadPEM(text)
}

// Look tries every key there is. Its error names each that cannot be used.
func (f *Files) Look(ctx context.Context) error {
	paths, err := filepath.Glob(filepath.Join(f.directory, "*.pem"))
	if err != nil || len(paths) == 0 {
		return fmt.Errorf("%w: signing.file %s has no {username}.pem: nobody can write to other servers", ErrNoKey, f.directory)
	}
	var wrong []error
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".pem")
		if _, err := f.Key(ctx, Sender{Name: name}); err != nil {
			wrong = append(wrong, fmt.Errorf("%s cannot write to other servers: %w", name, err))
		}
	}
	return errors.Join(wrong...)
}

// ReadPEM reads a private key in PKCS #1 or PKCS #8. Its errors wrap ErrNoKey and
// have nothing of the key.
func ReadPEM(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%w: it is not PEM", ErrNoKey)
	}
	if block.Type == "RSA PRIVATE KEY" {
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
		}
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: it is of type %T", ErrNoKey, key)
	}
	return signer, nil
}
