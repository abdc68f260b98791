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
	switch len(name) {
	case 2:
		return pick(name, "te", te)
	case 4:
		return pick(name, "host", host)
	case 6:
		if k := pick(name, "cookie", cookie); k != plain {
			return k
		}
		return pick(name, "expect", expect)
	case 7:
		if k := pick(name, "upgrade", upgrade); k != plain {
			return k
		}
		return pick(name, "trailer", trailer)
	case 9:
		if k := pick(name, "x-real-ip", realIP); k != plain {
			return k
		}
		return pick(name, "forwarded", forwarded)
	case 10:
		if k := pick(name, "connection", connection); k != plain {
			return k
		}
		return pick(name, "keep-alive", hopByHop)
	}
	return longKind(name)
}

func longKind(name []byte) kind {
	switch len(name) {
	case 14:
		if k := pick(name, "content-length", contentLength); k != plain {
			return k
		}
		if k := pick(name, "http2-settings", http2Settings); k != plain {
			return k
		}
	case 15:
		if k := pick(name, "x-forwarded-for", forwardedFor); k != plain {
			return k
		}
	case 16:
		if k := pick(name, "proxy-connection", hopByHop); k != plain {
			return k
		}
	case 17:
		if k := pick(name, "transfer-encoding", transferEncoding); k != plain {
			return k
		}
		if k := pick(name, "x-forwarded-proto", forwardedProto); k != plain {
			return k
		}
	}
	if len(name) > 12 && is(name[:12], "x-forwarded-") {
		return forwarded
	}
	return plain
}

func pick(name []byte, lower string, k kind) kind {
	if is(name, lower) {
		return k
	}
	return plain
}
