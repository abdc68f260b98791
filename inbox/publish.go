package inbox

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

// Bounds that no configuration moves: a person's pool is read whole, and a batch
// is one transaction.
const (
	MaxPackageBytes = 64 << 10 // of one KeyPackage
	maxBatchBytes   = 1 << 20  // of all in one activity, contents included
	maxPoolBytes    = 4 << 20  // of all that one person has
	maxDevices      = 50       // of one person, with packages
	maxKeys         = 16       // signature keys remembered of a device
	maxAliases      = 8
	maxAlias        = 512
	maxName         = 100
	maxPruned       = 200 // expired packages forgotten by one change
)

// Publication is one activity that publishes key packages.
type Publication struct {
	Owner    Owner
	Actor    string // the actor's id, which every credential must name
	Activity string // the last part of the activity's URL
	Uploads  []Upload
}

// Upload is one key package on its way in. Its slices are not kept.
type Upload struct {
	ID      string   // the last part of its URL; see NewID
	Aliases []string // what the client calls the activity and the object
	Name    string   // what the client calls its device
	Package []byte   // MLS, framed or not
	Content []byte   // what the store keeps and Item gives back
	Public  bool     // for everybody; else for its owner alone
}

// candidate is an upload that broke no rule.
type candidate struct {
	Upload
	ref      []byte
	initKey  [32]byte
	signer   [32]byte
	suite    mls.Suite
	last     bool
	verified bool
	notAfter time.Time
}

// Publish keeps new packages: all of them, or none. It answers them in order; one
// that is there already, byte for byte, is answered as it is.
//
// Errors wrap mls.ErrMalformed and the sentinels of mls.KeyPackage.Check, or are
// ErrNotKeyPackage, ErrPackageSize, ErrTooMany or ErrReused; others are the store's.
func (d *Directory) Publish(ctx context.Context, p Publication) ([]Package, error) {
	all, err := d.check(p)
	if err != nil {
		return nil, err
	}
	var out []Package
	err = d.change(ctx, p.Owner, p.Actor, func(c *clerk) error {
		out = out[:0]
		for _, one := range all {
			kept, err := c.publish(p, one)
			if err != nil {
				return err
			}
			out = append(out, kept)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Renew puts the publication's one package in the place of what name means, under
// the same id and for the same device. A package that has gone is published anew
// under its id; a name that was never one is ErrNoPackage. Other errors are
// Publish's.
func (d *Directory) Renew(ctx context.Context, p Publication, name string) (Package, error) {
	if len(p.Uploads) != 1 {
		return Package{}, fmt.Errorf("%w: an Update is about one, not %d", ErrTooMany, len(p.Uploads))
	}
	all, err := d.check(p)
	if err != nil {
		return Package{}, err
	}
	var kept Package
	err = d.change(ctx, p.Owner, p.Actor, func(c *clerk) (err error) {
		kept, err = c.renew(p, all[0], name)
		return err
	})
	return kept, err
}

// List puts proposed packages into the collection: all that name means.
// ErrNoPackage when it means none.
func (d *Directory) List(ctx context.Context, o Owner, actor, name string) error {
	return d.change(ctx, o, actor, func(c *clerk) error { return c.list(name) })
}

// Remove takes back all packages that name means. The id of one that has gone is
// no error; a name that was never one is ErrNoPackage.
func (d *Directory) Remove(ctx context.Context, o Owner, actor, name string) error {
	return d.change(ctx, o, actor, func(c *clerk) error { return c.remove(name) })
}

// check judges everything that needs no pool.
func (d *Directory) check(p Publication) ([]candidate, error) {
	if len(p.Uploads) > d.o.MaxPerDevice {
		return nil, fmt.Errorf("%w: %d at once, key_packages.max_per_device allows %d", ErrTooMany, len(p.Uploads), d.o.MaxPerDevice)
	}
	out := make([]candidate, 0, len(p.Uploads))
	size := 0
	for i, u := range p.Uploads {
		size += len(u.Package) + len(u.Content)
		if len(u.Package) > MaxPackageBytes {
			return nil, fmt.Errorf("%w: number %d has %d bytes, at most %d are kept", ErrPackageSize, i+1, len(u.Package), MaxPackageBytes)
		}
		if size > maxBatchBytes {
			return nil, fmt.Errorf("%w: all in this activity take more than %d bytes, publish fewer at once", ErrPackageSize, maxBatchBytes)
		}
		one, err := d.judge(p.Actor, u)
		if err != nil {
			return nil, fmt.Errorf("key package number %d: %w", i+1, err)
		}
		if slices.ContainsFunc(out, func(o candidate) bool { return o.initKey == one.initKey }) {
			return nil, fmt.Errorf("%w: number %d has that of another in this activity", ErrReused, i+1)
		}
		out = append(out, one)
	}
	return out, nil
}

// judge parses one package and holds it to RFC 9420's rules and our policy.
func (d *Directory) judge(actor string, u Upload) (candidate, error) {
	m, err := mls.Parse(u.Package)
	if err != nil {
		return candidate{}, err
	}
	if m.KeyPackage == nil {
		return candidate{}, fmt.Errorf("%w: the bytes are a %s", ErrNotKeyPackage, m.Kind())
	}
	k := m.KeyPackage
	verdict, err := k.Check(mls.CheckOptions{Identity: actor, Now: d.o.Clock(), MaxLifetime: d.o.MaxLifetime})
	if err != nil {
		return candidate{}, err
	}
	return candidate{
		Upload: u, ref: RefOf(k), suite: k.Suite, last: k.LastResort(), verified: verdict == mls.Verified,
		initKey: sha256.Sum256(k.InitKey), signer: sha256.Sum256(k.Leaf.SignatureKey),
		notAfter: time.Unix(int64(min(k.Leaf.Lifetime.NotAfter, math.MaxInt64)), 0).UTC(),
	}, nil
}
