package configs

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// redacted stands wherever a secret would be printed.
const redacted = "[redacted]"

const maxSecretBytes = 64 << 10

var errSecretEmpty = errors.New("is empty")

// Secret is a value written in the configuration, or the path of a file that has it (file:path). No way
// of formatting, marshalling or logging shows the value; a path is shown. The zero Secret is none.
type Secret struct {
	v *secretValue
}

// secretValue hides the text behind a second pointer: with a wrong verb, fmt follows the first one even
// through fields that are not exported, where it calls no method.
type secretValue struct {
	text *string
	path string
}

// NewSecret returns the secret written as s: file:path, the value itself, or "" for none.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	if path, ok := strings.CutPrefix(s, "file:"); ok {
		return Secret{&secretValue{path: path}}
	}
	return Secret{&secretValue{text: &s}}
}

// IsZero reports whether no secret is configured.
func (s Secret) IsZero() bool { return s.v == nil }

// File returns the path of the file that holds, or is to hold, the secret.
func (s Secret) File() (path string, ok bool) {
	if s.v == nil || s.v.path == "" {
		return "", false
	}
	return s.v.path, true
}

// SecretFiles yields the key and the path of each secret of c that is in a file.
func (c Config) SecretFiles() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, l := range leaves(&c) {
			s, _ := reflect.TypeAssert[Secret](l.value)
			if path, ok := s.File(); ok && !yield(l.key, path) {
				return
			}
		}
	}
}

// Reveal returns the secret. A file is read at each call, at most 64 KiB, less one line end; the error
// of one that is missing is os.ErrNotExist.
func (s Secret) Reveal() (string, error) {
	path, ok := s.File()
	switch {
	case s.v == nil:
		return "", nil
	case !ok:
		return *s.v.text, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxSecretBytes))
	if err != nil {
		return "", fmt.Errorf("read secret: %w", err)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if text == "" {
		return "", fmt.Errorf("read secret: %s %w", path, errSecretEmpty)
	}
	return text, nil
}

// String returns file:path, "" for none, and "[redacted]" for everything else.
func (s Secret) String() string {
	if path, ok := s.File(); ok {
		return "file:" + path
	}
	if s.v == nil {
		return ""
	}
	return redacted
}

// Format keeps every verb of package fmt from the value.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, s.String())
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// LogValue is String, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what NewSecret does.
func (s *Secret) UnmarshalText(b []byte) error {
	if string(b) == "file:" {
		return errors.New("names no file")
	}
	*s = NewSecret(string(b))
	return nil
}

// in returns s with a relative path taken from dir.
func (s Secret) in(dir string) Secret {
	path, ok := s.File()
	if !ok || filepath.IsAbs(path) {
		return s
	}
	return Secret{&secretValue{path: filepath.Join(dir, path)}}
}
