package relay

import (
	"context"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/outbox"
)

// threadPage is how many ids one page of a conversation has.
const threadPage = 200

// conversation answers GET /e2ee/conversations/{id}: the ids of its activities in the order of
// acceptance, as far as who asks has sent or got them; nothing to everybody else. A short one is
// answered whole; ?from= is a page of a longer one.
func (r *Relay) conversation(work context.Context, ctx *fasthttp.RequestCtx, id string) error {
	if r.outbox == nil {
		return errNotOwner
	}
	reader, err := r.participant(work, ctx)
	if err != nil {
		return err
	}
	from, isPage := string(ctx.QueryArgs().Peek("from")), ctx.QueryArgs().Has("from")
	behind, err := strconv.ParseUint(from, 10, 64)
	if isPage && err != nil {
		return errBadPage
	}
	lines, total, err := r.outbox.Thread(work, id, reader, behind, threadPage+1)
	if err != nil {
		return err
	}
	t := thread{outbox.Threads(r.base) + id, lines}
	body := t.whole(total)
	if isPage {
		body = t.page(from)
	}
	writeActivity(ctx, "private, no-store", body)
	return nil
}

// thread is a conversation while it is answered.
type thread struct {
	url   string
	lines []inbox.Line
}

func (t thread) from(seq string) string { return t.url + "?from=" + seq }

func (t thread) whole(total int) []byte {
	d := begin(t.url, "OrderedCollection")
	d.number("totalItems", total)
	if len(t.lines) > threadPage {
		d.text("first", t.from("0"))
		return d.end()
	}
	d.texts("orderedItems", t.ids())
	return d.end()
}

func (t thread) page(from string) []byte {
	d := begin(t.from(from), "OrderedCollectionPage")
	d.text("partOf", t.url)
	if len(t.lines) > threadPage {
		t.lines = t.lines[:threadPage]
		d.text("next", t.from(strconv.FormatUint(t.lines[threadPage-1].Seq, 10)))
	}
	d.texts("orderedItems", t.ids())
	return d.end()
}

func (t thread) ids() []string {
	var ids []string
	for _, l := range t.lines {
		ids = append(ids, l.ActivityID)
	}
	return ids
}
