package outbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/relay/splice"
)

// What can be wrong with what a client posts.
var (
	// ErrMalformed wraps a sentence for the client: 400.
	ErrMalformed = errors.New("outbox: malformed activity")
	// ErrForbidden means that actor or author is somebody else: 403.
	ErrForbidden = errors.New("outbox: not the poster's activity")
)

// draft is what a client posted, made ready to be sent.
type draft struct {
	id         string // 128 random bits in hex
	activity   *activity.Activity
	recipients []string // bto and bcc included
	aliases    []string // ids the client gave
	thread     string   // the id of the conversation kept here that it is given
}

// urls of what has the random id.
func (o *Outbox) activityURL(id string) string { return o.base + "/e2ee/activities/" + id }
func (o *Outbox) objectURL(id string) string   { return o.base + "/e2ee/objects/" + id }
func (o *Outbox) threadURL(id string) string   { return Threads(o.base) + id }

// Threads is what the ids of conversations begin with that are kept at base.
func Threads(base string) string { return base + "/e2ee/conversations/" }

// draft wraps a bare object in a Create, gives ids and actor, and takes out bto
// and bcc. activity.ErrNotMLS when it is not MLS. The same rules as for what peers
// send then judge the result, so no spelling of a property escapes.
func (o *Outbox) draft(ctx context.Context, from Sender, body []byte) (*draft, error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if _, err := activity.Parse(body, o.limits); errors.Is(err, activity.ErrNotMLS) {
		return nil, err
	}
	d := &draft{id: newID()}
	body, err := d.stripped(body)
	if err != nil {
		return nil, err
	}
	if body, err = Complete(body, from.Actor); err != nil {
		return nil, err
	}
	if d.thread, err = o.thread(ctx, from, body); err != nil {
		return nil, err
	}
	if body, err = o.signedOver(d, from, body); err != nil {
		return nil, err
	}
	if d.activity, err = activity.Parse(body, o.limits); err != nil {
		return nil, err
	}
	return d, d.check(o, from)
}

