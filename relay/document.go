package relay

import (
	"bytes"
	"strconv"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/splice"
)

// document is an ActivityStreams document being written; kept activities go in
// byte for byte.
type document struct{ bytes.Buffer }

func begin(id, kind string) *document {
	d := &document{}
	d.WriteString(`{"@context":"https://www.w3.org/ns/activitystreams"`)
	d.text("id", id)
	d.text("type", kind)
	return d
}

func (d *document) text(name, value string) {
	d.WriteString(`,"` + name + `":`)
	d.WriteString(splice.Quote(value))
}

func (d *document) number(name string, value int) {
	d.WriteString(`,"` + name + `":` + strconv.Itoa(value))
}

// raw adds a member that marshals to JSON.
func (d *document) raw(name string, value any) {
	d.WriteString(`,"` + name + `":`)
	d.Write(jsonOf(value))
}

func (d *document) items(entries []inbox.Entry) {
	d.WriteString(`,"orderedItems":[`)
	for i, e := range entries {
		if i > 0 {
			d.WriteByte(',')
		}
		d.Write(e.Activity)
	}
	d.WriteByte(']')
	d.hidden(entries)
}

func (d *document) texts(name string, list []string) {
	d.WriteString(`,"` + name + `":[`)
	for i, text := range list {
		if i > 0 {
			d.WriteByte(',')
		}
		d.WriteString(splice.Quote(text))
	}
	d.WriteByte(']')
}

// hidden names the activities that policy asks clients not to show. It stands beside
// the items, whose bytes stay as they came; who does not know it shows them.
func (d *document) hidden(entries []inbox.Entry) {
	var ids []string
	for _, e := range entries {
		if e.Hidden {
			ids = append(ids, e.ActivityID)
		}
	}
	if ids != nil {
		d.texts("hidden", ids)
	}
}

func (d *document) end() []byte {
	d.WriteByte('}')
	return d.Bytes()
}
