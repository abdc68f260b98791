package simulation_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/forward"
)

// world is everything there is.
type world struct {
	t      *testing.T
	random *rand.Rand
	net    *network
	web    *forward.Upstream // no gateway asks it for anything here
	hosts  []*host
	people []*person
	groups []*group
	model  *model
	flown  []*flight // answered ones, for replays
	serial int
	err    error

	trace   hash.Hash
	counted map[string]int // what happened, by what it was
}

func newWorld(t *testing.T, web *forward.Upstream, seed uint64, bug bug) *world {
	w := &world{
		t: t, web: web, random: rand.New(rand.NewPCG(seed, 1)), model: newModel(), trace: sha256.New(), counted: map[string]int{},
		net: &network{hosts: map[string]*host{}, apart: map[[2]string]bool{}, misses: map[[2]string]time.Time{}, news: make(chan struct{}, 1)},
	}
	for i, domain := range []string{"a.example", "b.example", "c.example"} {
		var here []*person
		for j, name := range []string{"ann", "bob", "cyd"}[:3-i%2] {
			here = append(here, newPerson(domain, name, j+1, byte(10*i+j+1)))
		}
		h := newHost(domain, here, bug)
		w.net.hosts[domain] = h
		w.hosts, w.people = append(w.hosts, h), append(w.people, here...)
		h.start(t, w.net, w.web)
	}
	return w
}

func (w *world) close() {
	for _, h := range w.hosts {
		if h.relay != nil {
			h.kill()
		}
	}
	<-time.After(2 * clientTimeout) // the timers of killed requests
}

// notef enters what happened into the trace.
func (w *world) notef(what, format string, args ...any) {
	line := fmt.Sprintf("%s %s: "+format, append([]any{time.Now().Format("02 15:04:05.000"), what}, args...)...)
	_, _ = fmt.Fprintln(w.trace, line)
	w.counted[what]++
	w.t.Log(line)
}

// check looks at every mailbox and every bound.
func (w *world) check() {
	synctest.Wait()
	for _, h := range w.hosts {
		for _, p := range h.instance.people {
			w.fail(w.look(h, p))
		}
	}
}

func (w *world) fail(err error) {
	if err != nil && w.err == nil {
		w.notef("violation", "%v", err)
		w.err = err
	}
}

// look reads p's mailbox behind what was seen, straight from the disk.
func (w *world) look(h *host, p *person) error {
	last := inbox.Position(0)
	if n := len(p.seen); n > 0 {
		last = p.seen[n-1].Position
	}
	entries, err := h.disk.mail.After(context.Background(), p.owner(), last, 1000)
	if err != nil {
		return err
	}
	for _, e := range entries {
		w.notef("arrived", "%s %d %s", p, e.Position, e.ActivityID)
	}
	if err := errors.Join(w.model.observe(p, entries), w.model.waiting(h, p, entries)); err != nil {
		return err
	}
	used, err := h.disk.mail.Usage(context.Background(), p.owner())
	if err != nil || used.Bytes > quota {
		return broken(limit, "%s has %d bytes, %v", p, used.Bytes, err)
	}
	pool, err := h.disk.keys.Pool(context.Background(), p.owner())
	if err != nil || len(pool.Packages) > maxPerDevice {
		return broken(limit, "%s has %d packages, %v", p, len(pool.Packages), err)
	}
	return nil
}

// step does one thing that is drawn.
func (w *world) step() {
	type choice struct {
		weight int
		do     func()
	}
	choices := []choice{
		{8, w.publish},
		{8, w.claim},
		{8, w.invite},
		{20, w.say},
		{4, w.commit},
		{30, w.land},
		{4, w.breakOff},
		{4, w.loseAnswer},
		{4, w.replay},
		{8, w.read},
		{10, w.wait},
		{2, w.kill},
		{4, w.restart},
		{2, w.part},
		{4, w.heal},
		{3, w.forge},
		{3, w.decide},
		{6, w.accept},
		{2, w.leap},
	}
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	n := w.random.IntN(total)
	for _, c := range choices {
		if n -= c.weight; n < 0 {
			c.do()
			break
		}
	}
	w.check()
}

func pick[T any](w *world, list []T) (one T, ok bool) {
	if len(list) == 0 {
		return one, false
	}
	return list[w.random.IntN(len(list))], true
}

