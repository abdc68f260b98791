package actorkey

import (
	"errors"
	"time"

	"github.com/maypok86/otter/v2"
)

// cache remembers answers, good and bad, within a fixed weight of bytes. The
// times are kept in the entries and judged by the caller's clock.
type cache struct {
	entries   *otter.Cache[string, entry]
	refreshes *otter.Cache[string, refresh]
	names     *otter.Cache[string, string] // of actors
}

type entry struct {
	key  Key
	err  error
	at   time.Time
	keep time.Duration
}

func (e entry) fresh(now time.Time) bool { return lately(e.at, now, e.keep) }

// lately tells whether less than d has passed since at. What comes out of the future,
// because the clock was set back, holds no more.
func lately(at, now time.Time, d time.Duration) bool {
	age := now.Sub(at)
	return age >= 0 && age < d
}

// entryBytes is what an entry takes besides its strings: an RSA key, or an error, and the
// tables' own share.
const entryBytes = 1024

func newCache() *cache {
	return &cache{
		entries: otter.Must(&otter.Options[string, entry]{
			MaximumWeight: maxCacheBytes,
			Weigher: func(id string, e entry) uint32 {
				return uint32(len(id)+len(e.key.Actor)+len(e.key.Name)) + entryBytes
			},
			Logger:   &otter.NoopLogger{},
			Executor: inPlace,
		}),
		refreshes: otter.Must(&otter.Options[string, refresh]{
			MaximumWeight: maxCacheBytes / 4,
			Weigher:       func(id string, _ refresh) uint32 { return uint32(len(id)) + 128 },
			Logger:        &otter.NoopLogger{},
			Executor:      inPlace,
		}),
		names: otter.Must(&otter.Options[string, string]{
			MaximumWeight: maxCacheBytes / 4,
			Weigher:       func(actor, name string) uint32 { return uint32(len(actor)+len(name)) + 128 },
			Logger:        &otter.NoopLogger{},
			Executor:      inPlace,
		}),
	}
}

func (c *cache) get(id string) (entry, bool) { return c.entries.GetIfPresent(id) }

// put remembers an answer. Not reaching the server does not unmake a key that
// is still good.
func (c *cache) put(id string, key Key, err error, now time.Time) {
	keep := keepKey
	switch {
	case errors.Is(err, ErrUnavailable):
		if old, ok := c.get(id); ok && old.err == nil && old.fresh(now) {
			return
		}
		keep = keepUnavailable
	case err != nil:
		keep = keepNoKey
	}
	c.entries.Set(id, entry{key: key, err: err, at: now, keep: keep})
	if key.Name != "" {
		c.names.Set(key.Actor, key.Name)
	}
}

// A refresh is a forced fetch: when, and what kept it from its answer.
type refresh struct {
	at  time.Time
	err error
}

// lastRefresh is the last refresh of id, and whether it began within five minutes.
func (c *cache) lastRefresh(id string, now time.Time) (last refresh, isRecent bool) {
	last, ok := c.refreshes.GetIfPresent(id)
	return last, ok && lately(last.at, now, refreshEvery)
}

func (c *cache) refreshBegan(id string, now time.Time) { c.refreshes.Set(id, refresh{at: now}) }

// refreshFailed notes that the last refresh of id did not reach the server.
func (c *cache) refreshFailed(id string, err error) {
	c.refreshes.ComputeIfPresent(id, func(r refresh) (refresh, otter.ComputeOp) {
		return refresh{at: r.at, err: err}, otter.WriteOp
	})
}

// inPlace runs the caches' upkeep in the caller, so that no goroutine is left
// that nobody owns.
func inPlace(fn func()) { fn() }
