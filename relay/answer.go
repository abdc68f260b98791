package relay

import (
	"encoding/json"

	"github.com/valyala/fasthttp"
)

// reply is an answer of the gateway's own; cache is its Cache-Control, never
// empty.
type reply struct {
	status      int
	kind, cache string
	body        []byte
}

func write(ctx *fasthttp.RequestCtx, a reply) {
	ctx.SetStatusCode(a.status)
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, a.cache)
	ctx.SetContentType(a.kind)
	ctx.SetBody(a.body)
}

// writeJSON answers with a JSON document that nobody may keep.
func writeJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	write(ctx, reply{status: status, kind: "application/json", cache: "no-store", body: jsonOf(v)})
}

// writeEmpty answers with a status alone.
func writeEmpty(ctx *fasthttp.RequestCtx, status int) {
	ctx.SetStatusCode(status)
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	ctx.Response.Header.SetNoDefaultContentType(true)
}

const (
	activityJSON = "application/activity+json"
	linkedJSON   = `application/ld+json; profile="https://www.w3.org/ns/activitystreams"`
)

// writeActivity answers with an ActivityStreams document in the form asked for.
func writeActivity(ctx *fasthttp.RequestCtx, cache string, body []byte) {
	kind := activityJSON
	accept := wanted(&ctx.Request.Header)
	if containsFold(accept, "application/ld+json") && !containsFold(accept, activityJSON) {
		kind = linkedJSON
	}
	ctx.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderAccept)
	write(ctx, reply{status: fasthttp.StatusOK, kind: kind, cache: cache, body: body})
}

// jsonOf is what the gateway says as JSON.
func jsonOf(v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		panic("bug: an answer is not JSON: " + err.Error())
	}
	return body
}
