package inboxtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sealgate/sealgate/inbox"
)

// model is what a Store is, said as simply as possible: everything ever accepted
// and the generation it belongs to. The clock moves in small steps within a
// generation, and past every retention, or every memory, between two.
type model struct {
	store inbox.Store
	clock *Clock
	steps int
	boxes map[inbox.Owner]*modelBox
}

type modelBox struct {
	last inbox.Position
	live []inbox.Entry
	once map[[2]string]inbox.Position
}

func testModel(t *testing.T, b *bench) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++ // the store outlives a run; its owners do not
		m := &model{store: b.Store, clock: b.clock, boxes: map[inbox.Owner]*modelBox{}}
		owner := rapid.Custom(func(rt *rapid.T) inbox.Owner {
			return inbox.Owner(fmt.Sprintf("%d/%s", run, rapid.SampledFrom([]string{"a", "b", "ab"}).Draw(rt, "owner")))
		})
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) { m.append(rt, owner) },
			"step":   m.step,
			"expire": func(*rapid.T) { m.expire() },
			"forget": func(*rapid.T) { m.forget() },
			"":       func(rt *rapid.T) { m.check(rt, owner.Draw(rt, "read")) },
		})
	})
}

func (m *model) box(o inbox.Owner) *modelBox {
	if m.boxes[o] == nil {
		m.boxes[o] = &modelBox{once: map[[2]string]inbox.Position{}}
	}
	return m.boxes[o]
}

func (m *model) append(rt *rapid.T, owner *rapid.Generator[inbox.Owner]) {
	var ms []inbox.Message
	var want []inbox.Result
	for range rapid.IntRange(1, 4).Draw(rt, "batch") {
		msg := Sample(owner.Draw(rt, "owner"), rapid.IntRange(0, 12).Draw(rt, "id"))
		msg.Actor = rapid.SampledFrom([]string{"https://a.example/x", "https://b.example/y"}).Draw(rt, "actor")
		msg.Activity = make([]byte, rapid.SampledFrom([]int{0, 1, 100, quota / 3, quota, quota + 1}).Draw(rt, "size"))
		ms, want = append(ms, msg), append(want, m.box(msg.Owner).accept(msg))
	}
	got, err := m.store.Append(rt.Context(), ms)
	if err != nil {
		rt.Fatalf("Append: %v", err)
	}
	for i := range want {
		if got[i].Position != want[i].Position || !errors.Is(got[i].Err, want[i].Err) {
			rt.Fatalf("message %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}

func (b *modelBox) accept(msg inbox.Message) inbox.Result {
	from := [2]string{msg.Actor, msg.ActivityID}
	if p := b.once[from]; p > 0 {
		return inbox.Result{Position: p, Err: inbox.ErrDuplicate}
	}
	if b.bytes()+int64(len(msg.Activity)) > quota {
		return inbox.Result{Err: inbox.ErrFull}
	}
	b.last++
	b.once[from] = b.last
	b.live = append(b.live, inbox.Entry{Position: b.last, Message: msg})
	return inbox.Result{Position: b.last}
}

func (b *modelBox) bytes() int64 {
	var n int64
	for _, e := range b.live {
		n += int64(len(e.Activity))
	}
	return n
}

// step moves the clock a little: not so often that a generation grows old.
func (m *model) step(rt *rapid.T) {
	if m.steps++; m.steps > 20 {
		rt.Skip("this generation has stepped enough")
	}
	m.clock.Advance(time.Duration(rapid.Int64Range(0, int64(retention/21)).Draw(rt, "by")))
}

func (m *model) expire() {
	if m.steps > 20 || len(m.boxes) == 0 {
		m.forget() // eight days are not over while steps are few
		return
	}
	m.clock.Advance(retention + retention/10)
	m.clear()
}

func (m *model) clear() {
	for _, b := range m.boxes {
		b.live = nil
	}
	m.steps += 5 // three expiries at most stay within eight days
}

func (m *model) forget() {
	m.clock.Advance(inbox.Remembered + 2*retention)
	m.clear()
	m.steps = 0
	for _, b := range m.boxes {
		clear(b.once)
	}
}

func (m *model) check(rt *rapid.T, o inbox.Owner) {
	b := m.box(o)
	want := inbox.Usage{Total: len(b.live), Bytes: b.bytes(), Last: b.last}
	if len(b.live) > 0 {
		want.First = b.live[0].Position
	}
	if got, err := m.store.Usage(rt.Context(), o); err != nil || got != want {
		rt.Fatalf("Usage %+v, %v, want %+v", got, err, want)
	}
	p, limit := inbox.Position(rapid.IntRange(0, 15).Draw(rt, "p")), rapid.IntRange(0, 8).Draw(rt, "limit")
	m.checkAfter(rt, o, p, limit)
	m.checkFind(rt, o)
}

func (m *model) checkAfter(rt *rapid.T, o inbox.Owner, p inbox.Position, limit int) {
	want := []inbox.Position{}
	for _, e := range m.box(o).live {
		if e.Position > p && len(want) < limit {
			want = append(want, e.Position)
		}
	}
	got, err := m.store.After(rt.Context(), o, p, limit)
	if err != nil || !slices.Equal(positions(got), want) {
		rt.Fatalf("After %d limit %d: %v, %v, want %v", p, limit, positions(got), err, want)
	}
}

func (m *model) checkFind(rt *rapid.T, o inbox.Owner) {
	id := Sample(o, rapid.IntRange(0, 12).Draw(rt, "find")).ActivityID
	var want inbox.Position
	for _, e := range slices.Backward(m.box(o).live) {
		if e.ActivityID == id {
			want = e.Position
		}
	}
	got, err := m.store.Find(rt.Context(), o, id)
	if got != want || (want == 0) != errors.Is(err, inbox.ErrNotFound) {
		rt.Fatalf("Find %q: %d, %v, want %d", id, got, err, want)
	}
}
