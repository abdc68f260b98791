package forward_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/relay/forward"
)

// wire is one exchange, byte for byte on both sides.
type wire struct {
	name    string
	send    string // the client sends
	reaches string // the upstream gets; without the line that ends the head, `added` and a blank line follow
	reply   string // the upstream sends
	closes  bool   // … and closes
	returns string // the client gets
	ends    bool   // … and then the end; otherwise the connection serves another request
	broken  bool   // … and then an error or an early end, whatever the framing
	trusted bool   // the peer is a trusted proxy: reaches is complete
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// tokenBytes are those a method and a field's name may have (RFC 9110 §5.6.2).
const tokenBytes = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// namesOfEveryLength are lines whose names mean nothing.
func namesOfEveryLength() (lines string) {
	for n := range 40 {
		lines += strings.Repeat("x", n+1) + ": 1\r\n"
	}
	return lines
}

func simple(name, head string) wire {
	return wire{name: name, send: head + "\r\n", reaches: head, reply: ok, returns: ok}
}

var requests = []wire{
	simple("order, casing and duplicates", "GET /x HTTP/1.1\r\nb: 1\r\nHoSt: social.example\r\nA: 1\r\nB: 2\r\na: 3\r\nUSER-agent: x\r\nCookie: a=1\r\ncookie: b=2\r\n"),
	simple("odd whitespace and empty values", "GET / HTTP/1.1\r\nHost:social.example\r\nA:  \t b \t \r\nEmpty:\r\nEmpty2: \r\n"),
	simple("bytes beyond ASCII", "GET /caf\xc3\xa9?\xff HTTP/1.1\r\nHost: a\r\nX: caf\xe9\r\n"),
	simple("double slash and URL in query", "GET //x/p?u=http://y/z HTTP/1.1\r\nHost: a\r\n"),
	simple("empty query", "GET /p? HTTP/1.1\r\nHost: a\r\n"),
	simple("fragment", "GET /p?q#f HTTP/1.1\r\nHost: a\r\n"),
	simple("dots and escapes", "GET /a/../b/./%2e%2E/%c3%28/%zz?%% HTTP/1.1\r\nHost: a\r\n"),
	simple("options asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n"),
	simple("absolute form", "GET http://other.example/p?q HTTP/1.1\r\nHost: a\r\n"),
	simple("unknown method", "FROB /p HTTP/1.1\r\nHost: a\r\n"),
	simple("lower-case method", "get /p HTTP/1.1\r\nHost: a\r\n"),
	simple("POST without length", "POST /p HTTP/1.1\r\nHost: a\r\n"),
	simple("POST with length zero", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"),
	simple("forbidden name in Trailer", "GET / HTTP/1.1\r\nHost: a\r\nTrailer: Authorization, Host\r\n"),
	simple("signature headers", "GET / HTTP/1.1\r\nHost: a\r\nDate: Sun, 22 Nov 2026 21:27:18 GMT\r\nSignature: keyId=\"https://x/#k\",headers=\"(request-target) host\"\r\n"),
	simple("a head larger than a buffer", "GET / HTTP/1.1\r\nHost: a\r\nA: "+strings.Repeat("a", 30_000)+"\r\n"),
	simple("every byte of a name", tokenBytes+" /p HTTP/1.1\r\nHost: a\r\n"+tokenBytes+": 1\r\n"),
	simple("names of every length", "GET /p HTTP/1.1\r\nHost: a\r\n"+namesOfEveryLength()),
	simple("every byte of a host", "GET /p HTTP/1.1\r\nHost: !$%&'()*+,-.:;=[]_~0123456789azAZ\r\n"),
	simple("absolute form over TLS", "GET HTTPS://o HTTP/1.1\r\nHost: a\r\n"),
	simple("shortest absolute form", "GET http://o HTTP/1.1\r\nHost: a\r\n"),
	simple("the longest length", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: "+strings.Repeat("0", 18)+"\r\n"),
	simple("whitespace around a length", "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: \t 0 \t\r\n"),
	{
		name: "whitespace around what counts", trusted: true,
		send:    "POST / HTTP/1.1\r\nHost: \ta \t\r\nTransfer-Encoding: \tchunked \t\r\nConnection: x-hop\t ,\t close\t\r\nX-Hop: 1\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		reaches: "POST / HTTP/1.1\r\nHost: \ta \t\r\nTransfer-Encoding: \tchunked \t\r\n" + added + "\r\n3\r\nabc\r\n0\r\n\r\n",
		reply:   ok, returns: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", ends: true,
	},
	{
		name: "capitals", trusted: true,
		send:    "POST / HTTP/1.1\r\nHOST: A\r\nTRANSFER-ENCODING: CHUNKED\r\nX-FORWARDED-FOR: 6.6.6.6\r\nX-FORWARDED-PROTO: https\r\nX-REAL-IP: 9.9.9.9\r\nKEEP-ALIVE: 1\r\nCONNECTION: KEEP-ALIVE, CLOSE\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		reaches: "POST / HTTP/1.1\r\nHOST: A\r\nTRANSFER-ENCODING: CHUNKED\r\nX-FORWARDED-FOR: 6.6.6.6, 127.0.0.1\r\nX-FORWARDED-PROTO: https\r\nX-REAL-IP: 9.9.9.9\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		reply:   ok, returns: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", ends: true,
	},
	{
		name: "HTTP/1.0 has no upgrades", send: "GET / HTTP/1.0\r\nHost: a\r\nConnection: Upgrade, keep-alive\r\nUpgrade: foo\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n", reply: ok, returns: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
	},
	{
		name: "empty line before the request", send: "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\n", reply: ok, returns: ok,
	},
	{
		name: "hop-by-hop headers go",
		send: "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Hop, Host\r\nKeep-Alive: 5\r\nx-hop: 1\r\nProxy-Connection: x\r\nUpgrade: foo\r\nTE: gzip\r\nY: 1\r\n\r\n", reaches: "GET / HTTP/1.1\r\nHost: a\r\nY: 1\r\n",
		reply: ok, returns: ok,
	},
	{
		name:  "TE: trailers stays",
		send:  "GET / HTTP/1.1\r\nHost: a\r\nte: gzip, trailers\r\nConnection: te\r\n\r\n",
		reply: ok, returns: ok, reaches: "GET / HTTP/1.1\r\nHost: a\r\nte: trailers\r\n",
	},
	{
		name:  "cleartext HTTP/2 upgrade is not offered",
		send:  "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
		reply: ok, returns: ok, reaches: "GET / HTTP/1.1\r\nHost: a\r\n",
	},
	{
		name:  "spoofed forwarded headers go",
		send:  "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nx-forwarded-proto: https\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Host: evil\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real_Ip: 6.6.6.6\r\nx_forwarded-proto: https\r\nX-Forwarded_Host: evil\r\nX: 1\r\n\r\n",
		reply: ok, returns: ok, reaches: "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n",
	},
	{
		name: "trusted forwarded headers stay", trusted: true,
		send:    "GET / HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\nHost: a\r\nx-forwarded-FOR: 7.7.7.7\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 7.7.7.7\r\nX-Forwarded-Host: a\r\nX_Forwarded_For: 8.8.8.8\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6\r\nHost: a\r\nx-forwarded-FOR: 7.7.7.7, 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 7.7.7.7\r\nX-Forwarded-Host: a\r\n\r\n",
		reply:   ok, returns: ok,
	},
	{
		name: "what a trusted proxy forgot is set", trusted: true,
		send:    "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9, 127.0.0.7\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9, 127.0.0.7, 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Real-IP: 9.9.9.9\r\n\r\n",
		reply:   ok, returns: ok,
	},
	{
		name: "a trusted proxy that says only how it was asked", trusted: true,
		send:    "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n\r\n",
		reply:   ok, returns: ok,
	},
	{
		name: "a trusted proxy that says only by whom", trusted: true,
		send:    "GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 9.9.9.9\r\nX-Forwarded-For:\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 9.9.9.9\r\nX-Forwarded-For:127.0.0.1\r\nX-Forwarded-Proto: http\r\n\r\n",
		reply:   ok, returns: ok,
	},
	{
		name: "a trusted proxy that says one thing, first", trusted: true,
		send:    "GET / HTTP/1.1\r\nX-Forwarded-For: 9.9.9.9\r\nHost: a\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nX-Forwarded-For: 9.9.9.9, 127.0.0.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\nX-Real-IP: 9.9.9.9\r\n\r\n",
		reply:   ok, returns: ok,
	},
	{
		name: "a trusted proxy that says only who is real", trusted: true,
		send:    "GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 9.9.9.9\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\nX-Real-IP: 9.9.9.9\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\r\n",
		reply:   ok, returns: ok,
	},
	{
		name: "own cookie hidden", send: "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; __Host-sealgate=x; __Host-sealgate-sign-in=z; b=2\r\nCookie: __Host-sealgate=y\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1; b=2\r\n", reply: ok, returns: ok,
	},
	{
		name: "own cookie among what is none", send: "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=__Host-sealgate;; __Host-sealgate ;__host-sealgate=1;b=2;\r\n\r\n",
		reaches: "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=__Host-sealgate; __host-sealgate=1; b=2\r\n", reply: ok, returns: ok,
	},
	{
		name: "HTTP/1.0 closes", send: "GET / HTTP/1.0\r\nHost: a\r\n\r\n", reaches: "GET / HTTP/1.1\r\nHost: a\r\n",
		reply: ok, returns: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", ends: true,
	},
	{
		name: "HTTP/1.0 keeps on request", send: "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", reaches: "GET / HTTP/1.1\r\nHost: a\r\n",
		reply: ok, returns: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok",
	},
	{
		name: "HTTP/1.0 without host", send: "GET / HTTP/1.0\r\n\r\n", reaches: "GET / HTTP/1.0\r\n",
		reply: ok, returns: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", ends: true,
	},
	{
		name: "client asks to close", send: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", reaches: "GET / HTTP/1.1\r\nHost: a\r\n",
		reply: ok, returns: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", ends: true,
	},
}

var replies = []wire{
	{
		name:    "a head larger than a buffer",
		reply:   "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 100_000) + "\r\nContent-Length: 2\r\n\r\nok",
		returns: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 100_000) + "\r\nContent-Length: 2\r\n\r\nok",
	},
	{
		name:    "order, casing, duplicates, reason",
		reply:   "HTTP/1.1 299 All  is \xe9 well\r\nserver: x\r\nB: 1\r\nSet-Cookie: a=1\r\nCONTENT-length: 2\r\ndate: never\r\nset-cookie: b=2\r\nB: 0\r\n\r\nok",
		returns: "HTTP/1.1 299 All  is \xe9 well\r\nserver: x\r\nB: 1\r\nSet-Cookie: a=1\r\nCONTENT-length: 2\r\ndate: never\r\nset-cookie: b=2\r\nB: 0\r\n\r\nok",
	},
	{name: "no reason", reply: "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", returns: "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"},
	{name: "not even a space", reply: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", returns: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"},
	{
		name:    "hop-by-hop",
		reply:   "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nContent-Length: 2\r\nUpgrade: h2\r\n\r\nok",
		returns: ok,
	},
	{
		name:    "hop-by-hop without Connection",
		reply:   "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: trailers\r\nContent-Length: 2\r\nUpgrade: h2\r\n\r\nok",
		returns: ok,
	},
	{
		name:    "an upgrade nobody asked for is offered",
		reply:   "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nUpgrade: h2,h2c\r\nConnection: Upgrade, Keep-Alive\r\n\r\nok",
		returns: ok,
	},
	{
		name: "426 without its line", reply: "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nContent-Length: 0\r\n\r\n",
		returns: "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n",
	},
	{
		name: "upstream closes after", closes: true,
		reply: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", returns: ok,
	},
	{
		name:    "chunked with extensions and trailers",
		reply:   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3;a=b\r\nabc\r\n00000000000000A\r\n0123456789\r\n0\r\nX-T: 1\r\nx-t:2\r\n\r\n",
		returns: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\nX-T: 1\r\nx-t:2\r\n\r\n",
	},
	{
		name:    "capitals in sizes",
		reply:   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nF\r\n0123456789abcde\r\nB\r\n0123456789a\r\n0C\r\n0123456789ab\r\nd\r\n0123456789abc\r\ne\r\n0123456789abcd\r\n0\r\n\r\n",
		returns: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n0123456789abcde\r\nb\r\n0123456789a\r\nc\r\n0123456789ab\r\nd\r\n0123456789abc\r\ne\r\n0123456789abcd\r\n0\r\n\r\n",
	},
	{
		name: "long extensions of long chunks", send: "GET / HTTP/1.0\r\nHost: a\r\n\r\n", ends: true,
		reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
			strings.Repeat("3e8;"+strings.Repeat("x", 1000)+"\r\n"+strings.Repeat("a", 1000)+"\r\n", 40) + "0\r\n\r\n",
		returns: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + strings.Repeat("a", 40_000),
	},
	{
		name: "chunked to HTTP/1.0", send: "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", ends: true,
		reply:   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\nA: 1\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
		returns: "HTTP/1.1 200 OK\r\nA: 1\r\nConnection: close\r\n\r\nabc",
	},
	{
		name: "close-delimited", closes: true, ends: true,
		reply: "HTTP/1.1 200 OK\r\nA: 1\r\n\r\nuntil the end", returns: "HTTP/1.1 200 OK\r\nA: 1\r\nConnection: close\r\n\r\nuntil the end",
	},
	{
		name: "HTTP/1.0 upstream", closes: true, ends: true,
		reply: "HTTP/1.0 200 OK\r\n\r\nold", returns: "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nold",
	},
	{
		name: "HEAD with length", send: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		reply: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", returns: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
	},
	{
		name: "HEAD chunked", send: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", returns: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	},
	{
		name: "HEAD without length", send: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		reply: "HTTP/1.1 200 OK\r\nA: 1\r\n\r\n", returns: "HTTP/1.1 200 OK\r\nA: 1\r\n\r\n",
	},
	{name: "204", reply: "HTTP/1.1 204 No Content\r\nA: 1\r\n\r\n", returns: "HTTP/1.1 204 No Content\r\nA: 1\r\n\r\n"},
	{name: "304 with length", reply: "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: x\r\n\r\n", returns: "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: x\r\n\r\n"},
	{
		name:    "103 and 102 before the reply",
		reply:   "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nlink: </b>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + ok,
		returns: "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nlink: </b>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + ok,
	},
	{
		name: "103 not to HTTP/1.0", send: "GET / HTTP/1.0\r\nHost: a\r\n\r\n", ends: true,
		reply:   "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok,
		returns: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
	},
	{
		name: "426 names its protocol", reply: "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
		returns: "HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nContent-Length: 0\r\nConnection: Upgrade\r\n\r\n",
	},
	{
		name: "cut short of its length", closes: true, broken: true,
		reply: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", returns: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
	},
	{
		name: "cut short of its last chunk", closes: true, broken: true,
		reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", returns: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	},
	{
		name: "bad chunk", broken: true,
		reply: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n", returns: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
	},
}

func TestRequestsReachTheUpstreamAsTheyCame(t *testing.T) {
	t.Parallel()
	for _, w := range requests {
		t.Run(w.name, func(t *testing.T) { t.Parallel(); w.run(t, "tcp") })
	}
}

func TestRepliesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, w := range replies {
		if w.send == "" {
			w.send = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
		}
		method, _, _ := strings.Cut(w.send, " ")
		w.reaches = method + " / HTTP/1.1\r\nHost: a\r\n"
		t.Run(w.name, func(t *testing.T) { t.Parallel(); w.run(t, "tcp") })
		t.Run(w.name+" over unix", func(t *testing.T) { t.Parallel(); w.run(t, "unix") })
	}
}

func (w wire) run(t *testing.T, network string) {
	t.Helper()
	want := w.reaches
	if !w.trusted {
		want += added + "\r\n"
	}
	got := make(chan string, 1)
	l := serveScript(t, network, func(c net.Conn, n int) {
		defer c.Close()
		if n == 0 {
			b, _ := readN(c, want)
			got <- b
			io.WriteString(c, w.reply)
			if w.closes {
				return
			}
		}
		for {
			if _, err := readHead(c); err != nil {
				return
			}
			io.WriteString(c, nextReply)
		}
	})
	s := setup{upstream: forward.UpstreamOptions{URL: urlOf(l), HideCookie: "__Host-sealgate"}}
	if w.trusted {
		s.server.TrustedProxies = loopback
	}
	g := open(t, s, nil)
	c := dial(t, g.address)
	io.WriteString(c, w.send)
	if b := <-got; b != want {
		t.Fatalf("upstream got %q\nwant         %q", b, want)
	}
	if b, same := readN(c, w.returns); !same {
		t.Fatalf("client got %q\nwant       %q", b, w.returns)
	}
	w.after(t, c)
}

func (w wire) after(t *testing.T, c net.Conn) {
	t.Helper()
	switch {
	case w.ends:
		if !atEnd(c) {
			t.Error("the connection did not end in order")
		}
	case w.broken:
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Error("the client got more than there was")
		}
	default:
		io.WriteString(c, next)
		if b, same := readN(c, nextReply); !same {
			t.Errorf("the next request got %q", b)
		}
	}
}