func (w *world) up(p *person) bool { return w.net.hosts[p.host].relay != nil }

func (w *world) publish() {
	if p, _ := pick(w, w.people); w.up(p) {
		w.notef("publish", "%s %d", p, p.publish(w))
	}
}

// claim asks for somebody's key packages, and holds the answer against the pool as it was before.
func (w *world) claim() {
	by, _ := pick(w, w.people)
	of, _ := pick(w, w.people)
	if by == of || !w.up(of) {
		return
	}
	h := w.net.hosts[of.host]
	pool, err := h.disk.keys.Pool(context.Background(), of.owner())
	w.fail(err)
	now := h.keys.Now()
	got, status := by.fetch(w, of)
	w.notef("claim", "%s of %s: %d, %d packages", by, of, status, len(got))
	if !w.signerIsKnown(by, of) {
		return // read as an unsigned fetch, which shows all and reserves nothing
	}
	w.fail(w.model.claim(by, got, pool, now))
	if len(got) > 0 {
		by.claimed[of] = got[0]
	}
}

// signerIsKnown: a gateway that could not fetch a key from the inviter's host just now, or whose clock is so far behind
// that the request comes out of the future, serves them as anybody.
func (w *world) signerIsKnown(by, of *person) bool {
	behind := -time.Duration(w.net.hosts[of.host].ahead.Load())
	return w.up(by) && behind < 5*time.Minute && !w.net.missed(of.host, by.host)
}

// invite posts the commit for whoever is in the group already, and then a Welcome that names a package claimed before.
func (w *world) invite() {
	from, _ := pick(w, w.people)
	if !w.up(from) {
		return
	}
	var guests []*person
	for _, p := range w.people {
		if _, ok := from.claimed[p]; ok {
			guests = append(guests, p)
		}
	}
	guest, ok := pick(w, guests)
	if !ok {
		return
	}
	g := w.groupOf(from, guest)
	if len(g.members) > 1 && w.frame(from, g, 3, g.epoch, "commit") != http.StatusCreated {
		return
	}
	g.epoch++
	welcome := welcomeFor(from.claimed[guest].ref)
	s := &sent{from: from, group: g, kind: "welcome", to: set(guest), ref: from.claimed[guest].ref, invite: guest}
	delete(from.claimed, guest)
	if w.send(s, "Welcome", welcome) == http.StatusCreated {
		g.members = append(g.members, guest)
		g.welcomes[guest] = s.id
	}
}

// groupOf is a group of from's without the guest, or a new one.
func (w *world) groupOf(from, guest *person) *group {
	for _, g := range w.groups {
		if g.joined(from) && !slices.Contains(g.members, guest) {
			return g
		}
	}
	g := &group{id: fmt.Sprintf("group-%d", len(w.groups)), members: []*person{from}, welcomes: map[*person]string{}}
	w.groups = append(w.groups, g)
	return g
}

func set(people ...*person) map[*person]bool {
	out := map[*person]bool{}
	for _, p := range people {
		out[p] = true
	}
	return out
}

// talker is somebody in a group that has others, whose host is up.
func (w *world) talker() (*person, *group) {
	g, ok := pick(w, w.groups)
	if !ok || len(g.members) < 2 {
		return nil, nil
	}
	p, _ := pick(w, g.members)
	if !w.up(p) || !g.joined(p) {
		return nil, nil
	}
	return p, g
}

func (w *world) say() {
	if p, g := w.talker(); p != nil {
		w.frame(p, g, 1, g.epoch, "application")
	}
}

func (w *world) commit() {
	if p, g := w.talker(); p != nil {
		epoch := g.epoch - min(g.epoch, uint64(w.random.IntN(2))) // now and then a stale one
		if w.frame(p, g, 3, epoch, "commit") == http.StatusCreated {
			g.epoch = max(g.epoch, epoch+1)
		}
	}
}

func (w *world) frame(p *person, g *group, kind byte, epoch uint64, name string) int {
	w.serial++
	marker := fmt.Sprintf("%-*d", w.random.IntN(40)+8, w.serial) // under 64 bytes: a length of one byte
	s := &sent{from: p, group: g, kind: name, to: set(g.members...)}
	return w.send(s, "PrivateMessage", g.framed(kind, epoch, marker))
}

