package policy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/metric"
	"github.com/sealgate/sealgate/policy/rules"
)

// BookOptions of a Book. Origin and Fallback are required.
type BookOptions struct {
	Origin   Origin
	Fallback []byte        // a preset, for a start with nothing better
	Journal  Journal       // nil: nothing is remembered
	Poll     time.Duration // how often the files are looked at; 0: 5 s
	Clock    func() time.Time
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Book holds the policy in force and how it came to be. Its methods may be called
// concurrently.
type Book struct {
	opt     BookOptions
	current atomic.Pointer[rules.Policy]
	loads   *prometheus.CounterVec

	mu       sync.Mutex // one load at a time
	since    time.Time
	by       string
	warned   []string                     // of the policy in force, what has been said
	seed     maphash.Seed                 // of lineSets
	lists    map[string]lineSet           // of the policy in force, by file
	tried    map[string][sha256.Size]byte // what the last attempt read; "" is the policy
	failure  error                        // of the last attempt
	failedAt time.Time
}

// OpenBook loads the policy. A bad one falls back to the last good one that the
// journal has, then to the fallback, and says so loudly; only a fallback that is
// bad is an error.
func OpenBook(ctx context.Context, o BookOptions) (*Book, error) {
	o.Poll = cmp.Or(o.Poll, 5*time.Second)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	b := &Book{
		opt: o, seed: maphash.MakeSeed(),
		loads: metric.Counter(o.Metrics, "sealgate_policy_loads_total", "Attempts to load the policy, by result: loaded, same, refused.", "result"),
	}
	if _, err := b.Reload(ctx, "start"); err == nil {
		return b, nil
	}
	if err := b.fallBack(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// Current is the policy in force.
func (b *Book) Current() *rules.Policy { return b.current.Load() }

// ErrSame means that what was to be loaded is in force already.
var ErrSame = errors.New("policy: nothing has changed")

// Reload reads, checks and tests the policy, and puts it in force in one step. Any
// error leaves the one in force: it joins a *rules.Problem for everything that is
// wrong, or is ErrSame. who is one of start, signal, file, command, page.
func (b *Book) Reload(ctx context.Context, who string) (Change, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.load(ctx, who)
}

func (b *Book) load(ctx context.Context, who string) (Change, error) {
	r := b.read()
	b.tried = r.sums
	now := b.opt.Clock()
	change := Change{ID: newDecisionID(now), Time: now, Who: who}
	p, err := r.parse(b.opt.Origin.Name, now, b.Current())
	b.failure = err
	if err != nil {
		b.failedAt, change.Result = now, err.Error()
		b.loads.WithLabelValues("refused").Inc()
		if b.Current() != nil { // else fallBack says what is
			b.opt.Log.Error("policy is not loaded, the one before stays in force", "by", who, "error", err)
		}
		b.note(ctx, change, nil, nil)
		return change, err
	}
	if old := b.Current(); old != nil && old.Hash() == p.Hash() {
		b.loads.WithLabelValues("same").Inc()
		return change, ErrSame
	}
	lists := b.lineSets(r.files)
	change.Policy, change.Result, change.Diff = p.Hash(), Loaded, b.changed(p, lists)
	known := b.Current() == nil && b.lastLoaded(ctx) == p.Hash()
	b.enforce(p, lists, who)
	defer r.giveBack()
	if known { // a restart is no change
		return change, nil
	}
	packed, long, err := bundle{Text: p.Text(), Files: r.files}.pack()
	switch {
	case errors.Is(err, errLongLists):
		b.opt.Log.Warn("policy is in force, and its lists are too long to be kept for a start with bad files", "error", err)
	case err != nil:
		b.opt.Log.Warn("policy is in force and not kept: a rollback cannot come back to it", "error", err)
	}
	b.note(ctx, change, packed, long)
	return change, nil
}

// enforce puts p in force.
func (b *Book) enforce(p *rules.Policy, lists map[string]lineSet, who string) {
	b.current.Store(p)
	b.lists, b.since, b.by = lists, b.opt.Clock(), who
	b.loads.WithLabelValues(Loaded).Inc()
	b.opt.Log.Info("policy is in force", "by", who, "policy", p.Hash(), "mode", p.Mode(), "rules", len(p.Rules()))
	b.warned = nil
	b.warn()
}

// warn says what is weak about the policy in force and was not said before.
func (b *Book) warn() {
	all := b.Current().Warnings(b.opt.Clock())
	for _, w := range all {
		if !slices.Contains(b.warned, w) {
			b.opt.Log.Warn("policy has a weak place", "warning", w)
		}
	}
	b.warned = all
}

// note keeps a change. That it could not be kept undoes nothing.
func (b *Book) note(ctx context.Context, c Change, packed, long []byte) {
	if b.opt.Journal == nil {
		return
	}
	if err := b.opt.Journal.AddChange(ctx, c, packed, long); err != nil {
		b.opt.Log.Warn("change of the policy could not be written to the change log", "error", err)
	}
}

// NoteSevering writes into the change log that somebody was cut off, or no longer is.
func (b *Book) NoteSevering(ctx context.Context, who, result string) {
	now := b.opt.Clock()
	b.note(ctx, Change{ID: newDecisionID(now), Time: now, Kind: Severing, Who: who, Result: result}, nil, nil)
}

// fallBack finds something to start with.
func (b *Book) fallBack(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, files, err := b.lastGood(ctx)
	if err != nil {
		b.opt.Log.Warn("no policy of before can be read", "error", err)
	}
	if p == nil {
		r := reading{text: b.opt.Fallback}
		if p, err = r.parse("preset", b.opt.Clock(), nil); err != nil {
			return errors.Join(b.failure, fmt.Errorf("load the preset to start with: %w", err))
		}
	}
	b.enforce(p, b.lineSets(files), "fallback")
	b.opt.Log.Error("policy of the configuration is bad: started with another one", "policy", p.Hash(), "name", p.Name(), "error", b.failure)
	return nil
}

// lastLoaded is the hash of what was loaded last according to the journal, or "".
func (b *Book) lastLoaded(ctx context.Context) string {
	changes, err := b.Changes(ctx)
	if err != nil {
		return ""
	}
	for _, c := range changes {
		if c.Result == Loaded {
			return c.Policy
		}
	}
	return ""
}

// lastGood is what was loaded last according to the journal, nil when there is none.
func (b *Book) lastGood(ctx context.Context) (*rules.Policy, map[string][]byte, error) {
	changes, err := b.Changes(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range changes {
		if c.Result != Loaded {
			continue
		}
		old, err := b.bundle(ctx, c.ID)
		if err != nil {
			return nil, nil, err
		}
		r := reading{text: old.Text, open: old.open, files: old.Files}
		p, err := r.parse("last good policy", b.opt.Clock(), nil)
		return p, old.Files, err
	}
	return nil, nil, nil
}

// Run looks after the files until ctx ends.
func (b *Book) Run(ctx context.Context) error {
	tick := time.NewTicker(b.opt.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			b.poll(ctx)
		}
	}
}

// poll loads the policy when its files are not what the last attempt read: by their
// content, for no notice comes through a bind mount.
func (b *Book) poll(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for path, sum := range b.tried {
		if b.opt.Origin.sum(path) != sum {
			_, _ = b.load(ctx, "file") // it has been logged
			break
		}
	}
	b.warn() // a list may have expired
}
