package relay

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/mls"
	"github.com/sealgate/sealgate/relay/splice"
)

// itemContext defines what a KeyPackage uses beyond ActivityStreams. It is inline,
// as in actor documents: nobody need load anything.
const itemContext = `["https://www.w3.org/ns/activitystreams",{"mls":"https://purl.archive.org/socialweb/mls#",` +
	`"KeyPackage":"mls:KeyPackage","encoding":"mls:encoding","ciphersuite":"mls:ciphersuite"}]`

// ownMembers are those of an item that are the gateway's to write. All others are the
// client's and come back as they were.
var ownMembers = []string{
	"@context", "id", "type", "to", "cc", "attributedTo", "mediaType", "encoding", "content", "ciphersuite", "published",
}

// keyPackage answers GET /e2ee/users/{name}/keyPackages/{id}: a listed package to
// anybody, a proposed one to its owner.
func (r *Relay) keyPackage(work context.Context, ctx *fasthttp.RequestCtx, name, id string) error {
	p, err := r.people.Person(work, name)
	if err != nil {
		return err
	}
	if r.keys == nil {
		return errNoItem
	}
	shelf := r.shelfOf(p)
	one, content, err := r.keys.Item(work, shelf.owner, id)
	if err != nil {
		return err
	}
	to := "as:Public"
	if one.State == inbox.Proposed {
		token, ok := r.shown(ctx)
		if !ok {
			return errNoItem
		}
		if who, err := r.askerWith(work, token, p); err != nil || !who.owner {
			return errNoItem
		}
		to = p.Actor
	}
	writeActivity(ctx, "no-cache", shelf.document(one.ID, to, content))
	return nil
}

// document completes what was kept about an item with what its place says.
func (s keyShelf) document(id, to string, content []byte) []byte {
	out := append([]byte(`{"@context":`+itemContext+`,"id":`), splice.Quote(s.item(id))...)
	out = append(out, `,"type":["Object","KeyPackage"],"to":`...)
	out = append(out, splice.Quote(to)...)
	return append(append(out, content...), '}')
}

// itemOf is what is kept of an uploaded object: its members as the gateway writes
// them, then the client's own, byte for byte.
func itemOf(from splice.Object, o activity.Object, actor string, now time.Time) []byte {
	d := &document{}
	d.text("attributedTo", actor)
	d.text("mediaType", "message/mls")
	d.text("encoding", "base64")
	d.text("content", base64.StdEncoding.EncodeToString(o.Content))
	d.text("ciphersuite", suiteName(o))
	published := o.Published
	if published == "" {
		published = now.UTC().Format(time.RFC3339)
	}
	d.text("published", published)
	for _, m := range from.Members {
		if !slices.Contains(ownMembers, m.Term) {
			d.WriteByte(',')
			d.Write(from.Doc[m.Key:m.Value.To])
		}
	}
	return d.Bytes()
}

// suiteName comes from the bytes; only for a suite without a name here the client's
// own is kept.
func suiteName(o activity.Object) string {
	m, err := mls.Parse(o.Content)
	if err != nil || m.KeyPackage == nil {
		return o.CipherSuite // it is about to be refused
	}
	if !m.KeyPackage.Suite.Known() && o.CipherSuite != "" {
		return o.CipherSuite
	}
	return m.KeyPackage.SuiteName()
}

// deviceName is what the client calls itself: the name of its generator, else the
// generator's id, else the activity's instrument.
func deviceName(from splice.Object, o activity.Object, a *activity.Activity) string {
	var g struct {
		Name string `json:"name"`
	}
	if m, ok := from.Find("generator"); ok && json.Unmarshal(from.Raw(m), &g) == nil && g.Name != "" {
		return g.Name
	}
	return cmp.Or(o.Generator, a.Instrument)
}
