package relay

import (
	"context"
	"net/url"

	"github.com/valyala/fasthttp"
)

// keyPackages answers GET /e2ee/users/{name}/keyPackages to anyone. Nobody can
// publish a key package here yet, so every local person's collection is empty,
// and says so.
func (r *Relay) keyPackages(work context.Context, ctx *fasthttp.RequestCtx, raw string) {
	name, err := url.PathUnescape(raw)
	if err != nil {
		name = raw
	}
	p, err := r.people.Person(work, name)
	if err != nil {
		r.fail(ctx, err)
		return
	}
	d := begin(r.personURL(p.Name, "keyPackages"), "Collection")
	d.number("totalItems", 0)
	d.WriteString(`,"items":[]`)
	writeActivity(ctx, "no-cache", d.end())
}
