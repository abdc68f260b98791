package inbox

import (
	"cmp"
	"slices"
	"time"
)

// maxErased is how many messages of others one transaction drops, or little more.
const maxErased = 1024

// makeRoom counts a new request or more bytes of one, which has that id, against the person's bounds,
// and drops other requests when they are reached.
func (v *visit) makeRoom(id string, requests int, size int64) error {
	var sums tally
	row := Row{Kind: tallyRow, Owner: v.m.Owner}
	if _, err := read(v.l, row, &sums); err != nil {
		return err
	}
	expired := !sums.Ends.IsZero() && !v.now.Before(sums.Ends)
	if sums.Requests+requests > v.d.Requests || sums.Bytes+size > v.d.Bytes || expired {
		if err := v.evict(&sums, id, size); err != nil {
			return err
		}
	}
	sums.Requests += requests
	sums.Bytes += size
	if ends := v.now.Add(v.d.Life); sums.Ends.IsZero() || ends.Before(sums.Ends) {
		sums.Ends = ends
	}
	return write(v.l, row, &sums, 0)
}

// evict removes requests that have expired, and then, down to seven eighths of the
// bounds, the oldest of the host that has most of them: whoever asks a thousand times
// drives out themself, not a stranger who asked once. The request that is to have the room stays.
func (v *visit) evict(sums *tally, keep string, size int64) error {
	all, err := readAll[Waiting](v.l, headRow, v.m.Owner)
	if err != nil {
		return err
	}
	sums.Requests, sums.Bytes, sums.Ends = 0, 0, time.Time{}
	hosts := map[string][]*Waiting{}
	for i := range all {
		w := &all[i]
		if w.Actor == "" || w.Released() || w.ID == keep {
			sums.add(w)
			continue
		}
		if w.over(v.now) {
			if !w.Dropped {
				v.gone.Expired++
			}
			if err := erase(v.l, w, v.now); err != nil {
				return err
			}
			continue
		}
		sums.add(w)
		hosts[w.Host] = append(hosts[w.Host], w)
	}
	for _, list := range hosts {
		slices.SortFunc(list, func(a, b *Waiting) int { return a.Since.Compare(b.Since) })
	}
	for rows := 0; sums.Requests+1 > v.d.Requests*7/8 || sums.Bytes+size > v.d.Bytes*7/8; {
		victim := crowded(hosts)
		if victim == nil || rows > maxErased {
			return nil
		}
		rows += victim.Messages
		v.gone.Evicted++
		if err := erase(v.l, victim, v.now); err != nil {
			return err
		}
		sums.Requests, sums.Bytes = sums.Requests-1, sums.Bytes-victim.Bytes
	}
	return nil
}

func (t *tally) add(w *Waiting) {
	if w.Actor == "" {
		return
	}
	t.Requests, t.Bytes = t.Requests+1, t.Bytes+w.Bytes
	if !w.Released() && (t.Ends.IsZero() || w.Ends.Before(t.Ends)) {
		t.Ends = w.Ends
	}
}

// crowded takes the oldest request of the host with most; among equals the one whose
// oldest is the oldest.
func crowded(hosts map[string][]*Waiting) *Waiting {
	var most string
	for host, list := range hosts {
		best := hosts[most]
		if c := cmp.Compare(len(list), len(best)); c > 0 || c == 0 && len(list) > 0 && list[0].Since.Before(best[0].Since) {
			most = host
		}
	}
	list := hosts[most]
	if len(list) == 0 {
		return nil
	}
	hosts[most] = list[1:]
	return list[0]
}

// discount counts a request out that is gone; a queue is in no sums.
func discount(l Ledger, w *Waiting) error {
	if w.Actor == "" {
		return nil
	}
	return countOut(l, w.Owner, 1, w.Bytes)
}

// discountMoved counts out what has left a request, which had so many bytes before.
func discountMoved(l Ledger, w *Waiting, before int64) error {
	if w.Actor == "" {
		return nil
	}
	requests := 0
	if w.First == w.Next && !w.Dropped {
		requests = 1
	}
	return countOut(l, w.Owner, requests, before-w.Bytes)
}

// countOut takes requests and bytes out of a person's sums.
func countOut(l Ledger, o Owner, requests int, bytes int64) error {
	var sums tally
	row := Row{Kind: tallyRow, Owner: o}
	if known, err := read(l, row, &sums); !known || err != nil {
		return err
	}
	sums.Requests, sums.Bytes = max(0, sums.Requests-requests), max(0, sums.Bytes-bytes)
	return write(l, row, &sums, 0)
}