// send posts s and, one time in five, once more because the client never saw the answer.
func (w *world) send(s *sent, kind, content string) int {
	w.serial++
	var to []*person
	for _, p := range w.people {
		if s.to[p] {
			to = append(to, p)
		}
	}
	activity := create(s.group, fmt.Sprintf("client-%d", w.serial), kind, content, to)
	status, id := s.from.post(w, activity)
	w.notef("post", "%s %s to %v: %d %s", s.from, s.kind, to, status, id)
	if status != http.StatusCreated {
		return status
	}
	s.id = id
	w.model.acknowledged(s)
	if w.random.IntN(5) == 0 {
		again, same := s.from.post(w, activity)
		w.notef("repost", "%d", again)
		if again == http.StatusCreated && same != id {
			w.fail(broken(twice, "%s was posted again and became %s", id, same))
		}
	}
	return status
}

func (w *world) land() {
	if f, ok := pick(w, w.net.sorted()); ok {
		res := w.net.land(f)
		w.notef("land", "%s to %s%s: %s", f.from, f.to, f.request.URL.Path, res)
		if res != nil {
			w.flown = append(w.flown, f)
		}
		f.answer <- res
	}
}

// breakOff loses a request, loseAnswer only the answer to one.
func (w *world) breakOff() {
	if f, ok := pick(w, w.net.sorted()); ok {
		w.net.remove(f)
		w.notef("request lost", "%s to %s", f.from, f.to)
		f.answer <- nil
	}
}

func (w *world) loseAnswer() {
	if f, ok := pick(w, w.net.sorted()); ok {
		res := w.net.land(f)
		w.notef("answer lost", "%s to %s: %s", f.from, f.to, res)
		f.answer <- nil
	}
}

// replay delivers an old request once more, as it was.
func (w *world) replay() {
	if f, ok := pick(w, w.flown); ok && w.net.hosts[f.to].relay != nil {
		res := w.net.hosts[f.to].serve(f.request, f.body)
		w.notef("replay", "%s to %s: %s", f.from, f.to, res)
	}
}

