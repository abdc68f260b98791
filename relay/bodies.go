package relay

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealgate/sealgate/policy"
)

// bodies are buffers for the POSTs that are read whole, used again. Together they hold no more than most bytes beyond what
// each may have for nothing.
type bodies struct {
	most int64
	held atomic.Int64
	pool sync.Pool
}

// body is one that was read. It is put back, or dropped when somebody else goes on with its bytes.
type body struct {
	bytes.Buffer
	charged int64 // what of bodies.held is for it
}

const (
	freeBody = 16 << 10 // nearly all are less
	keptBody = 64 << 10 // the largest buffer that is kept for the next request
)

// read takes all of stream, which is said to be of a length (negative: unknown); more than limit bytes are errTooLarge. A
// *policy.LimitError says that there is no room now.
func (bs *bodies) read(stream io.Reader, length int, limit int64) (*body, error) {
	b, ok := bs.pool.Get().(*body)
	if !ok {
		b = new(body)
	}
	if length > 0 {
		b.Grow(min(length, freeBody) + bytes.MinRead) // at once, and without what ReadFrom would want at the end
	}
	m := &meter{from: io.LimitReader(stream, limit+1), bodies: bs, of: b}
	_, err := b.ReadFrom(m)
	switch {
	case m.refused != nil:
		err = m.refused
	case err != nil:
		err = fmt.Errorf("%w: %w", errTruncated, err)
	case int64(b.Len()) > limit:
		err = errTooLarge
	}
	if err != nil {
		bs.drop(b)
		return nil, err
	}
	return b, nil
}

// meter charges what is read.
type meter struct {
	from    io.Reader
	bodies  *bodies
	of      *body
	had     int64
	refused error
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	m.had += int64(n)
	if more := m.had - freeBody - m.of.charged; more > 0 {
		m.of.charged += more
		if m.bodies.held.Add(more) > m.bodies.most {
			m.refused = &policy.LimitError{RetryAfter: time.Second, Key: "memory", Reason: policy.ErrBusy}
			return 0, m.refused
		}
	}
	return n, err
}

// put gives b back with its memory: whoever puts it must not touch it again.
func (bs *bodies) put(b *body) {
	bs.drop(b)
	if b.Cap() <= keptBody {
		b.Reset()
		bs.pool.Put(b)
	}
}

// drop ends the charge for b.
func (bs *bodies) drop(b *body) {
	bs.held.Add(-b.charged)
	b.charged = 0
}
