package relay

import (
	"bytes"
	"maps"
	"sync"
	"sync/atomic"
)

// shortPath is what normalising does without the heap.
const shortPath = 256

// isInbox tells whether a raw path is an inbox in any spelling that some server
// behind us could answer. It may say yes to more: such a request is read whole
// and, when it is not MLS, forwarded as it came.
func (r *Relay) isInbox(path []byte) bool {
	named := r.named.load()
	if len(named) == 0 && bytes.IndexByte(path, '%') < 0 && !containsFold(path, "inbox") {
		return false
	}
	var buf [shortPath]byte
	plain := normalise(buf[:0], path)
	if endsInInbox(plain) {
		return true
	}
	_, ok := named[string(plain)]
	return ok
}

func endsInInbox(plain []byte) bool {
	return bytes.HasSuffix(plain, []byte("/inbox")) || bytes.HasSuffix(plain, []byte("/shared-inbox"))
}

// normalise appends to dst the one spelling of a path: percent escapes decoded
// until none is left, what then reads as query or fragment dropped, slashes
// squeezed, dot segments resolved (RFC 3986 §5.2.4), ASCII lower-cased, without
// trailing slash, blanks or format suffix. It is linear in the path.
func normalise(dst, path []byte) []byte {
	start := len(dst)
	for _, c := range path {
		dst = decodeTail(append(dst, c), start)
	}
	plain := dst[start:]
	if end := bytes.IndexAny(plain, "?#"); end >= 0 {
		plain = plain[:end]
	}
	for i, c := range plain {
		if 'A' <= c && c <= 'Z' {
			plain[i] = c | 0x20
		}
	}
	return dst[:start+len(withoutSuffix(resolve(plain)))]
}

// decodeTail replaces an escape at the end of b by its byte, and again while that
// completes another one: escapes cannot overlap, so the order does not matter.
func decodeTail(b []byte, start int) []byte {
	for len(b)-start >= 3 && b[len(b)-3] == '%' {
		high, low := unhex(b[len(b)-2]), unhex(b[len(b)-1])
		if high < 0 || low < 0 {
			break
		}
		b = append(b[:len(b)-3], byte(high<<4|low))
	}
	return b
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// resolve removes empty and dot segments in place; the result has no trailing
// slash. What it writes is never longer than what it has read.
func resolve(path []byte) []byte {
	out := path[:0]
	for rest := path; len(rest) > 0; {
		segment, after, _ := bytes.Cut(rest, []byte("/"))
		rest = after
		switch string(trimBlank(segment)) {
		case "", ".":
		case "..":
			out = out[:max(bytes.LastIndexByte(out, '/'), 0)]
		default:
			out = append(append(out, '/'), segment...)
		}
	}
	return trimBlank(out)
}

// withoutSuffix drops a format suffix (.json) from the last segment.
func withoutSuffix(path []byte) []byte {
	last := bytes.LastIndexByte(path, '/') + 1
	if dot := bytes.IndexByte(path[last:], '.'); dot > 0 {
		path = path[:last+dot]
	}
	return trimBlank(path)
}

// trimBlank drops trailing spaces and control bytes: a pattern that ends in \Z
// or a lenient parser does not see them.
func trimBlank(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] <= ' ' || b[len(b)-1] == 0x7f) {
		b = b[:len(b)-1]
	}
	return b
}

// maxNamed bounds the inboxes learned; only software whose inboxes do not end in
// /inbox has any.
const maxNamed = 10_000

// namedInboxes are normalised paths that actor documents call inboxes, each with
// its actor, or "" for a shared one. Reading takes no lock.
type namedInboxes struct {
	paths atomic.Pointer[map[string]string]
	mu    sync.Mutex // held while a new map is made
}

func (n *namedInboxes) load() map[string]string {
	if m := n.paths.Load(); m != nil {
		return *m
	}
	return nil
}

// learn remembers an inbox by its path, unless its spelling gives it away.
func (n *namedInboxes) learn(path []byte, actor string) {
	plain := normalise(nil, path)
	if len(plain) == 0 || endsInInbox(plain) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.load()
	if known, ok := old[string(plain)]; (ok && known == actor) || len(old) >= maxNamed {
		return
	}
	m := make(map[string]string, len(old)+1)
	maps.Copy(m, old)
	m[string(plain)] = actor
	n.paths.Store(&m)
}
