package inbox

import (
	"slices"
	"time"
)

// Lesson is what a person shows by sending: that they are in a group, and who else is.
type Lesson struct {
	Owner   Owner
	Group   []byte // nil: nothing to learn
	Context string
	Members []string // actor ids
}

// maxMet bounds how many members one lesson looks up.
const maxMet = 64

// Learn notes a lesson: the group is joined, and its members are no strangers in it.
// What waited of it because that was not known is let go.
func (d Door) Learn(l Ledger, now time.Time, lesson Lesson) error {
	if lesson.Group == nil {
		return nil
	}
	g, err := readGroup(l, lesson.Owner, lesson.Group)
	if err != nil {
		return err
	}
	isFirst := g.Joined < joined
	changed := isFirst || now.Sub(g.Used) >= refreshAfter
	var holders []string
	if isFirst && g.Waits != "" {
		holders = append(holders, g.Waits)
	}
	g.Joined, g.Used = joined, now
	for i, actor := range lesson.Members {
		isNew := g.meet(actor)
		changed = changed || isNew
		if (isNew || isFirst) && i < maxMet {
			holders = append(holders, RequestID(actor))
		}
	}
	if _, err := letGroupGo(l, lesson.Owner, g, now, holders...); err != nil {
		return err
	}
	if changed { // it is when there are holders
		if err := keepGroup(l, lesson.Owner, g); err != nil {
			return err
		}
	}
	return learnContext(l, now, lesson)
}

// letGroupGo has what waits of a group in requests let go through the group's queue,
// behind which everything else of it goes from now on. The rest of the requests waits on.
// nil: nothing of it waits in them.
func letGroupGo(l Ledger, o Owner, g *membership, now time.Time, requests ...string) (*Waiting, error) {
	if len(requests) == 0 {
		return nil, nil //nolint:nilnil // nothing waits
	}
	queue, err := queueOf(l, o, g, now)
	if err != nil {
		return nil, err
	}
	found := false
	for _, id := range requests {
		w, err := readWaiting(l, o, id, now)
		if err != nil {
			return nil, err
		}
		if w == nil || w.Actor == "" {
			continue
		}
		holds, err := holdsGroup(l, w, queue.Group)
		if err != nil {
			return nil, err
		}
		if !holds || slices.Contains(queue.From, id) {
			continue
		}
		queue.From, found = append(queue.From, id), true
		w.To = append(w.To, queue.ID)
		if err := write(l, headRowOf(o, id), w, w.left(now)); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, nil //nolint:nilnil // nothing waits
	}
	g.Waits = queue.ID
	at := now
	if queue.Released() {
		at = queue.Due
	}
	return queue, release(l, queue, at)
}

// holdsGroup tells whether a message of the group with that queue waits in w.
func holdsGroup(l Ledger, w *Waiting, group string) (bool, error) {
	for n := w.First; n < w.Next; n++ {
		one, err := readMessage(l, w, n)
		if err != nil {
			return false, err
		}
		if one != nil && one.isOf(group) {
			return true, nil
		}
	}
	return false, nil
}

func learnContext(l Ledger, now time.Time, lesson Lesson) error {
	if lesson.Context == "" {
		return nil
	}
	row := Row{Kind: contextRow, Owner: lesson.Owner, Name: lesson.Context}
	var c conversation
	known, err := read(l, row, &c)
	if err != nil || known && c.Waits == "" && now.Sub(c.Used) < refreshAfter {
		return err
	}
	return write(l, row, conversation{Used: now}, contextLife)
}