// given is the conversation that was given, "" for none.
func (d *draft) given(o *Outbox) string {
	if d.thread == "" {
		return ""
	}
	return o.threadURL(d.thread)
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// parsed is the JSON object that body is; ErrMalformed for anything else.
func parsed(body []byte) (splice.Object, error) {
	top, err := splice.Parse(body)
	if err != nil {
		return top, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return top, nil
}

// stripped is body without bto and bcc, whose ids it remembers.
func (d *draft) stripped(body []byte) ([]byte, error) {
	top, err := parsed(body)
	if err != nil {
		return nil, err
	}
	if body, d.recipients, err = top.Unaddressed(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return body, nil
}

// Complete puts a bare object into a Create (ActivityPub §6.2.1) and names the actor where nobody is named;
// all else stays byte for byte. The error is ErrMalformed when body is not one JSON object.
func Complete(body []byte, actor string) ([]byte, error) {
	top, err := parsed(body)
	if err != nil {
		return nil, err
	}
	if _, isActivity := top.Find("object"); !isActivity {
		if top, err = parsed(wrapped(top)); err != nil {
			return nil, err
		}
	}
	if _, isNamed := top.Find("actor"); isNamed {
		return top.Doc, nil
	}
	return splice.Apply(top.Doc, top.Set(splice.Field{Term: "actor", Value: actor})), nil
}

// wrapped is a Create of an object.
func wrapped(o splice.Object) []byte {
	context := []byte(`"https://www.w3.org/ns/activitystreams"`)
	if m, ok := o.Find("@context"); ok {
		context = o.Raw(m)
	}
	var b bytes.Buffer
	b.WriteString(`{"@context":`)
	b.Write(context)
	b.WriteString(`,"type":"Create"`)
	for _, name := range []string{"to", "cc", "audience", "instrument", "published"} {
		if m, ok := o.Find(name); ok {
			b.WriteString(`,"` + name + `":`)
			b.Write(o.Raw(m))
		}
	}
	b.WriteString(`,"object":`)
	b.Write(o.Bytes())
	b.WriteString("}")
	return b.Bytes()
}

// signedOver gives the activity, and the objects that a Create makes, their ids
// and their author.
func (o *Outbox) signedOver(d *draft, from Sender, body []byte) ([]byte, error) {
	top, err := parsed(body)
	if err != nil {
		return nil, err
	}
	d.alias(top.TextOf("id"))
	edits := top.Set(splice.Field{Term: "id", Value: o.activityURL(d.id)})
	for i, in := range made(top) {
		edits = append(edits, o.name(d, from, in, i)...)
	}
	return splice.Apply(body, edits), nil
}

// made are the objects that an activity makes, if it is a Create: those in object, each before its items when it is a
// collection.
func made(top splice.Object) (list []splice.Object) {
	if !slices.ContainsFunc(top.IDs("type"), func(kind string) bool { return splice.Term(kind) == "Create" }) {
		return nil
	}
	within, _ := top.Find("object")
	objects, _ := top.Parts(within)
	for _, in := range objects {
		list = append(list, in)
		for _, m := range in.Members {
			if m.Term == "items" || m.Term == "orderedItems" {
				items, _ := in.Parts(m)
				list = append(list, items...)
			}
		}
	}
	return list
}

// name gives one object of a Create its id and author.
func (o *Outbox) name(d *draft, from Sender, in splice.Object, i int) []splice.Edit {
	id := d.id
	if i > 0 {
		id += "-" + strconv.Itoa(i+1)
	}
	d.alias(in.TextOf("id"))
	fields := []splice.Field{{Term: "id", Value: o.objectURL(id)}}
	if _, ok := in.Find("attributedTo"); !ok {
		fields = append(fields, splice.Field{Term: "attributedTo", Value: from.Actor})
	}
	if d.thread != "" {
		fields = append(fields, splice.Field{Term: "conversation", Value: o.threadURL(d.thread)})
	}
	return in.Set(fields...)
}

func (d *draft) alias(id string) {
	if id != "" && len(id) <= 2048 && !slices.Contains(d.aliases, id) {
		d.aliases = append(d.aliases, id)
	}
}

// check holds the finished activity to its poster and collects its recipients.
func (d *draft) check(o *Outbox, from Sender) error {
	a := d.activity
	if a.ID != o.activityURL(d.id) {
		return fmt.Errorf("%w: its id is given in an unusual form", ErrMalformed)
	}
	if a.Actor != from.Actor {
		return fmt.Errorf("%w: actor is %.200q, the access token is of %q", ErrForbidden, a.Actor, from.Actor)
	}
	for _, made := range a.Objects {
		if made.AttributedTo != "" && made.AttributedTo != from.Actor {
			return fmt.Errorf("%w: attributedTo is %.200q, the access token is of %q", ErrForbidden, made.AttributedTo, from.Actor)
		}
	}
	if len(a.BTo)+len(a.BCC) > 0 {
		return fmt.Errorf("%w: bto or bcc is given in an unusual form", ErrMalformed)
	}
	d.recipients = append(a.Recipients(), d.recipients...)
	return d.checkRecipients()
}

// maxRecipients bounds one activity's; larger groups need more activities.
const maxRecipients = 1000

func (d *draft) checkRecipients() error {
	seen := map[string]bool{}
	d.recipients = slices.DeleteFunc(d.recipients, func(id string) bool {
		again := seen[id]
		seen[id] = true
		return again
	})
	if len(d.recipients) == 0 {
		return fmt.Errorf("%w: it has no recipients: name the actors it is for in to", ErrMalformed)
	}
	if len(d.recipients) > maxRecipients {
		return fmt.Errorf("%w: it has %d recipients, over %d", ErrMalformed, len(d.recipients), maxRecipients)
	}
	for _, id := range d.recipients {
		if activity.IsPublic(id) {
			return fmt.Errorf("%w: an encrypted message is for actors, and %.60q is everybody", ErrMalformed, id)
		}
		if isCollection(id) {
			return fmt.Errorf("%w: an encrypted message is for actors, and %.200q is a collection: name its members", ErrMalformed, id)
		}
	}
	return nil
}

// isCollection knows the names that everybody's followers have, so that the
// mistake is told even while their server cannot be asked.
func isCollection(id string) bool {
	path, _, _ := strings.Cut(id, "?")
	return strings.HasSuffix(path, "/followers") || strings.HasSuffix(path, "/following")
}
