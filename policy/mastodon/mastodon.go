// Package mastodon asks the upstream instance's own REST API: who is local, who
// holds this token, and whom people and the instance block, mute and follow.
//
// It never follows a redirect away from the instance, writes nothing there but
// reports that people make, keeps tokens in memory only (those of Relations, for
// 15 minutes; else their SHA-256), and derives nobody from the shape of a URL
// alone: the instance is asked, and what it said is remembered in memory and,
// through Register and Shelf, on disk.
//
// Mastodon is the model; snac and GoToSocial, whose accounts carry no `uri` and
// whose tokens show no scopes, are understood through WebFinger (RFC 7033).
package mastodon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/sealgate/sealgate/authority"
)

// What Person and Caller answer when they name nobody.
var (
	// ErrNoPerson: the instance says that nobody local has this name or id.
	ErrNoPerson = errors.New("mastodon: no such local person")
	// ErrGone is an ErrNoPerson of somebody whom the Register remembers.
	ErrGone = fmt.Errorf("%w any more", ErrNoPerson)
	// ErrUnavailable: the instance could not be asked and nothing is remembered.
	ErrUnavailable = errors.New("mastodon: the instance cannot be asked (upstream.web)")
	// ErrToken: the instance does not know this token, or it names no person.
	ErrToken = errors.New("mastodon: the access token is not valid")
	// ErrScope is what every *ScopeError is.
	ErrScope = errors.New("mastodon: the access token lacks a scope")
)

// What `upstream.software` can be.
const (
	SoftwareMastodon   = "mastodon"   // numeric account ids, scopes shown by /oauth/token/info
	SoftwareGoToSocial = "gotosocial" // no account lookup without a token, no scopes to show
	SoftwareSnac       = "snac"       // no numeric ids, no scopes at all
	SoftwareAuto       = "auto"       // ask nodeinfo
)

const (
	personFresh   = 10 * time.Minute // a known person is asked about again after this
	unknownFresh  = 30 * time.Second // so is a name the instance does not know
	personsKept   = 20_000
	tokenGood     = 60 * time.Second
	tokenBad      = 15 * time.Second
	tokenFallback = time.Hour // how long a good answer serves reads while the instance is away
	tokensKept    = 20_000
	askTimeout    = 10 * time.Second
)

// Person is one local person as the instance describes them. Account is the
// instance's account id, or the lower-case username where the software has none;
// it is the owner of a mailbox. Actor, Inbox and Outbox are absolute URLs.
type Person struct {
	Account, Name, Actor string
	Inbox, Outbox        string
}

// Keys are the ids under which a Register must find the person again: the actor
// URL, "@" with the lower-case username, "#" with the account id. The signs keep
// the username "42" apart from the account 42.
func (p Person) Keys() []string {
	return []string{p.Actor, "@" + strings.ToLower(p.Name), "#" + p.Account}
}

// Register keeps who is local, durably. Recall takes one of Person.Keys and
// answers ErrNoPerson for an id never remembered. Both may be called
// concurrently.
type Register interface {
	Remember(ctx context.Context, p Person) error
	Recall(ctx context.Context, id string) (Person, error)
}

// Options of an Instance. Domain and Web are required.
type Options struct {
	Domain   string // the host in actor ids, as in `domain`
	Web      string // `upstream.web`: http://host:port or unix:/path
	Software string // `upstream.software`; empty is mastodon
	Register Register

	Transport http.RoundTripper // to Web; nil: connections of its own
	Clock     func() time.Time
	Log       *slog.Logger
}

// Instance answers questions about the upstream's people. It is safe for
// concurrent use.
type Instance struct {
	domain   string
	upstream *upstream
	register Register
	clock    func() time.Time
	log      *slog.Logger
	software atomic.Pointer[string] // nil until auto has been answered

	persons *otter.Cache[string, personAnswer]
	tokens  *otter.Cache[[sha256.Size]byte, *tokenAnswer]
	asking  singleflight.Group
	met     atomic.Pointer[func(Caller, string)] // told of every token that was confirmed
}

// New makes an Instance; it asks nothing yet. An error names the option.
func New(o Options) (*Instance, error) {
	up, err := newUpstream(o.Web, o.Domain)
	if err != nil {
		return nil, err
	}
	if o.Transport != nil {
		up.client.Transport = o.Transport
	}
	i := &Instance{
		domain:   strings.ToLower(o.Domain),
		upstream: up,
		register: o.Register,
		clock:    o.Clock,
		log:      o.Log,
		persons:  otter.Must(&otter.Options[string, personAnswer]{MaximumSize: personsKept}),
		tokens:   otter.Must(&otter.Options[[sha256.Size]byte, *tokenAnswer]{MaximumSize: tokensKept}),
	}
	if i.clock == nil {
		i.clock = time.Now
	}
	if i.log == nil {
		i.log = slog.New(slog.DiscardHandler)
	}
	return i, i.choose(o.Software)
}

func (i *Instance) choose(software string) error {
	switch software {
	case "":
		software = SoftwareMastodon
	case SoftwareMastodon, SoftwareGoToSocial, SoftwareSnac:
	case SoftwareAuto:
		return nil
	default:
		return fmt.Errorf("mastodon: upstream.software is %q: use mastodon, gotosocial, snac or auto", software)
	}
	i.software.Store(&software)
	return nil
}

// Close drops the idle connections to the instance.
func (i *Instance) Close() { i.upstream.client.CloseIdleConnections() }

// Reachable asks the instance for anything at all: an answer of any status below
// 500 is an instance that is there. It is the upstream half of /readyz.
func (i *Instance) Reachable(ctx context.Context) error {
	a, err := i.upstream.ask(ctx, question{path: "/.well-known/nodeinfo"})
	if err != nil {
		return err
	}
	if a.status >= http.StatusInternalServerError {
		return fmt.Errorf("%w: it answers %d", ErrUnavailable, a.status)
	}
	return nil
}

// IsLocal tells whether an id is a URL on the instance's own host, whether or not it says the default port.
func (i *Instance) IsLocal(id string) bool {
	u, err := url.Parse(id)
	return err == nil && i.local(u)
}

func (i *Instance) local(u *url.URL) bool {
	return authority.OfURL(u) == authority.Normal(i.domain, u.Scheme)
}
