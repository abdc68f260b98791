package inbox

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/metric"
)

// DirectoryOptions of a Directory. Store and Key are required.
type DirectoryOptions struct {
	Store        KeyStore
	Key          ed25519.PrivateKey  // signs the logs
	MaxPerDevice int                 // key_packages.max_per_device; 0: 100
	MaxLifetime  time.Duration       // key_packages.max_lifetime; 0: 400 days
	LowWater     int                 // key_packages.low_water; 0: never
	Tell         func(Owner, Notice) // called with every notice once it is kept; may be nil
	Clock        func() time.Time
	Metrics      prometheus.Registerer
}

// Directory publishes people's key packages, hands each to one inviter, and takes
// it back when a Welcome has used it. It is safe for concurrent use.
//
// What it decides, it decides on a Pool inside KeyStore.ChangePool: the rules are pure,
// and the store makes them happen one after the other.
type Directory struct {
	o      DirectoryOptions
	claims *prometheus.CounterVec
}

// NewDirectory returns a Directory over o.Store.
func NewDirectory(o DirectoryOptions) *Directory {
	if o.Store == nil || len(o.Key) != ed25519.PrivateKeySize {
		panic("bug: inbox.NewDirectory without a Store or a Key")
	}
	o.MaxPerDevice = cmp.Or(o.MaxPerDevice, 100)
	o.MaxLifetime = cmp.Or(o.MaxLifetime, 400*24*time.Hour)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Directory{o: o, claims: metric.Counter(o.Metrics, "sealgate_key_package_claims_total",
		"Key packages handed to inviters by kind: fresh, again (the one reserved before), last_resort, none.", "kind")}
}

const idBytes = 16

// NewID makes the last part of a URL nobody can guess: 128 random bits.
func NewID() string {
	var b [idBytes]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// isID tells whether a name has the form that NewID gives.
func isID(name string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(name)
	return err == nil && len(b) == idBytes
}

// MaxPerDevice is how many packages a device may have, and a batch.
func (d *Directory) MaxPerDevice() int { return d.o.MaxPerDevice }

// LowWater is the number of packages under which a device's owner is told.
func (d *Directory) LowWater() int { return d.o.LowWater }

// PublicKey is the key that verifies the logs.
func (d *Directory) PublicKey() ed25519.PublicKey {
	return ed25519.PublicKey(d.o.Key[ed25519.SeedSize:])
}

// Pool is all that is kept about the owner's packages: for themself, or, cut down
// with Pool.Open, for anybody. It reserves nothing.
func (d *Directory) Pool(ctx context.Context, o Owner) (Pool, error) {
	return d.o.Store.Pool(ctx, o)
}

// Now is the directory's clock, to the second, in which everything about packages
// is measured.
func (d *Directory) Now() time.Time { return d.o.Clock().Truncate(time.Second).UTC() }

// Item gives a package that is kept and valid, with its content, by its own id.
// ErrNoPackage: there is none now.
func (d *Directory) Item(ctx context.Context, o Owner, id string) (Package, []byte, error) {
	pool, err := d.o.Store.Pool(ctx, o)
	if err != nil {
		return Package{}, nil, err
	}
	one := pool.byID(id)
	if one == nil || !one.Valid(d.Now()) {
		return Package{}, nil, fmt.Errorf("%w: %q", ErrNoPackage, id)
	}
	content, err := d.o.Store.Content(ctx, o, id)
	return *one, content, err
}

// OwnerOf tells whose package a Welcome names, also when it has gone, until its
// lifetime is over. ErrNoPackage: nobody's here.
func (d *Directory) OwnerOf(ctx context.Context, ref []byte) (Owner, error) {
	t, err := d.o.Store.Trace(ctx, refTrace(ref))
	return t.Owner, err
}

// History is KeyStore.History.
func (d *Directory) History(ctx context.Context, o Owner, after uint64, limit int) ([]LogEntry, error) {
	return d.o.Store.History(ctx, o, after, limit)
}
