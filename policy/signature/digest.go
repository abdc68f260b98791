package signature

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/dunglas/httpsfv"
)

// checkDigest compares the Digest header (RFC 3230) with the exact bytes. Names
// are in any case; a value may be bare base64 or, as one peer sends it, the
// RFC 9530 form between colons. Every digest we know must match, and there must
// be one.
func checkDigest(r *Request) error {
	known := 0
	for _, line := range r.values("digest") {
		for member := range strings.SplitSeq(line, ",") {
			name, value, ok := strings.Cut(strings.TrimSpace(member), "=")
			if !ok {
				return fmt.Errorf("%w: Digest member %.80q", ErrMalformed, member)
			}
			want := sum(name, r.Body)
			if want == nil {
				continue
			}
			if err := compareText(name, value, want); err != nil {
				return err
			}
			known++
		}
	}
	return atLeastOne("Digest", known)
}

// checkContentDigest compares the Content-Digest header (RFC 9530 §2) with the
// exact bytes, by the same rule.
func checkContentDigest(r *Request) error {
	dict, err := httpsfv.UnmarshalDictionary(r.values("content-digest"))
	if err != nil {
		return fmt.Errorf("%w: Content-Digest: %w", ErrMalformed, err)
	}
	known := 0
	for _, name := range dict.Names() {
		want := sum(name, r.Body)
		if want == nil {
			continue
		}
		m, _ := dict.Get(name)
		item, _ := m.(httpsfv.Item)
		got, ok := item.Value.([]byte)
		if !ok {
			return fmt.Errorf("%w: Content-Digest %s is not a byte sequence", ErrMalformed, name)
		}
		if subtle.ConstantTimeCompare(got, want) != 1 {
			return fmt.Errorf("%w: Content-Digest %s", ErrDigest, name)
		}
		known++
	}
	return atLeastOne("Content-Digest", known)
}

// compareText decodes a digest of either form and compares it.
func compareText(name, value string, want []byte) error {
	if n := len(value); n >= 2 && value[0] == ':' && value[n-1] == ':' {
		value = value[1 : n-1]
	}
	got, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil {
		return fmt.Errorf("%w: Digest %.20s is not base64", ErrMalformed, name)
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return fmt.Errorf("%w: Digest %.20s", ErrDigest, name)
	}
	return nil
}

// sum is the digest of body by the algorithm's name, nil when we do not know
// it. SHA-1 and MD5 prove nothing and are passed over.
func sum(name string, body []byte) []byte {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "sha-256":
		s := sha256.Sum256(body)
		return s[:]
	case "sha-512":
		s := sha512.Sum512(body)
		return s[:]
	default:
		return nil
	}
}

func atLeastOne(header string, known int) error {
	if known == 0 {
		return fmt.Errorf("%w: %s has neither sha-256 nor sha-512", ErrDigest, header)
	}
	return nil
}
