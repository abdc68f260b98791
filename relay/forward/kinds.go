package forward

import "bytes"

// kind says what a header line means to a hop.
type kind uint8

const (
	plain            kind = iota
	connection            // hop-by-hop, RFC 9110 §7.6.1
	hopByHop              // Keep-Alive, Proxy-Connection
	te                    // TE
	transferEncoding      // Transfer-Encoding
	upgrade               // Upgrade
	http2Settings         // HTTP2-Settings, of a cleartext HTTP/2 upgrade
	contentLength         // Content-Length
	host                  // Host
	expect                // Expect
	trailer               // Trailer
	cookie                // Cookie
	forwardedFor          // X-Forwarded-For
	forwardedProto        // X-Forwarded-Proto
	realIP                // X-Real-IP
	forwarded             // Forwarded and every other X-Forwarded-*
	mimicry               // a forwarded header spelled with underscores
	ambiguous             // a framing header spelled with underscores
	listed                // named by Connection
)

// kindOf classifies a field name. Rack turns "-" and "_" into the same name, so a header spelled with
// underscores must not smuggle in what the hop decides.
func kindOf(name []byte) kind {
	if bytes.IndexByte(name, '_') < 0 {
		return dashedKind(name)
	}
	switch dashedKind(bytes.ReplaceAll(name, []byte("_"), []byte("-"))) {
	case contentLength, transferEncoding:
		return ambiguous
	case forwardedFor, forwardedProto, realIP, forwarded:
		return mimicry
	default:
		return plain
	}
}

func dashedKind(name []byte) kind {
	if len(name) < len(known) {
		for _, k := range known[len(name)] {
			if is(name, k.lower) {
				return k.kind
			}
		}
	}
	if len(name) > 12 && is(name[:12], "x-forwarded-") {
		return forwarded
	}
	return plain
}

type knownName struct {
	lower string
	kind  kind
}

// known holds the names that mean something to a hop, by their length.
var known = func() (t [18][]knownName) { //nolint:gochecknoglobals // a table, never written
	for _, k := range []knownName{
		{"te", te},
		{"host", host},
		{"cookie", cookie},
		{"expect", expect},
		{"upgrade", upgrade},
		{"trailer", trailer},
		{"x-real-ip", realIP},
		{"forwarded", forwarded},
		{"connection", connection},
		{"keep-alive", hopByHop},
		{"content-length", contentLength},
		{"http2-settings", http2Settings},
		{"x-forwarded-for", forwardedFor},
		{"proxy-connection", hopByHop},
		{"transfer-encoding", transferEncoding},
		{"x-forwarded-proto", forwardedProto},
	} {
		t[len(k.lower)] = append(t[len(k.lower)], k)
	}
	return t
}()
