package oauth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// stage says how far a sealed request is; one sealed for a stage opens at no other.
type stage string

const (
	stageConsent stage = "consent" // shown to the person, in the page's form
	stageLogin   stage = "login"   // consented to, on its way through the instance as state
)

// pending is a sign-in under way. It travels sealed, so that whoever begins a thousand of them takes
// no memory here, and a restart loses none.
type pending struct {
	ID        string `json:"i"` // once
	Browser   []byte `json:"b"` // SHA-256 of the cookie
	Client    Client `json:"c"`
	Redirect  string `json:"r"`
	State     string `json:"s"`
	Scopes    []string
	Challenge string `json:"h"`
	Issuer    string `json:"u"` // for iss (RFC 9207)
	Verifier  string `json:"v"` // of our own PKCE with the instance
	Ends      int64  `json:"e"`
}

func newSeal(secret []byte) (cipher.AEAD, error) {
	if len(secret) != 32 {
		return nil, fmt.Errorf("%d bytes, not 32", len(secret))
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (s *Server) sealed(p pending, at stage) string {
	text, err := json.Marshal(p)
	if err != nil {
		panic("bug: a pending sign-in is not JSON: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(s.seal.Seal(nil, nil, text, []byte(at))) //nolint:gosec // the AEAD makes its own nonce
}

// opened is a pending sign-in of this browser. ErrBrowser for everything else.
func (s *Server) opened(text, browser string, at stage) (pending, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		b, err = s.seal.Open(nil, nil, b, []byte(at))
	}
	var p pending
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	switch {
	case err != nil:
		return pending{}, fmt.Errorf("%w: it did not begin here", ErrBrowser)
	case browser == "" || subtle.ConstantTimeCompare(p.Browser, sum(browser)) != 1:
		return pending{}, fmt.Errorf("%w: it began in another browser", ErrBrowser)
	case s.clock().Unix() > p.Ends:
		return pending{}, fmt.Errorf("%w: it began too long ago", ErrBrowser)
	}
	return p, nil
}

func sum(text string) []byte {
	h := sha256.Sum256([]byte(text))
	return h[:]
}

func hashOf(text string) Hash { return sha256.Sum256([]byte(text)) }

// Random is 256 random bits in base64url: 43 characters.
func Random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, or ends the program
	return base64.RawURLEncoding.EncodeToString(b)
}

// challengeOf is the S256 of RFC 7636 §4.2.
func challengeOf(verifier string) string {
	return base64.RawURLEncoding.EncodeToString(sum(verifier))
}

var errVerifier = errors.New("oauth: not a code verifier")

// checkVerifier is RFC 7636 §4.1: 43 to 128 unreserved characters.
func checkVerifier(v string) error {
	if len(v) < 43 || len(v) > 128 {
		return errVerifier
	}
	for _, c := range []byte(v) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
		default:
			return errVerifier
		}
	}
	return nil
}

func (s *Server) later(d time.Duration) time.Time { return s.clock().Add(d) }
