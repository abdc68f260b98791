package relay

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/splice"
)

const (
	maxBatch   = 32       // messages read at once
	batchBytes = 32 << 10 // events gathered before they are written
)

// eventBuffers are the bytes on their way to a client: an idle stream has none.
type eventBuffers struct{ pool sync.Pool }

func (e *eventBuffers) take() *[]byte {
	if b, ok := e.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, batchBytes)
	return &b
}

func (e *eventBuffers) give(b *[]byte) {
	if cap(*b) > 4*batchBytes {
		return
	}
	*b = (*b)[:0]
	e.pool.Put(b)
}

var errStreamLeft = errors.New("relay: the client of an event stream has left")

// catchUp sends every notice and every message after s.at.
func (s *stream) catchUp(ctx context.Context) error {
	if err := s.tellNotices(ctx); err != nil {
		return err
	}
	for more := true; more; {
		var err error
		if more, err = s.sendBatch(ctx); err != nil {
			return err
		}
		select {
		case <-s.live.Gone():
			return errStreamLeft
		case <-s.live.Closing():
			return nil
		default:
		}
	}
	return s.warnFilling(ctx)
}

// sendBatch sends a few messages and tells whether there may be more. Small ones
// are read in larger batches, so that a reader who is behind holds little memory
// whatever lies in the mailbox.
func (s *stream) sendBatch(ctx context.Context) (more bool, err error) {
	entries, err := s.r.inbox.After(ctx, s.box.owner, s.at, s.batch)
	if err != nil {
		return false, err
	}
	if len(entries) == 0 {
		return false, nil
	}
	buffer := s.r.buffers.take()
	defer s.r.buffers.give(buffer)
	sent := 0
	for i, e := range entries {
		*buffer = appendEvent(*buffer, e, s.box.url)
		entries[i].Activity = nil
		if len(*buffer) >= batchBytes || i == len(entries)-1 {
			if err := s.write(*buffer); err != nil {
				return false, err
			}
			sent += len(*buffer)
			*buffer = (*buffer)[:0]
		}
		s.at = e.Position
	}
	more = len(entries) == s.batch
	s.fill.grown(sent)
	s.resize(sent)
	return more, nil
}

func (s *stream) resize(sent int) {
	if sent < batchBytes {
		s.batch = min(2*s.batch, maxBatch)
		return
	}
	s.batch = max(s.batch/2, 1)
}

// appendEvent writes one message as an event: its position as id, one line of
// data, no name, for only unnamed events reach an EventSource's onmessage.
func appendEvent(dst []byte, e inbox.Entry, target string) []byte {
	dst = append(dst, "id: "...)
	dst = strconv.AppendUint(dst, uint64(e.Position), 10)
	dst = append(dst, "\ndata: {\"type\":\"Add\",\"object\":"...)
	dst = appendFolded(dst, e.Activity)
	dst = append(dst, `,"target":`...)
	dst = append(dst, splice.Quote(target)...)
	if e.Hidden {
		dst = append(dst, `,"hidden":true`...)
	}
	return append(dst, "}\n\n"...)
}

// appendFolded writes JSON on one line without changing what it says: a line break
// between tokens becomes a space, one inside a string (which strict JSON does not
// have) its escape.
func appendFolded(dst, json []byte) []byte {
	inString, escaped := false, false
	from := 0
	for i, c := range json {
		switch {
		case c == '\n' || c == '\r':
			dst = append(append(dst, json[from:i]...), folded(c, inString)...)
			from, escaped = i+1, false
		case escaped:
			escaped = false
		case c == '\\' && inString:
			escaped = true
		case c == '"':
			inString = !inString
		}
	}
	return append(dst, json[from:]...)
}

func folded(c byte, inString bool) string {
	switch {
	case !inString:
		return " "
	case c == '\n':
		return `\n`
	}
	return `\r`
}
