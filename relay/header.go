package relay

import (
	"bytes"
	"iter"
	"slices"

	"github.com/valyala/fasthttp"
)

// values gives the value of every header line called name, in any case (RFC 9110 §5.1). Names are
// kept as they came, so that fasthttp's own look-up would miss those spelled otherwise. The bytes
// are borrowed from h.
func values(h *fasthttp.RequestHeader, name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for n, v := range h.All() {
			if len(n) == len(name) && bytes.EqualFold(n, []byte(name)) && !yield(v) {
				return
			}
		}
	}
}

// value is the first of values, or nil.
func value(h *fasthttp.RequestHeader, name string) []byte {
	for v := range values(h, name) {
		return v
	}
	return nil
}

// wanted is all that Accept has in one list (RFC 9110 §5.3). A single value is borrowed from h.
func wanted(h *fasthttp.RequestHeader) []byte {
	var list []byte
	for v := range values(h, fasthttp.HeaderAccept) {
		if list == nil {
			list = slices.Clip(v) // so that what is appended goes elsewhere
			continue
		}
		list = append(append(list, ','), v...)
	}
	return list
}
