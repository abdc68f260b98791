package forward

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// framing says how a body ends.
type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	byClose
)

// source is a body on its way: the client's or the upstream's.
type source interface {
	// next returns the next bytes, valid until the next call, and io.EOF after the last.
	next() ([]byte, error)
	// trailers returns the trailer lines as they came, each with CR LF; valid after io.EOF.
	trailers() []byte
}

// pace is how fast a body must come. What the other side does with the bytes that came is not this one's time.
type pace struct {
	g        *guard
	patience time.Duration // for progress bytes; zero: there is no limit
	progress int
	got      int   // since the limit was armed
	rest     int64 // of the limit, until it is resumed; zero: there is none
}

// wait is called before a read.
func (p *pace) wait() {
	switch {
	case p.patience <= 0:
	case p.rest == 0 || p.got >= p.progress:
		p.g.read(p.patience)
		p.got = 0
	default:
		p.g.resume(p.rest)
	}
}

// came is called after a read of n bytes.
func (p *pace) came(n int) {
	p.rest = p.g.pause()
	p.got += n
}

// body reads one message body from a reader.
type body struct {
	pace
	r       *reader
	framing framing
	left    int64 // byLength: of the body; byChunks: of the chunk
	inChunk bool
	excess  int // bytes of chunk framing beyond what is usual

	err      error       // the first, or io.EOF; the body ends with it
	lines    []byte      // the trailers
	consumed atomic.Bool // the last byte has been taken from the connection
}

// start prepares b for a body; it needs no cleaning up.
func (b *body) start(f framing, length int64) {
	b.framing, b.left, b.inChunk, b.excess, b.got, b.rest = f, length, false, 0, 0, 0
	if f == byChunks {
		b.left = 0
	}
	b.lines, b.err = b.lines[:0], nil
	if f == byLength && length == 0 {
		b.framing = noBody
	}
	b.consumed.Store(b.framing == noBody)
}

func (b *body) trailers() []byte { return b.lines }

// peek returns the rest of the body if all of it is buffered already. It is valid until the next read.
func (b *body) peek() ([]byte, bool) {
	have := b.r.buffered()
	if b.framing != byLength || int64(len(have)) < b.left {
		return nil, b.framing == noBody
	}
	return have[:b.left], true
}

// whole takes what peek shows.
func (b *body) whole() ([]byte, bool) {
	p, ok := b.peek()
	if len(p) > 0 {
		b.r.consume(len(p))
		b.finish()
	}
	return p, ok
}

func (b *body) next() ([]byte, error) {
	if b.err != nil {
		return nil, b.err
	}
	var p []byte
	p, b.err = b.step()
	return p, b.err
}

func (b *body) step() ([]byte, error) {
	switch b.framing {
	case byLength:
		return b.nextOf()
	case byChunks:
		return b.nextChunk()
	case byClose:
		return b.nextUntilClose()
	default:
		return nil, io.EOF
	}
}

func (b *body) finish() {
	b.framing = noBody
	b.g.read(0)
	b.consumed.Store(true)
}

// fill reads more, within the time a body may take. The end of the connection is errTruncated.
func (b *body) fill() error {
	b.wait()
	before := len(b.r.buffered())
	err := b.r.fill(0)
	b.came(len(b.r.buffered()) - before)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF):
		return errTruncated
	case b.g.readOut.Load():
		return ErrSlow
	}
	return err
}

func (b *body) nextOf() ([]byte, error) {
	p, err := b.take()
	if err == nil && b.left == 0 {
		b.finish()
	}
	return p, err
}

// take returns up to left bytes.
func (b *body) take() ([]byte, error) {
	if len(b.r.buffered()) == 0 {
		if err := b.fill(); err != nil {
			return nil, err
		}
	}
	p := b.r.buffered()
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	b.r.consume(len(p))
	b.left -= int64(len(p))
	return p, nil
}

func (b *body) nextUntilClose() ([]byte, error) {
	if len(b.r.buffered()) == 0 {
		err := b.fill()
		if errors.Is(err, errTruncated) { // here the end of the connection is the end of the body
			b.finish()
			return nil, io.EOF
		}
		if err != nil {
			return nil, err
		}
	}
	p := b.r.buffered()
	b.r.consume(len(p))
	return p, nil
}
