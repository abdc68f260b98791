package inbox_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sealgate/sealgate/inbox"
)

// directoryModel is what the directory promises, said as simply as possible: which
// packages there are, who was given which until when, and which are spent.
type directoryModel struct {
	d     *desk
	kept  []*modelPackage
	spent map[string]bool // refs
}

type modelPackage struct {
	inbox.Package
	holder string
	until  time.Time
	used   bool
}

// TestDirectoryModel runs random publishing, claiming, consuming, removing and
// waiting against the model. One device, so that at most one package answers a
// claim.
func TestDirectoryModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &directoryModel{d: newDesk(t), spent: map[string]bool{}}
		rt.Repeat(map[string]func(*rapid.T){
			"publish": m.publish, "claim": m.claim, "consume": m.consume, "remove": m.remove, "renew": m.renew,
			"wait": func(rt *rapid.T) {
				m.d.clock.Advance(time.Duration(rapid.IntRange(1, 400).Draw(rt, "seconds")) * time.Second)
			},
			"": m.check,
		})
	})
}

func (m *directoryModel) publish(*rapid.T) {
	p := m.d.publish(upload(m.d.device))[0]
	m.kept = slices.DeleteFunc(m.kept, func(o *modelPackage) bool { return o.used })
	m.kept = append(m.kept, &modelPackage{Package: p})
}

func (m *directoryModel) pick(rt *rapid.T) *modelPackage {
	if len(m.kept) == 0 {
		rt.Skip("there is no package")
	}
	return m.kept[rapid.IntRange(0, len(m.kept)-1).Draw(rt, "package")]
}

func (m *directoryModel) claim(rt *rapid.T) {
	who := fmt.Sprint("requester ", rapid.IntRange(0, 6).Draw(rt, "who"))
	got, err := m.d.Claim(rt.Context(), bob, inbox.Requester{ID: who})
	if err != nil || len(got) > 1 {
		rt.Fatalf("%d packages, %v", len(got), err)
	}
	now := m.d.Now()
	held := func(p *modelPackage) bool { return p.holder != "" && now.Before(p.until) }
	mine := slices.IndexFunc(m.kept, func(p *modelPackage) bool { return held(p) && p.holder == who })
	free := slices.IndexFunc(m.kept, func(p *modelPackage) bool { return !held(p) && !p.used })
	switch {
	case mine >= 0:
		m.want(rt, got, m.kept[mine])
	case free >= 0:
		m.want(rt, got, m.kept[free])
		m.kept[free].holder, m.kept[free].until = who, now.Add(inbox.HoldFor)
	case len(m.kept) == 1:
		m.want(rt, got, m.kept[0])
		if m.kept[0].holder != "" { // all who got it get another as soon as there is one
			m.kept[0].holder, m.kept[0].until = "several", now.Add(inbox.HoldFor)
		}
	case len(got) > 0:
		rt.Fatalf("%s got %s, which is somebody else's", who, got[0].ID)
	}
}

func (m *directoryModel) want(rt *rapid.T, got []inbox.Package, want *modelPackage) {
	if len(got) != 1 || got[0].ID != want.ID {
		rt.Fatalf("got %q, want %s", ids(got), want.ID)
	}
}

func (m *directoryModel) consume(rt *rapid.T) {
	p := m.pick(rt)
	m.d.consume(p.Package)
	m.spent[string(p.Ref)] = true
	if len(m.kept) == 1 {
		p.used, p.holder = true, ""
		return
	}
	m.forget(p)
}

func (m *directoryModel) forget(p *modelPackage) {
	m.kept = slices.DeleteFunc(m.kept, func(o *modelPackage) bool { return o == p })
}

func (m *directoryModel) remove(rt *rapid.T) {
	p := m.pick(rt)
	if err := m.d.Remove(rt.Context(), bob, bobID, p.ID); err != nil {
		rt.Fatal(err)
	}
	m.forget(p)
}

func (m *directoryModel) renew(rt *rapid.T) {
	p := m.pick(rt)
	fresh, err := m.d.Renew(rt.Context(), publication(upload(m.d.device)), p.ID)
	if err != nil || fresh.ID != p.ID {
		rt.Fatalf("%+v %v", fresh, err)
	}
	m.forget(p)
	m.kept = slices.DeleteFunc(m.kept, func(o *modelPackage) bool { return o.used })
	m.kept = append(m.kept, &modelPackage{Package: fresh})
}

func (m *directoryModel) check(rt *rapid.T) {
	var want []string
	for _, p := range m.kept {
		want = append(want, p.ID)
	}
	open := m.d.open()
	if !slices.Equal(ids(open), want) {
		rt.Fatalf("the collection has %q, want %q", ids(open), want)
	}
	for i, p := range open {
		if (p.State == inbox.Used) != m.kept[i].used {
			rt.Fatalf("%s is %s", p.ID, p.State)
		}
	}
	entries, err := m.d.History(rt.Context(), bob, 0, 1<<20)
	if err == nil {
		_, err = inbox.VerifyLog(inbox.Head{}, entries, bobID, m.d.PublicKey())
	}
	if err != nil {
		rt.Fatal(err)
	}
}
