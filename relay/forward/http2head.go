package forward

import (
	"net/http"
	"slices"
	"strings"
)

// appendHead2 writes the head of an HTTP/2 request as HTTP/1.1 would have it, so that the one strict parser
// judges both. What could not be written without changing its meaning is an error (RFC 9113 §8.2.1, §8.3.1,
// §10.3). Names are lower case, as on the wire; the order of different names is not known here, so it is
// that of the alphabet.
func appendHead2(dst []byte, r *http.Request) ([]byte, error) {
	if !tokens(r.Method) {
		return nil, errStartLine
	}
	if r.RequestURI == "" || strings.ContainsFunc(r.RequestURI, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return nil, errTarget
	}
	if !cleanHost([]byte(r.Host)) {
		return nil, errHost
	}
	dst = append(append(append(dst, r.Method...), ' '), r.RequestURI...)
	dst = append(append(append(dst, " HTTP/1.1\r\nhost: "...), r.Host...), crlf...)
	for _, name := range sortedNames(r.Header) {
		for _, value := range r.Header[name] {
			if !tokens(name) || !cleanValue([]byte(value)) {
				return nil, errFieldLine
			}
			dst = appendField2(dst, name, value)
		}
	}
	return appendFraming2(dst, r)
}

// appendFraming2 says how the body is framed towards the instance.
func appendFraming2(dst []byte, r *http.Request) ([]byte, error) {
	declared := r.Header["Content-Length"]
	switch {
	case len(r.Header["Transfer-Encoding"]) > 0:
		return nil, errCoding
	case r.ContentLength == 0 && len(declared) > 0 && declared[0] != "0": // the head ended the stream
		return nil, errLength
	case r.ContentLength < 0:
		dst = append(dst, "transfer-encoding: chunked\r\n"...)
	}
	if len(r.Trailer) > 0 && r.ContentLength < 0 {
		dst = appendField2(dst, "trailer", strings.Join(sortedNames(r.Trailer), ", "))
	}
	return append(dst, crlf...), nil
}

func appendField2(dst []byte, name, value string) []byte {
	dst = append(append(dst, strings.ToLower(name)...), ':', ' ')
	return append(append(dst, value...), crlf...)
}

func sortedNames(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func tokens(s string) bool {
	for i := range len(s) {
		if !token[s[i]] {
			return false
		}
	}
	return s != ""
}

// appendTrailers2 writes the trailers of a request as lines, without those that would change what was
// already decided.
func appendTrailers2(dst []byte, t http.Header) []byte {
	for _, name := range sortedNames(t) {
		for _, value := range t[name] {
			if tokens(name) && cleanValue([]byte(value)) && kindOf([]byte(name)) == plain {
				dst = appendField2(dst, name, value)
			}
		}
	}
	return dst
}

// setHead2 puts the lines of a reply into out, without those of the upstream's connection (RFC 9113 §8.2.2).
// What the library would add is held back by entries without value.
func setHead2(out http.Header, h *head) {
	clear(out)
	for i := range h.fields {
		switch f := &h.fields[i]; f.kind {
		case connection, hopByHop, te, listed, upgrade, transferEncoding:
		default:
			name := http.CanonicalHeaderKey(string(h.name(f)))
			out[name] = append(out[name], string(h.val(f)))
		}
	}
	if h.status == http.StatusNoContent {
		delete(out, "Content-Length") // clients end a stream that has one (RFC 9110 §8.6)
	}
	for _, name := range []string{"Content-Type", "Content-Length", "Date"} {
		if _, ok := out[name]; !ok {
			out[name] = nil
		}
	}
}
