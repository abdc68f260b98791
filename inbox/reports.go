package inbox

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	maxReports  = 256                 // of one person; the oldest go first
	reportFresh = 30 * 24 * time.Hour // how long a report is told to clients that begin to listen
)

// Report keeps a notice about a delivery durably, in the place of an earlier one
// about the same activity and host, and tells it to o's clients. A Store that keeps
// no values has it told only.
func (in *Inbox) Report(ctx context.Context, o Owner, n Notice) error {
	if err := in.changeReports(ctx, o, n, []Notice{n}); err != nil {
		return err
	}
	in.Tell(o, n)
	return nil
}

// Retract forgets what was reported of an activity and host, as it has arrived.
func (in *Inbox) Retract(ctx context.Context, o Owner, about Notice) error {
	return in.changeReports(ctx, o, about, nil)
}

func (in *Inbox) changeReports(ctx context.Context, o Owner, about Notice, more []Notice) error {
	if in.keeper == nil {
		return nil
	}
	defer in.marks.lock(o).Unlock()
	known, err := in.Reports(ctx, o)
	if err != nil {
		return err
	}
	known = slices.DeleteFunc(known, func(old Notice) bool {
		return old.Host == about.Host && old.Activity == about.Activity
	})
	known = append(known, more...)
	return in.remember(ctx, reportsName(o), known[max(0, len(known)-maxReports):])
}

// Reports are the notices about deliveries, and about who is severed, that are kept for o, oldest first.
func (in *Inbox) Reports(ctx context.Context, o Owner) ([]Notice, error) {
	var known []Notice
	if err := in.recall(ctx, reportsName(o), &known); err != nil {
		return nil, fmt.Errorf("read the reports of deliveries: %w", err)
	}
	now := in.clock()
	return slices.DeleteFunc(known, func(n Notice) bool {
		isTakenBack := n.Kind == Cut && !in.Severed(o, n.Actor)
		return isTakenBack || now.Sub(n.At) > reportFresh
	}), nil
}

func reportsName(o Owner) string { return "reports/" + string(o) }
