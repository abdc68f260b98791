package relay

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/mastodon"
)

// pageSize is how many messages a page holds. Pages are numbered from the oldest
// position that ever was: page n holds positions (n-1)*pageSize+1 to n*pageSize,
// whatever has expired or arrives.
const pageSize = 20

// mailbox is one person's collection while it is answered.
type mailbox struct {
	owner       inbox.Owner
	url, events string
	floor       inbox.Position // the device that asks is done with this and what is older
}

// messages answers GET /e2ee/users/{name}/messages: to the owner alone, and to
// everybody else as if there were no such mailbox.
func (r *Relay) messages(work context.Context, ctx *fasthttp.RequestCtx, name string) error {
	caller, err := r.owner(work, ctx, name)
	if err != nil {
		return err
	}
	return r.showMailbox(work, ctx, caller.Person)
}

// showMailbox answers with the part of a mailbox that the query asks for.
func (r *Relay) showMailbox(work context.Context, ctx *fasthttp.RequestCtx, p mastodon.Person) error {
	token, _ := r.shown(ctx)
	box, err := r.opened(work, r.mailboxOf(p), token)
	if err != nil {
		return err
	}
	if id, ok := soughtItem(ctx.QueryArgs()); ok {
		return r.seekItem(work, ctx, box, id)
	}
	body, err := r.view(work, box, ctx.QueryArgs())
	if err == nil {
		writeActivity(ctx, "private, no-store", body)
	}
	return err
}

func (r *Relay) mailboxOf(p mastodon.Person) mailbox {
	return mailbox{
		owner: inbox.Owner(p.Account), url: r.personURL(p.Name, "messages"), events: r.personURL(p.Name, "events"),
	}
}

// ownInbox answers an owner's GET of their inbox as it would their messages: what
// a client finds who knows only ActivityPub. Everybody else's is the instance's
// to answer.
func (r *Relay) ownInbox(ctx *fasthttp.RequestCtx) {
	work, cancel := context.WithTimeout(context.Background(), workTimeout)
	defer cancel()
	caller, err := r.reader(work, ctx)
	if err != nil || !r.isInboxOf(work, ctx, caller.Person) {
		r.web.Pass(ctx)
		return
	}
	allowOrigin(ctx)
	if err := r.showMailbox(work, ctx, caller.Person); err != nil {
		r.fail(ctx, err)
	}
}

func (r *Relay) isInboxOf(work context.Context, ctx *fasthttp.RequestCtx, p mastodon.Person) bool {
	id := r.inboxOwner(pathOf(ctx.Request.Header.RequestURI()))
	owner, err := r.people.Person(work, id)
	return err == nil && owner.Account == p.Account
}

// view is the document that the query asks for.
func (r *Relay) view(ctx context.Context, box mailbox, query *fasthttp.Args) ([]byte, error) {
	switch {
	case query.Has("after"):
		return r.viewAfter(ctx, box, string(query.Peek("after")))
	case query.Has("from"):
		return r.viewFrom(ctx, box, string(query.Peek("from")))
	case query.Has("page"):
		return r.viewPage(ctx, box, string(query.Peek("page")))
	}
	return r.viewCollection(ctx, box)
}

// viewCollection is the collection itself: where it begins and ends.
func (r *Relay) viewCollection(ctx context.Context, box mailbox) ([]byte, error) {
	u, err := r.usage(ctx, box)
	if err != nil {
		return nil, err
	}
	d := begin(box.url, "OrderedCollection")
	d.number("totalItems", u.Total)
	d.text("eventStream", box.events)
	d.text("seekItem", box.seek())
	if u.Total == 0 {
		d.items(nil)
		return d.end(), nil
	}
	d.text("first", box.page(pageOf(u.Last)))
	d.text("last", box.page(pageOf(u.First)))
	return d.end(), nil
}

// viewPage is one page, newest first.
func (r *Relay) viewPage(ctx context.Context, box mailbox, number string) ([]byte, error) {
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || n == 0 {
		return nil, errBadPage
	}
	u, err := r.usage(ctx, box)
	if err != nil {
		return nil, err
	}
	if u.Total == 0 || n > pageOf(u.Last) || n < pageOf(u.First) {
		return nil, errBadPage
	}
	entries, err := r.inbox.After(ctx, box.owner, max(box.floor, inbox.Position((n-1)*pageSize)), pageSize)
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e inbox.Entry) bool { return e.Position > inbox.Position(n*pageSize) })
	slices.Reverse(entries)
	d := begin(box.page(n), "OrderedCollectionPage")
	d.text("partOf", box.url)
	if n > pageOf(u.First) {
		d.text("next", box.page(n-1))
	}
	if n < pageOf(u.Last) {
		d.text("prev", box.page(n+1))
	}
	d.items(entries)
	return d.end(), nil
}

// viewAfter is what came after an activity, oldest first. A client polls it: a
// backlog of one page is answered inline and without links, a longer one with
// first and no items, none with neither. An id that is not kept, such as one
// the client minted itself, means from the oldest.
func (r *Relay) viewAfter(ctx context.Context, box mailbox, id string) ([]byte, error) {
	after, err := r.place(ctx, box, id)
	if err != nil && !errors.Is(err, inbox.ErrNotFound) {
		return nil, err
	}
	after = max(after, box.floor)
	entries, err := r.inbox.After(ctx, box.owner, after, pageSize+1)
	if err != nil {
		return nil, err
	}
	self := box.url + "?after=" + string(fasthttp.AppendQuotedArg(nil, []byte(id)))
	if len(entries) > pageSize {
		d := begin(self, "OrderedCollection")
		d.text("first", box.from(after))
		return d.end(), nil
	}
	d := begin(self, "OrderedCollectionPage")
	d.text("partOf", box.url)
	d.items(entries)
	return d.end(), nil
}

// viewFrom is a page of a longer backlog, oldest first.
func (r *Relay) viewFrom(ctx context.Context, box mailbox, position string) ([]byte, error) {
	after, err := strconv.ParseUint(position, 10, 63)
	if err != nil {
		return nil, errBadPage
	}
	entries, err := r.inbox.After(ctx, box.owner, max(box.floor, inbox.Position(after)), pageSize+1)
	if err != nil {
		return nil, err
	}
	d := begin(box.from(inbox.Position(after)), "OrderedCollectionPage")
	d.text("partOf", box.url)
	if len(entries) > pageSize {
		entries = entries[:pageSize]
		d.text("next", box.from(entries[pageSize-1].Position))
	}
	d.items(entries)
	return d.end(), nil
}

// pageOf is the number of the page that holds a position.
func pageOf(p inbox.Position) uint64 { return (max(uint64(p), 1)-1)/pageSize + 1 }

func (b mailbox) page(n uint64) string { return b.url + "?page=" + strconv.FormatUint(n, 10) }

func (b mailbox) from(p inbox.Position) string {
	return b.url + "?from=" + strconv.FormatUint(uint64(p), 10)
}
