package push

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"
)

const (
	tokenLife  = 12 * time.Hour // RFC 8292 §2: at most 24 hours
	maxOrigins = 1024
)

// tokens are the VAPID tokens made so far, one per push service (RFC 8292 §2).
type tokens struct {
	mu   sync.Mutex
	made map[string]token
}

type token struct {
	header string // the whole Authorization
	made   time.Time
}

// authorization is the header for one endpoint (RFC 8292 §3). The token names the
// service's origin, when it ends, and who sends; it is signed with ES256.
func (p *Pusher) authorization(endpoint *url.URL) (string, error) {
	origin := endpoint.Scheme + "://" + endpoint.Host
	now := p.o.Clock()
	p.tokens.mu.Lock()
	defer p.tokens.mu.Unlock()
	if t, ok := p.tokens.made[origin]; ok && now.Sub(t.made) < tokenLife/2 && !now.Before(t.made) {
		return t.header, nil
	}
	claims, err := json.Marshal(map[string]any{"aud": origin, "exp": now.Add(tokenLife).Unix(), "sub": p.o.Subject})
	if err != nil {
		return "", err
	}
	signed, err := sign(p.o.Key, claims)
	if err != nil {
		return "", fmt.Errorf("sign for a push service: %w", err)
	}
	if len(p.tokens.made) >= maxOrigins {
		clear(p.tokens.made)
	}
	t := token{header: "vapid t=" + signed + ", k=" + p.public, made: now}
	p.tokens.made[origin] = t
	return t.header, nil
}

// sign makes a JWS in compact form with ES256 (RFC 7515 §3.1, RFC 7518 §3.4): the
// signature is r and s, 32 bytes each.
func sign(key *ecdsa.PrivateKey, claims []byte) (string, error) {
	b64 := base64.RawURLEncoding
	text := b64.EncodeToString([]byte(`{"typ":"JWT","alg":"ES256"}`)) + "." + b64.EncodeToString(claims)
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + b64.EncodeToString(signature[:]), nil
}

var errCurve = errors.New("push: the VAPID key is not on P-256")

// publicKey is the key as RFC 8292 §3.2 has it.
func publicKey(key *ecdsa.PrivateKey) (string, error) {
	if key.Curve != elliptic.P256() {
		return "", errCurve
	}
	public, err := key.PublicKey.ECDH()
	if err != nil {
		return "", fmt.Errorf("read the VAPID key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(public.Bytes()), nil
}
