package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealgate/sealgate/policy/ratelimit"
)

// limit is an allowance per key. Every rule with it counts for itself.
type limit struct {
	name string
	rate ratelimit.Rate
	per  []string // of perNames
}

// perNames are what a limit can count by.
var perNames = []string{"actor", "domain", "recipient", "group"}

// String is the limit as in the file.
func (l *limit) String() string {
	every := strings.TrimSuffix(strings.TrimSuffix(l.rate.Every.String(), "0s"), "0m")
	if l.rate.Every%day == 0 {
		every = fmt.Sprintf("%dd", l.rate.Every/day)
	}
	text := fmt.Sprintf("%s: %d per %s", l.name, l.rate.Max, every)
	if l.rate.Burst > 0 {
		text += fmt.Sprintf(", %d at once", l.rate.Burst)
	}
	return text + " for each " + strings.Join(l.per, " and ")
}

// key is what c is counted under.
func (l *limit) key(table *ratelimit.Limiter, c *Case) ratelimit.Key {
	var parts [4]string
	for i, by := range l.per {
		switch by {
		case "actor":
			parts[i] = c.Actor.ID
		case "domain":
			parts[i] = c.Actor.Domain
		case "recipient":
			parts[i] = c.Recipient
		case "group":
			parts[i] = c.Group.ID
		}
	}
	return table.OfAll(parts[:len(l.per)]...)
}

// table is where a rule counts: the earlier one when it counted by the same, so
// that a reload forgives nobody.
func (l *limit) table(before *rule, keys int, now time.Time) *ratelimit.Limiter {
	if before != nil && before.limit != nil && before.counts != nil && slices.Equal(before.limit.per, l.per) {
		return before.counts.At(l.rate, now)
	}
	return ratelimit.New(ratelimit.Options{Rate: l.rate, Keys: keys})
}
