package relay

import (
	"fmt"
	"net/url"

	"github.com/valyala/fasthttp"
)

// SeenHeader asks, with any value, on a request for /e2ee/actor: what reached the gateway of me?
// The answer carries a Seen in the header of the same name. An OPTIONS that asks is answered so at any
// address. It shows the asker nothing but their own way here; `sealgate check` judges the proxy in front by it.
const SeenHeader = "Sealgate-Seen"

// Needs are addresses of every kind that the gateway must see, also of a proxy in front that answers the rest
// without it. Those of actors it must see only if JSON is asked for, by Accept or by the name.
func Needs() []string {
	return []string{
		OwnActor(""), metadataPath, "/.well-known/webfinger", rootAuthorizePath, rootTokenPath, "/oauth/revoke",
		"/inbox", "/users/sealgate/inbox", "/ap/users/1/inbox", "/users/sealgate/outbox", "/ap/users/1/outbox",
		"/users/sealgate", "/ap/users/1", "/@sealgate", "/@sealgate.json",
	}
}

// Seen is what reached the gateway.
type Seen struct {
	Host         string
	Proto        string // X-Forwarded-Proto; empty without one
	Forwarded    string // "yes" when there was an X-Forwarded-For, else "no"
	CacheControl string // as the gateway answered
}

func (s Seen) String() string {
	return url.Values{
		"host": {s.Host}, "proto": {s.Proto}, "forwarded": {s.Forwarded}, "cache": {s.CacheControl},
	}.Encode()
}

// ParseSeen reads the header; its error means that no gateway answered.
func ParseSeen(text string) (Seen, error) {
	v, err := url.ParseQuery(text)
	if err != nil || !v.Has("host") {
		return Seen{}, fmt.Errorf("relay: no %s in the answer", SeenHeader)
	}
	return Seen{Host: v.Get("host"), Proto: v.Get("proto"), Forwarded: v.Get("forwarded"), CacheControl: v.Get("cache")}, nil
}

func asksSeen(ctx *fasthttp.RequestCtx) bool { return len(value(&ctx.Request.Header, SeenHeader)) > 0 }

// tellSeen adds the header to an answer that is complete otherwise.
func tellSeen(ctx *fasthttp.RequestCtx) {
	if !asksSeen(ctx) {
		return
	}
	h := &ctx.Request.Header
	s := Seen{
		Host: string(h.Host()), Proto: string(value(h, fasthttp.HeaderXForwardedProto)), Forwarded: "no",
		CacheControl: string(ctx.Response.Header.Peek(fasthttp.HeaderCacheControl)),
	}
	if len(value(h, fasthttp.HeaderXForwardedFor)) > 0 {
		s.Forwarded = "yes"
	}
	ctx.Response.Header.Set(SeenHeader, s.String())
}
