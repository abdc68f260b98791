package policy

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// The bounds of what is written about decisions.
const (
	flushEvery     = time.Second
	lastFlush      = 10 * time.Second // of the one when all ends
	maxPending     = 8192
	flushAt        = 512
	verdictsHourly = 50_000
	entriesHourly  = 5_000 // of which plain allows may fill half
)

// ledger writes decisions behind: a verdict is visible at once and durable within
// a second. What a crash takes in between is decided again.
type ledger struct {
	journal Journal
	log     *slog.Logger
	dropped func(what string)

	mu      sync.Mutex
	pending []Entry
	recent  map[Knock]Decision // of pending, and of what is being written
	hour    time.Time
	entries int
	sticky  int
	full    chan struct{} // wakes run
}

func newLedger(j Journal, log *slog.Logger, dropped func(string)) *ledger {
	return &ledger{journal: j, log: log, dropped: dropped, recent: map[Knock]Decision{}, full: make(chan struct{}, 1)}
}

// verdict is what was decided about a knock before.
func (l *ledger) verdict(ctx context.Context, k Knock) (Decision, bool) {
	if l.journal == nil {
		return Decision{}, false
	}
	l.mu.Lock()
	d, ok := l.recent[k]
	l.mu.Unlock()
	if ok {
		return d, true
	}
	d, ok, err := l.journal.Verdict(ctx, k)
	if err != nil {
		l.log.Debug("verdict is not readable: the knock is decided anew", "error", err)
	}
	return d, ok && err == nil
}

// add takes an entry whose Sticky says whether it is a verdict.
func (l *ledger) add(e Entry, d Decision) {
	if l.journal == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) >= maxPending {
		l.dropped("full")
		return
	}
	l.ration(&e)
	if !e.Sticky && !e.Logged {
		return
	}
	l.pending = append(l.pending, e)
	if e.Sticky {
		l.recent[e.Knock] = d
	}
	if len(l.pending) == flushAt {
		select {
		case l.full <- struct{}{}:
		default:
		}
	}
}

// ration keeps an hour of attack from filling the disk. Decisions that say nothing
// give way first.
func (l *ledger) ration(e *Entry) {
	if hour := e.Time.Truncate(time.Hour); !hour.Equal(l.hour) {
		l.hour, l.entries, l.sticky = hour, 0, 0
	}
	quota := entriesHourly
	if e.Rule == "" && len(e.Shadow) == 0 && e.Action == rules.Allow {
		quota /= 2
	}
	if e.Logged = l.entries < quota; e.Logged {
		l.entries++
	} else {
		l.dropped("entries")
	}
	if e.Sticky && l.sticky >= verdictsHourly {
		e.Sticky = false
		l.dropped("verdicts")
	}
	if e.Sticky {
		l.sticky++
	}
}

// run writes until ctx ends, and then once more.
func (l *ledger) run(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
			defer cancel()
			l.flush(last)
			return
		case <-tick.C:
		case <-l.full:
		}
		l.flush(ctx)
	}
}

func (l *ledger) flush(ctx context.Context) {
	l.mu.Lock()
	batch := l.pending
	l.pending = nil
	l.mu.Unlock()
	if len(batch) == 0 {
		return
	}
	if err := l.journal.Record(ctx, batch); err != nil {
		l.dropped("unwritten")
		l.log.Warn("decisions could not be written: they are not in the log", "decisions", len(batch), "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range batch {
		delete(l.recent, e.Knock)
	}
}
