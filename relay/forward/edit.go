package forward

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"strconv"

	"github.com/valyala/fasthttp"
)

// maxDocument is Edit.MaxBytes unless it says otherwise.
const maxDocument = 1 << 20

// PassEdited is Pass for a GET or HEAD whose reply e may change. The upstream is asked for the whole
// document, uncoded and unconditionally. A reply other than 200, one that is coded or larger than
// e.MaxBytes, and one that e.Document declines, pass as they are. A changed one gets its own
// Content-Length and a strong ETag made from its bytes, by which If-None-Match is answered.
func (u *Upstream) PassEdited(ctx *fasthttp.RequestCtx, e Edit) {
	e.MaxBytes = positive(e.MaxBytes, maxDocument)
	u.serve(ctx, manner{edit: e})
}

// carryEdited passes the reply on, changed if it can be.
func (h *hop) carryEdited(hd *head, f framing) error {
	h.keepHead(hd)
	if !h.editable(hd, f) {
		return h.carryGot(hd, f)
	}
	whole, err := h.gather()
	if err != nil {
		return err
	}
	if whole {
		if doc, ok := h.how.edit.Document(Reply{Status: hd.status, Body: h.doc, head: hd}); ok {
			return h.carryDocument(hd, doc)
		}
	}
	return h.carryGot(hd, f)
}

// keepHead moves hd out of the link's buffer, which the body needs.
func (h *hop) keepHead(hd *head) {
	h.reply = append(h.reply[:0], hd.raw...)
	hd.raw = h.reply
}

func (h *hop) editable(hd *head, f framing) bool {
	coding := hd.value("content-encoding")
	return hd.status == 200 && (len(coding) == 0 || is(coding, "identity")) &&
		(f != byLength || hd.length <= int64(h.how.edit.MaxBytes))
}

// gather reads the document into h.doc; false: it is larger than may be.
func (h *hop) gather() (bool, error) {
	for {
		p, err := h.l.in.next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if h.doc = append(h.doc, p...); len(h.doc) > h.how.edit.MaxBytes {
			return false, nil
		}
	}
}

// carryGot passes the reply on as it is: what was gathered and what is still to come.
func (h *hop) carryGot(hd *head, f framing) error {
	h.status = hd.status
	if h.x.request().isHead() { // it was asked as GET; nobody wants the body
		h.x.start(hd, noBody)
		return toClient(h.x.finish(nil))
	}
	h.x.start(hd, f)
	if err := h.x.write(h.doc); err != nil {
		return toClient(err)
	}
	return h.copyBody()
}

// carryDocument answers with doc, or with 304 if the client has it.
func (h *hop) carryDocument(hd *head, doc []byte) error {
	etag := etagOf(doc)
	same := h.x.request().matches(etag)
	var edited head
	h.out = appendEditedHead(h.out[:0], hd, edit{etag: etag, length: int64(len(doc)), same: same, origin: h.how.edit.Origin})
	if err := edited.parseReply(h.out); err != nil {
		return err
	}
	f := byLength
	if same || h.x.request().isHead() {
		f, doc = noBody, nil
	}
	h.status = edited.status
	h.x.start(&edited, f)
	if err := h.x.write(doc); err != nil {
		return toClient(err)
	}
	return toClient(h.x.finish(nil))
}

// edit is what changes in the head of an edited document.
type edit struct {
	etag   []byte
	length int64
	same   bool // the client has it: 304
	origin string
}

// appendEditedHead writes hd for the edited document, every other line in its place. What was computed from
// the bytes before goes.
func appendEditedHead(dst []byte, hd *head, e edit) []byte {
	if e.same {
		dst = append(dst, "HTTP/1.1 304 Not Modified\r\n"...)
	} else {
		dst = append(dst, hd.raw[:hd.line]...)
	}
	tagged, measured, opened := false, e.same, e.origin == ""
	for i := range hd.fields {
		f := &hd.fields[i]
		switch {
		case f.kind == contentLength || f.kind == transferEncoding:
			if !measured {
				dst, measured = appendLength(dst, hd, f, e.length), true
			}
		case f.isOneOf(hd, "etag"):
			if !tagged {
				dst = append(append(dst, hd.raw[f.start:f.nameEnd]...), ": "...)
				dst, tagged = append(append(dst, e.etag...), crlf...), true
			}
		case f.kind == trailer, f.isOneOf(hd, "accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"):
		default:
			opened = opened || f.isOneOf(hd, "access-control-allow-origin")
			dst = append(dst, hd.raw[f.start:f.end]...)
		}
	}
	if !opened {
		dst = append(append(append(dst, "Access-Control-Allow-Origin: "...), e.origin...), crlf...)
	}
	if !measured {
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), e.length, 10), crlf...)
	}
	if !tagged {
		dst = append(append(append(dst, "ETag: "...), e.etag...), crlf...)
	}
	return append(dst, crlf...)
}

func appendLength(dst []byte, hd *head, f *field, n int64) []byte {
	if f.kind == contentLength {
		dst = append(append(dst, hd.raw[f.start:f.nameEnd]...), ": "...)
	} else {
		dst = append(dst, "Content-Length: "...)
	}
	return append(strconv.AppendInt(dst, n, 10), crlf...)
}

// etagOf returns a strong entity tag made from the bytes of doc.
func etagOf(doc []byte) []byte {
	sum := sha256.Sum256(doc)
	return append(base64.RawURLEncoding.AppendEncode([]byte{'"'}, sum[:18]), '"')
}

// matches reports whether If-None-Match lists etag or anything (RFC 9110 §13.1.2, weak comparison).
func (h *head) matches(etag []byte) bool {
	for i := range h.fields {
		f := &h.fields[i]
		if !f.isOneOf(h, "if-none-match") {
			continue
		}
		list := h.val(f)
		for len(list) > 0 {
			var tag []byte
			tag, list = cut(list)
			if len(tag) > 2 && tag[0] == 'W' && tag[1] == '/' {
				tag = tag[2:]
			}
			if string(tag) == string(etag) || string(tag) == "*" {
				return true
			}
		}
	}
	return false
}
