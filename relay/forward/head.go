package forward

import "bytes"

// field is one header line: offsets into its head's bytes.
type field struct {
	start, nameEnd  int // the line begins at start, the name ends before nameEnd (the colon)
	value, valueEnd int // without surrounding whitespace
	end             int // after CR LF
	kind            kind
}

// head is a parsed request or reply head. It borrows raw.
type head struct {
	raw    []byte // start line to blank line, inclusive
	line   int    // length of the start line with CR LF
	fields []field

	length    int64 // Content-Length, or -1
	chunked   bool
	announces bool // Trailer
	close     bool // Connection: close
	keep      bool // Connection: keep-alive
	minor     byte // '0' or '1' of HTTP/1.x
	hasHop    bool // some line must not travel on

	// Requests.
	method, target []byte
	host           []byte
	hosts          int
	expects        bool // 100-continue
	upgrades       bool
	lastFor        int // index of the last X-Forwarded-For, or -1
	hasProto       bool
	hasRealIP      bool

	// Replies.
	status int
}

func (h *head) name(f *field) []byte { return h.raw[f.start:f.nameEnd] }
func (h *head) val(f *field) []byte  { return h.raw[f.value:f.valueEnd] }

// value returns the first value called name, in any case, or nil.
func (h *head) value(name string) []byte {
	for i := range h.fields {
		if f := &h.fields[i]; bytes.EqualFold(h.name(f), []byte(name)) {
			return h.val(f)
		}
	}
	return nil
}

// headEnd looks for the blank line that ends a head, starting at from; b[:from] was searched before.
// It returns the length of the head, or 0 and where to go on. Each line must end in CR LF.
func headEnd(b []byte, from int) (end, next int, err error) {
	for from < len(b) {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, len(b), nil
		}
		i += from
		if i == 0 || b[i-1] != '\r' {
			return 0, 0, errBareLF
		}
		if i == 1 || b[i-2] == '\n' {
			return i + 1, 0, nil
		}
		from = i + 1
	}
	return 0, from, nil
}

// reset prepares h for the head raw, keeping its field table.
func (h *head) reset(raw []byte) {
	*h = head{raw: raw, fields: h.fields[:0], length: -1, lastFor: -1}
}

// parseFields reads the header lines after the start line and understands those about framing.
func (h *head) parseFields(limit int) error {
	pos := h.line
	for {
		if h.raw[pos] == '\r' { // headEnd saw to it that this is the blank line or an error
			if pos+2 != len(h.raw) {
				return errFieldLine
			}
			break
		}
		if len(h.fields) == limit {
			return errTooManyFields
		}
		f, err := parseField(h.raw, pos)
		if err != nil {
			return err
		}
		if err := h.understand(&f); err != nil {
			return err
		}
		h.fields = append(h.fields, f)
		pos = f.end
	}
	return h.settle()
}

// parseField reads the line at pos (RFC 9112 §5), which ends in LF somewhere.
func parseField(b []byte, pos int) (field, error) {
	f := field{start: pos}
	i := pos
	for token[b[i]] {
		i++
	}
	if b[i] != ':' || i == pos {
		if i == pos && (b[i] == ' ' || b[i] == '\t') {
			return f, errFolded
		}
		return f, errFieldLine
	}
	f.nameEnd = i
	lf := bytes.IndexByte(b[i:], '\n') + i
	value := trim(b[i+1 : lf-1])
	if !cleanValue(value) {
		return f, errFieldLine
	}
	f.end = lf + 1
	f.valueEnd = lf - 1
	for f.valueEnd > i+1 && (b[f.valueEnd-1] == ' ' || b[f.valueEnd-1] == '\t') {
		f.valueEnd--
	}
	f.value = f.valueEnd - len(value)
	f.kind = kindOf(b[pos:i])
	return f, nil
}

// understand notes what f says about the message.
func (h *head) understand(f *field) error {
	switch f.kind {
	case plain:
	case contentLength:
		return h.readLength(h.val(f))
	case transferEncoding:
		if h.chunked || !is(h.val(f), "chunked") {
			return errCoding
		}
		h.chunked = true
	case connection:
		h.hasHop = true
		h.close = h.close || lists(h.val(f), "close")
		h.keep = h.keep || lists(h.val(f), "keep-alive")
	case host:
		h.host = h.val(f)
		h.hosts++
	case expect:
		h.expects = h.expects || is(h.val(f), "100-continue")
	case ambiguous:
		return errLength
	case forwardedFor:
		h.lastFor = len(h.fields)
	case forwardedProto:
		h.hasProto = true
	case realIP:
		h.hasRealIP = true
	case trailer:
		h.announces = true
	case cookie:
	default:
		h.hasHop = true
	}
	return nil
}

// readLength accepts one Content-Length of digits (RFC 9110 §8.6).
func (h *head) readLength(v []byte) error {
	if h.length >= 0 || len(v) == 0 || len(v) > 18 {
		return errLength
	}
	n := int64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return errLength
		}
		n = n*10 + int64(c-'0')
	}
	h.length = n
	return nil
}

// settle checks the lines against each other and marks those that Connection names.
func (h *head) settle() error {
	if h.chunked && h.length >= 0 {
		return errBothLengths
	}
	if h.chunked && h.minor == '0' {
		return errCoding
	}
	if h.hasHop {
		h.markListed()
	}
	return nil
}

// markListed marks lines named by Connection as hop-by-hop (RFC 9110 §7.6.1). Framing, Host and what
// the hop itself decides cannot be named away.
func (h *head) markListed() {
	for i := range h.fields {
		if h.fields[i].kind != connection {
			continue
		}
		list := h.val(&h.fields[i])
		for len(list) > 0 {
			var name []byte
			name, list = cut(list)
			h.markName(name)
		}
	}
}

func (h *head) markName(name []byte) {
	if is(name, "close") || is(name, "keep-alive") {
		return
	}
	for i := range h.fields {
		f := &h.fields[i]
		if (f.kind == plain || f.kind == cookie || f.kind == trailer) && bytes.EqualFold(h.name(f), name) {
			f.kind = listed
		}
		if f.kind == upgrade && is(name, "upgrade") {
			h.upgrades = true
		}
	}
}
