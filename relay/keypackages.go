package relay

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay/forward"
	"github.com/sealgate/sealgate/relay/intake"
)

// logPage is how many log entries one answer carries.
const logPage = 5000

// keyPackages answers GET /e2ee/users/{name}/keyPackages: to the owner with all
// there is to know, to an inviter with one package per device and suite, reserved
// for them, to anybody else with what is valid now.
func (r *Relay) keyPackages(work context.Context, ctx *fasthttp.RequestCtx, name string) error {
	body, err := r.viewKeys(work, ctx, name)
	if err == nil {
		writeActivity(ctx, "no-store", body)
	}
	return err
}

func (r *Relay) viewKeys(work context.Context, ctx *fasthttp.RequestCtx, name string) ([]byte, error) {
	p, err := r.people.Person(work, name)
	if err != nil {
		return nil, err
	}
	shelf := r.shelfOf(p)
	if r.keys == nil {
		return shelf.collection(nil).end(), nil
	}
	leave, err := r.enterFetch(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	who, err := r.askerOf(work, ctx, p)
	if err != nil {
		return nil, err
	}
	switch {
	case ctx.QueryArgs().Has("history"):
		if !who.owner {
			return nil, who.refused()
		}
		return r.viewLog(work, ctx, shelf)
	case who.owner:
		return r.viewOwnKeys(work, shelf)
	}
	return r.viewOthersKeys(work, shelf, who)
}

// enterFetch takes a place for who comes from elsewhere.
func (r *Relay) enterFetch(ctx *fasthttp.RequestCtx) (leave func(), err error) {
	if _, isHere := bearer(ctx); isHere {
		return func() {}, nil
	}
	return r.intake.Enter(rules.Contact, forward.ClientAddr(ctx), 0)
}

// viewOthersKeys is what policy lets an asker have of somebody else's packages.
func (r *Relay) viewOthersKeys(work context.Context, shelf keyShelf, who keyAsker) ([]byte, error) {
	if r.leaving() { // a Welcome would be refused, and its group have a member that never comes
		return shelf.collection(nil).end(), nil
	}
	d := r.intake.Fetch(work, shelf.owner, who.actor)
	switch d.Action {
	case rules.Ignore:
		return nil, errNoItem
	case rules.Refuse:
		return nil, &intake.RuledError{Decision: d, Reason: intake.ErrRefused}
	case rules.RetryLater:
		return nil, &intake.RuledError{Decision: d, Reason: intake.ErrLater}
	case rules.LastResort:
		pool, err := r.keys.Pool(work, shelf.owner)
		return shelf.collection(pool.Reusable(r.keys.Now())).end(), err
	default:
	}
	if who.inviter.ID != "" {
		packages, err := r.keys.Claim(work, shelf.owner, who.inviter)
		return shelf.collection(packages).end(), err
	}
	pool, err := r.keys.Pool(work, shelf.owner)
	return shelf.collection(r.unheldFirst(pool)).end(), err
}

// unheldFirst puts last what is reserved for somebody.
func (r *Relay) unheldFirst(pool inbox.Pool) []inbox.Package {
	now := r.keys.Now()
	open := pool.Open(now)
	slices.SortStableFunc(open, func(a, b inbox.Package) int {
		switch {
		case a.Held(now) == b.Held(now):
			return 0
		case b.Held(now):
			return -1
		default:
			return 1
		}
	})
	return open
}

// keyShelf is one person's collection of key packages while it is answered.
type keyShelf struct {
	owner  inbox.Owner
	url    string
	person mastodon.Person
}

func (r *Relay) shelfOf(p mastodon.Person) keyShelf {
	return keyShelf{owner: inbox.Owner(p.Account), url: r.personURL(p.Name, "keyPackages"), person: p}
}

func (s keyShelf) item(id string) string { return s.url + "/" + id }

func (s keyShelf) collection(packages []inbox.Package) *document {
	d := begin(s.url, "Collection")
	d.number("totalItems", len(packages))
	d.texts("items", s.urls(packages))
	return d
}

func (s keyShelf) urls(packages []inbox.Package) []string {
	var urls []string
	for _, p := range packages {
		urls = append(urls, s.item(p.ID))
	}
	return urls
}

// keyDeviceJSON is a device as its owner sees it.
type keyDeviceJSON struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"`
	First string `json:"published"`
	Open  int    `json:"totalItems"`
	Fresh int    `json:"unused"`
	Low   bool   `json:"belowLowWater"`
}

// viewOwnKeys adds to the collection what concerns its owner alone: proposals, packages
// of suites unknown here, devices, notices, and where the log is.
func (r *Relay) viewOwnKeys(work context.Context, shelf keyShelf) ([]byte, error) {
	pool, err := r.keys.Pool(work, shelf.owner)
	if err != nil {
		return nil, err
	}
	now := r.keys.Now()
	d := shelf.collection(r.unheldFirst(pool))
	those := func(are func(inbox.Package) bool) []string {
		return shelf.urls(slices.DeleteFunc(slices.Clone(pool.Packages), func(p inbox.Package) bool { return !p.Valid(now) || !are(p) }))
	}
	d.texts("proposals", those(func(p inbox.Package) bool { return p.State == inbox.Proposed }))
	d.texts("unverified", those(func(p inbox.Package) bool { return !p.Verified }))
	d.raw("devices", r.keyDevices(&pool, now))
	notices := []noticeJSON{}
	for _, n := range pool.News(now) {
		notices = append(notices, r.noticeOf(n))
	}
	d.raw("notices", notices)
	d.text("history", shelf.url+"?history=1")
	return d.end(), nil
}

func (r *Relay) keyDevices(pool *inbox.Pool, now time.Time) []keyDeviceJSON {
	out := []keyDeviceJSON{}
	for _, one := range pool.Devices {
		j := keyDeviceJSON{ID: one.ID, Name: one.Name, First: one.First.Format(time.RFC3339)}
		j.Open, j.Fresh = pool.Counts(one.ID, now)
		j.Low = j.Fresh < r.keys.LowWater()
		out = append(out, j)
	}
	return out
}

// viewLog is the signed log, or the part after an entry.
func (r *Relay) viewLog(work context.Context, ctx *fasthttp.RequestCtx, shelf keyShelf) ([]byte, error) {
	self := shelf.url + "?history=1"
	var after uint64
	if from := string(ctx.QueryArgs().Peek("after")); from != "" {
		var err error
		if after, err = strconv.ParseUint(from, 10, 63); err != nil {
			return nil, errBadPage
		}
		self += "&after=" + from
	}
	pool, err := r.keys.Pool(work, shelf.owner)
	if err != nil {
		return nil, err
	}
	entries, err := r.keys.History(work, shelf.owner, after, logPage)
	if err != nil {
		return nil, err
	}
	file := inbox.LogFile{
		Context: "https://www.w3.org/ns/activitystreams", ID: self, Type: "OrderedCollection",
		Actor: shelf.person.Actor, PublicKey: r.keys.PublicKey(), Total: pool.Log.Count, Entries: entries,
	}
	if len(entries) == 0 {
		file.Entries = []inbox.LogEntry{}
	} else if last := entries[len(entries)-1].N; last < pool.Log.Count {
		file.Next = shelf.url + "?history=1&after=" + strconv.FormatUint(last, 10)
	}
	return json.Marshal(file)
}
