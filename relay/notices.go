package relay

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// noticeJSON is a Notice as clients see it.
type noticeJSON struct {
	Type       string   `json:"type"`
	Kind       string   `json:"kind"`
	Summary    string   `json:"summary,omitempty"`
	Published  string   `json:"published,omitempty"`
	Device     string   `json:"device,omitempty"`
	Name       string   `json:"name,omitempty"`
	KeyPackage string   `json:"keyPackage,omitempty"`
	Others     []string `json:"others,omitempty"`
	Used       int64    `json:"used,omitempty"`
	Quota      int64    `json:"quota,omitempty"`
	Host       string   `json:"host,omitempty"`     // to which something was sent
	Activity   string   `json:"activity,omitempty"` // what was sent
	Actor      string   `json:"actor,omitempty"`    // who asks to be let in, or is severed
	Request    string   `json:"request,omitempty"`  // the request's URL
}

func (r *Relay) noticeOf(n inbox.Notice) noticeJSON {
	j := noticeJSON{
		Type: "Notice", Kind: string(n.Kind), Device: n.Device, Name: n.Name, KeyPackage: n.Package, Others: n.Others,
		Host: n.Host, Activity: n.Activity, Actor: n.Actor,
	}
	switch n.Kind {
	case inbox.MessageRequest:
		j.Request = r.requestURL(n.Request)
	case inbox.Cut:
		j.Host, j.Activity = "", "" // Actor says it
	}
	if !n.At.IsZero() {
		j.Published = n.At.UTC().Format(time.RFC3339)
	}
	return j
}

// event is the notice as an event without id: it is no place in the mailbox, and a
// client that resumes does not see it again.
func (j noticeJSON) event() []byte {
	return slices.Concat([]byte("data: "), jsonOf(map[string]any{"type": "Announce", "object": j}), []byte("\n\n"))
}

// filling watches how full the mailbox of one stream is.
type filling struct {
	used   int64 // at least; what was sent since the store was asked is added
	known  bool
	warned bool
}

func (f *filling) grown(bytes int) { f.used += int64(bytes) }

// warnFilling says once that the mailbox is at 80 % of mailbox.quota, and again
// after it was less. The store is asked only when the sum of what was sent says
// that it may be.
func (s *stream) warnFilling(ctx context.Context) error {
	limit := s.r.quota / 5 * 4
	if limit == 0 || s.fill.known && s.fill.used < limit {
		return nil
	}
	u, err := s.r.inbox.Usage(ctx, s.box.owner)
	if err != nil {
		return err
	}
	s.fill.known, s.fill.used = true, u.Bytes
	full := u.Bytes >= limit
	if full && !s.fill.warned {
		err = s.write(s.r.fillingNotice(u).event())
	}
	s.fill.warned = full
	return err
}

func (r *Relay) fillingNotice(u inbox.Usage) noticeJSON {
	return noticeJSON{
		Type: "Notice", Kind: string(inbox.Filling), Used: u.Bytes, Quota: r.quota, Published: r.clock().UTC().Format(time.RFC3339),
		Summary: fmt.Sprintf("The mailbox is %d %% full (mailbox.quota): messages that are done with should be deleted, "+
			"or new ones will be refused.", u.Bytes*100/r.quota),
	}
}
