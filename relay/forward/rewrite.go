package forward

import (
	"bytes"
	"net/netip"
)

// replyEdits is what a reply head loses and gains on its way to an HTTP/1.1 client.
type replyEdits struct {
	close bool // the connection ends after it
	old   bool // the client speaks HTTP/1.0
	bare  bool // chunks are taken off: Transfer-Encoding and Trailer go
}

// appendReply writes the head of a reply: status, reason and lines as they came, without what belongs to
// the upstream's connection.
func appendReply(dst []byte, h *head, e replyEdits) []byte {
	dst = append(dst, "HTTP/1.1"...)
	dst = append(dst, h.raw[len("HTTP/1.1"):h.line]...)
	if !h.hasHop && !e.bare {
		dst = append(dst, h.raw[h.line:len(h.raw)-2]...)
	} else {
		dst = appendReplyLines(dst, h, &e)
	}
	switch {
	case h.status < 200 && h.status != 101:
	case h.status == 101, h.status == 426 && h.upgrades:
		dst = append(dst, "Connection: Upgrade\r\n"...)
	case e.close:
		dst = append(dst, "Connection: close\r\n"...)
	case e.old:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return append(dst, '\r', '\n')
}

func appendReplyLines(dst []byte, h *head, e *replyEdits) []byte {
	for i := range h.fields {
		f := &h.fields[i]
		switch f.kind {
		case connection, hopByHop, te, listed:
			continue
		case upgrade:
			if h.status != 101 && (h.status != 426 || !h.upgrades) {
				continue
			}
		case transferEncoding, trailer:
			if e.bare {
				continue
			}
		}
		dst = append(dst, h.raw[f.start:f.end]...)
	}
	return dst
}

func (f *field) isOneOf(h *head, names ...string) bool {
	for _, n := range names {
		if is(h.name(f), n) {
			return true
		}
	}
	return false
}

// requestEdits is what a request head loses on its way to the upstream, besides what the hop takes.
type requestEdits struct {
	identity bool   // ask for the whole document, uncoded and unconditionally
	cookie   string // of the gateway's own: hidden
	asGet    bool   // a HEAD that is asked as GET
}

// appendRequest writes h for the upstream: the lines as they came, without what belongs to the client's
// connection, with what tells the upstream about it.
func appendRequest(dst []byte, h *head, v *via, e *requestEdits) []byte {
	if e.asGet {
		dst = append(append(append(dst, "GET "...), h.target...), " HTTP/1.1\r\n"...)
	} else {
		dst = appendRequestLine(dst, h)
	}
	run := h.line // lines from here on are kept and not yet written
	for i := range h.fields {
		f := &h.fields[i]
		if f.kind == plain && !e.identity || f.kind == host || f.kind == contentLength {
			continue
		}
		dst = append(dst, h.raw[run:f.start]...)
		run = f.end
		dst = appendSpecial(dst, h, i, v, e)
	}
	dst = append(dst, h.raw[run:len(h.raw)-2]...)
	dst = appendForwarded(dst, h, v)
	if e.identity {
		dst = append(dst, "Accept-Encoding: identity\r\n"...)
	}
	return append(dst, '\r', '\n')
}

// appendRequestLine writes the request line for this connection: HTTP/1.1, unless the client said less and
// named no host, without which HTTP/1.1 is not valid.
func appendRequestLine(dst []byte, h *head) []byte {
	if h.minor == '1' || h.hosts == 0 {
		return append(dst, h.raw[:h.line]...)
	}
	return append(append(dst, h.raw[:h.line-3]...), "1\r\n"...)
}

// appendSpecial writes line i, or what it becomes.
func appendSpecial(dst []byte, h *head, i int, v *via, e *requestEdits) []byte {
	f := &h.fields[i]
	line := h.raw[f.start:f.end]
	switch f.kind {
	case hopByHop, http2Settings, listed:
		return dst
	case connection:
		return appendUpgradeConnection(dst, h, i)
	case upgrade:
		if !h.upgrades {
			return dst
		}
	case te:
		if !lists(h.val(f), "trailers") {
			return dst
		}
		return append(append(dst, h.raw[f.start:f.nameEnd]...), ": trailers\r\n"...)
	case cookie:
		return appendCookie(dst, h, f, e.cookie)
	case forwardedFor:
		if !v.trusted {
			return dst
		}
		if i == h.lastFor && v.peer.IsValid() {
			return appendPeer(dst, h, f, v.peer)
		}
	case forwardedProto, realIP, forwarded:
		if !v.trusted {
			return dst
		}
	case mimicry:
		return dst
	default:
		if e.identity && f.kind == plain && f.isOneOf(h, "if-none-match", "if-modified-since", "if-match",
			"if-unmodified-since", "if-range", "range", "accept-encoding") {
			return dst
		}
	}
	return append(dst, line...)
}

// appendUpgradeConnection keeps of Connection what an upgrade needs, as it came if it was nothing else.
func appendUpgradeConnection(dst []byte, h *head, i int) []byte {
	f := &h.fields[i]
	if !h.upgrades || !lists(h.val(f), "upgrade") {
		return dst
	}
	if is(h.val(f), "upgrade") {
		return append(dst, h.raw[f.start:f.end]...)
	}
	return append(append(dst, h.raw[f.start:f.nameEnd]...), ": Upgrade\r\n"...)
}

func appendPeer(dst []byte, h *head, f *field, peer netip.Addr) []byte {
	dst = append(dst, h.raw[f.start:f.valueEnd]...)
	if f.valueEnd > f.value {
		dst = append(dst, ',', ' ')
	}
	return append(peer.AppendTo(dst), '\r', '\n')
}

// appendForwarded adds the forwarded headers that nobody trusted has set.
func appendForwarded(dst []byte, h *head, v *via) []byte {
	none := h.lastFor < 0 && !h.hasProto && !h.hasRealIP
	if none && v.peer.IsValid() || !v.trusted {
		return append(dst, v.lines...)
	}
	if h.lastFor < 0 && v.peer.IsValid() {
		dst = v.appendFor(dst)
	}
	if !h.hasProto {
		dst = v.appendProto(dst)
	}
	if a := v.client(h); !h.hasRealIP && a.IsValid() {
		dst = v.appendReal(dst, a)
	}
	return dst
}

// appendCookie writes a Cookie line without the cookies whose names begin with hide (RFC 6265 §4.2.1).
func appendCookie(dst []byte, h *head, f *field, hide string) []byte {
	if hide == "" || !bytes.Contains(h.val(f), []byte(hide)) {
		return append(dst, h.raw[f.start:f.end]...)
	}
	start := len(dst)
	dst = append(append(dst, h.raw[f.start:f.nameEnd]...), ": "...)
	first := len(dst)
	for c := range bytes.SplitSeq(h.val(f), []byte(";")) {
		c = trim(c)
		name, _, _ := bytes.Cut(c, []byte("="))
		if bytes.HasPrefix(trim(name), []byte(hide)) || len(c) == 0 {
			continue
		}
		if len(dst) > first {
			dst = append(dst, ';', ' ')
		}
		dst = append(dst, c...)
	}
	if len(dst) == first {
		return dst[:start]
	}
	return append(dst, '\r', '\n')
}
