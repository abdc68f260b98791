// Package oauth decides how a person signs in with an E2EE client: an OAuth 2.1 authorization server
// without HTTP, and without passwords. Who somebody is, the instance says; what is issued here are
// the gateway's own tokens, one pair per device.
//
// It checks clients (Client ID Metadata Documents, FEP-d8c2), requests (PKCE, RFC 7636; exact
// redirects; RFC 8252 loopback ports), codes and refresh tokens (RFC 6749, RFC 9700), and never
// keeps a token it issued, only its SHA-256. Nothing is kept before the instance has named a person:
// what a browser carries meanwhile is sealed (sealed.go).
package oauth

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/sealgate/sealgate/policy/mastodon"
)

// How long things hold. Access tokens are looked up each time they are shown and end with their
// device, so that a long life costs nothing and a client that never refreshes still lasts a day.
const (
	codeLife    = time.Minute
	requestLife = 15 * time.Minute
	accessLife  = 24 * time.Hour
	refreshLife = 90 * 24 * time.Hour // since the last use
	overlapLife = 5 * time.Minute     // of an access token after its refresh: a stream may still hold it
	clientFresh = 5 * time.Minute
	clientsKept = 1000
)

// What callers branch on.
var (
	// ErrClient: the client cannot be believed; the browser must not be sent back to it.
	ErrClient = errors.New("oauth: the client cannot be verified")
	// ErrBrowser: this browser did not begin this sign-in, or too long ago, or finished it already.
	ErrBrowser = errors.New("oauth: the sign-in cannot go on")
	// ErrNone: the Store has no such note or device.
	ErrNone = errors.New("oauth: not kept")
)

// Refusal is an error with a code of RFC 6749 §4.1.2.1, §5.2. Detail is a sentence.
type Refusal struct{ Code, Detail string }

func (r *Refusal) Error() string { return "oauth: " + r.Code + ": " + r.Detail }

func refuse(code, detail string) *Refusal { return &Refusal{Code: code, Detail: detail} }

// Instance is the one who knows people; *mastodon.SignIn is the real one.
type Instance interface {
	// LoginPage is the URL of the instance's own authorization page for our registered application.
	// state and challenge (PKCE S256) come back with the code.
	LoginPage(ctx context.Context, state, challenge string) (string, error)
	// Redeem turns the code of the instance into its token and the person whose it is.
	Redeem(ctx context.Context, code, verifier string) (token string, c mastodon.Caller, err error)
	// Caller names the person of a token of the instance, ErrToken when it ended.
	Caller(ctx context.Context, token string) (mastodon.Caller, error)
	// End revokes a token of the instance, as well as it can.
	End(ctx context.Context, token string)
	// Issuer is the instance's own name as authorization server, "" when it has none.
	Issuer(ctx context.Context) string
}

// Options of a Server. Base, Secret, Store, Instance and Fetch are required.
type Options struct {
	Base     string // what the gateway's own URLs begin with
	Secret   []byte // 32 random bytes, kept as long as the store
	Store    Store
	Instance Instance
	Fetch    func(ctx context.Context, url string) ([]byte, error) // a client's document; safely, no redirects
	Plain    Plain
	Clock    func() time.Time
	Log      *slog.Logger
}

// Plain says whether client ids may be http URLs.
type Plain string

// NoPlain is the rule; AllowPlain is for tests and private networks (federation.allow_plain_http).
const (
	NoPlain    Plain = ""
	AllowPlain Plain = "allow"
)

// Server signs people in. It is safe for concurrent use.
type Server struct {
	base     string
	seal     cipher.AEAD
	store    Store
	instance Instance
	fetch    func(ctx context.Context, url string) ([]byte, error)
	plain    bool
	clock    func() time.Time
	log      *slog.Logger
	clients  *otter.Cache[string, knownClient]

	changing sync.Mutex // held from reading a code or device to writing what follows from it
	ended    []string   // tokens of the instance that nobody needs any more; guarded by changing
}

// New makes a Server. An error names the option that is missing.
func New(o Options) (*Server, error) {
	if o.Base == "" || o.Store == nil || o.Instance == nil || o.Fetch == nil {
		return nil, errors.New("oauth: Options.Base, Store, Instance and Fetch are required")
	}
	seal, err := newSeal(o.Secret)
	if err != nil {
		return nil, fmt.Errorf("oauth: Options.Secret: %w", err)
	}
	s := &Server{
		base: strings.TrimSuffix(o.Base, "/"), seal: seal, store: o.Store, instance: o.Instance,
		fetch: o.Fetch, plain: o.Plain == AllowPlain, clock: o.Clock, log: o.Log,
		clients: otter.Must(&otter.Options[string, knownClient]{MaximumSize: clientsKept}),
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// unlock ends a change. The instance is told of ended tokens only then: it may be slow.
func (s *Server) unlock(ctx context.Context) {
	ended := s.ended
	s.ended = nil
	s.changing.Unlock()
	for _, login := range ended {
		s.instance.End(context.WithoutCancel(ctx), login)
	}
}

// Issuer is the gateway's name as authorization server (RFC 8414 §2).
func (s *Server) Issuer() string { return s.base + "/e2ee/oauth" }

// Callback is where the instance sends the browser back to.
func Callback(base string) string { return strings.TrimSuffix(base, "/") + "/e2ee/oauth/callback" }
