package forward

import (
	"bytes"
	"io"
	"strconv"
)

const (
	maxChunkLine   = 4 << 10  // size and extensions
	maxChunkExcess = 16 << 10 // framing that carries nothing
	maxTrailers    = 16 << 10
	maxTrailerLine = 64 // lines
)

// nextChunk decodes chunked coding (RFC 9112 §7.1).
func (b *body) nextChunk() ([]byte, error) {
	if b.left == 0 {
		if err := b.nextSize(); err != nil {
			return nil, err
		}
		if b.left == 0 {
			if err := b.readTrailers(); err != nil {
				return nil, err
			}
			b.finish()
			return nil, io.EOF
		}
	}
	return b.take()
}

// nextSize reads the end of the chunk before, if any, and a chunk-size line.
func (b *body) nextSize() error {
	if b.inChunk {
		line, err := b.line(maxChunkLine)
		if err != nil {
			return err
		}
		if len(line) != 0 {
			return errChunk
		}
	}
	line, err := b.line(maxChunkLine)
	if err != nil {
		return err
	}
	n, err := chunkSize(line)
	if err != nil {
		return err
	}
	b.left, b.inChunk = n, n > 0
	return b.account(len(line), n)
}

// account refuses bodies that are mostly framing: 1 byte of data in 4 KiB of extensions, again and again.
func (b *body) account(line int, size int64) error {
	b.excess = max(0, b.excess+line-16-int(min(size, 1<<20)))
	if b.excess > maxChunkExcess {
		return errChunk
	}
	return nil
}

// chunkSize reads hexadecimal digits and steps over extensions (RFC 9112 §7.1.1).
func chunkSize(line []byte) (int64, error) {
	n, i := int64(0), 0
	for i < len(line) && hexDigit[line[i]] != 0xff {
		n = n<<4 | int64(hexDigit[line[i]])
		if i++; i > 15 {
			return 0, errChunk
		}
	}
	if i == 0 {
		return 0, errChunk
	}
	if rest := line[i:]; len(rest) > 0 && (rest[0] != ';' || len(rest) == 1 || !cleanValue(rest)) {
		return 0, errChunk
	}
	return n, nil
}

// line reads one line and returns it without CR LF.
func (b *body) line(limit int) ([]byte, error) {
	for {
		have := b.r.buffered()
		if i := bytes.IndexByte(have, '\n'); i >= 0 {
			if i == 0 || have[i-1] != '\r' || i > limit {
				return nil, errChunk
			}
			b.r.consume(i + 1)
			return have[:i-1], nil
		}
		if len(have) > limit {
			return nil, errChunk
		}
		if err := b.fill(); err != nil {
			return nil, err
		}
	}
}

// readTrailers keeps the trailer section (RFC 9112 §7.1.2) without fields that would change what was
// already decided: framing, routing, who the client is.
func (b *body) readTrailers() error {
	for n := 0; ; n++ {
		line, err := b.line(maxTrailers)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return nil
		}
		if n == maxTrailerLine || len(b.lines)+len(line) > maxTrailers {
			return errChunk
		}
		if err := b.keepTrailer(line); err != nil {
			return err
		}
	}
}

func (b *body) keepTrailer(line []byte) error {
	start := len(b.lines)
	b.lines = append(append(b.lines, line...), '\r', '\n')
	f, err := parseField(b.lines, start)
	if err != nil {
		return errChunk
	}
	if f.kind != plain {
		b.lines = b.lines[:start]
	}
	return nil
}

// appendChunkSize writes n as a chunk-size line.
func appendChunkSize(dst []byte, n int) []byte {
	return append(strconv.AppendUint(dst, uint64(n), 16), crlf...)
}