// forge posts somebody's activity under another's signature, as it was or tampered with.
func (w *world) forge() {
	f, ok := pick(w, w.flown)
	if !ok || w.net.hosts[f.to].relay == nil {
		return
	}
	thief, _ := pick(w, w.people)
	body := slices.Clone(f.body)
	if flip := byte(w.random.IntN(2)); !bytes.Contains(body, []byte(`"actor":"`+thief.actor()+`"`)) { // else it is their own
		body[len(body)/2] ^= flip
	}
	r, err := http.NewRequest(http.MethodPost, f.request.URL.String(), http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header = f.request.Header.Clone()
	if w.random.IntN(2) == 0 {
		r.Header = http.Header{"Content-Type": {"application/activity+json"}}
		thief.sign(r, body)
	}
	res := w.net.hosts[f.to].serve(r, body)
	w.notef("forge", "%s: %s", thief, res)
}

func (w *world) read() {
	p, _ := pick(w, w.people)
	if !w.up(p) {
		return
	}
	ids := p.read(w)
	w.notef("read", "%s %v", p, ids)
	for _, id := range ids {
		if _, ok := p.had[id]; !ok {
			w.fail(broken(foreign, "%s reads %s", p, id))
		}
	}
	if p.cursor != "" && w.random.IntN(2) == 0 {
		w.fail(w.look(w.net.hosts[p.host], p))
		w.notef("give back", "%s through %s: %d", p, p.cursor, p.giveBack(w))
	}
}

// wait lets time pass: mostly little, now and then a day, or only until something takes off.
func (w *world) wait() {
	d := []time.Duration{time.Second, 11 * time.Second, 2 * time.Minute, 11 * time.Minute, 3 * time.Hour, 25 * time.Hour}[w.random.IntN(6)]
	if d > time.Hour && w.random.IntN(3) > 0 {
		d = time.Minute
	}
	w.notef("wait", "%v", d)
	if w.random.IntN(2) == 0 {
		<-time.After(d)
		return
	}
	w.idle(d)
}

// idle waits until something takes off, at most d.
func (w *world) idle(d time.Duration) (quiet bool) {
	select {
	case <-w.net.news: // of before
	default:
	}
	synctest.Wait()
	select {
	case <-w.net.news:
		return false
	case <-time.After(d):
		return true
	}
}

func (w *world) kill() {
	if h, _ := pick(w, w.hosts); h.relay != nil {
		w.notef("kill", "%s", h.domain)
		h.kill()
	}
}

func (w *world) restart() {
	for _, h := range w.hosts {
		if h.relay == nil {
			w.notef("restart", "%s", h.domain)
			h.start(w.t, w.net, w.web)
			return
		}
	}
}

// decide changes the policy of a host that runs.
func (w *world) decide() {
	h, _ := pick(w, w.hosts)
	if h.relay == nil {
		return
	}
	if h.policy == open {
		h.policy, h.holding = strict, time.Now()
	} else {
		h.policy, h.holding = open, time.Time{}
	}
	_, err := h.book.Reload(context.Background(), "command")
	w.notef("policy", "%s: %q %v", h.domain, h.policy, err)
	w.fail(err)
}

// accept has somebody accept the oldest request.
func (w *world) accept() {
	p, _ := pick(w, w.people)
	if w.up(p) {
		w.fail(w.acceptOf(p))
	}
}

func (w *world) acceptOf(p *person) error {
	in := w.net.hosts[p.host].inbox
	all, err := in.Requests(context.Background(), p.owner())
	if err != nil || len(all) == 0 {
		return err
	}
	for _, one := range all { // the first that fits
		err = in.AcceptRequest(context.Background(), p.owner(), one.ID)
		w.notef("accept", "%s of %s, %d messages: %v", p, one.Actor, one.Messages, err)
		if errors.Is(err, inbox.ErrFull) {
			continue
		}
		p.accepted[one.Actor] = true
		w.check()
		return err
	}
	return nil
}

// farthest is how far a clock leaps.
const farthest = 5 * time.Hour

// leap sets the clock of a host, wrong or right.
func (w *world) leap() {
	h, _ := pick(w, w.hosts)
	ahead := []time.Duration{0, -farthest, -3 * time.Minute, 3 * time.Minute, farthest}[w.random.IntN(5)]
	h.ahead.Store(int64(ahead))
	w.notef("clock", "%s: %v", h.domain, ahead)
}

func (w *world) part() {
	a, _ := pick(w, w.hosts)
	b, _ := pick(w, w.hosts)
	if a != b {
		w.notef("part", "%s and %s", a.domain, b.domain)
		w.net.apart[link(a.domain, b.domain)] = true
	}
}

func (w *world) heal() {
	if len(w.net.apart) > 0 {
		w.notef("heal", "")
		clear(w.net.apart)
	}
}

// settle lets everything arrive: all hosts up, nobody apart, everybody reads, until nothing happens for longer than a retry and a leap of the clock take.
func (w *world) settle() {
	clear(w.net.apart)
	for range w.hosts {
		w.restart()
	}
	for _, h := range w.hosts {
		h.ahead.Store(0)
	}
	for quiet := false; !quiet && w.err == nil; {
		for flying := w.net.sorted(); len(flying) > 0; flying = w.net.sorted() {
			for _, p := range w.people { // full mailboxes make others wait
				w.fail(w.acceptOf(p))
				w.empty(p)
			}
			f := flying[0]
			res := w.net.land(f)
			w.notef("land", "%s to %s%s: %s", f.from, f.to, f.request.URL.Path, res)
			f.answer <- res
			w.check()
		}
		quiet = w.idle(3*time.Hour+2*farthest) && !w.asked()
	}
	w.fail(w.model.settled())
}

// empty has p read everything, and give it back once the model has seen it; it says whether there was something.
func (w *world) empty(p *person) bool {
	h := w.net.hosts[p.host]
	p.read(w)
	used, err := h.disk.mail.Usage(context.Background(), p.owner())
	w.fail(errors.Join(err, w.look(h, p)))
	if p.cursor != "" {
		p.giveBack(w)
	}
	return used.Total > 0
}

// asked has everybody who was asked accept, and says whether anybody was, or had something, behind which more may wait
// for its room.
func (w *world) asked() (somebody bool) {
	for _, p := range w.people {
		before := len(p.accepted)
		w.fail(w.acceptOf(p))
		somebody = w.empty(p) || somebody
		all, err := w.net.hosts[p.host].inbox.Requests(context.Background(), p.owner())
		w.fail(err)
		somebody = somebody || len(all) > 0 || len(p.accepted) > before
	}
	w.check()
	return somebody
}
