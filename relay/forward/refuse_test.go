package forward_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/relay/forward"
)

// ambiguous are requests that two parsers could read differently: 400, closed, and never forwarded.
var ambiguous = map[string]string{
	"two empty lines before":     "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"a carriage return before":   "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"both lengths":               "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"length zero and chunks":     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"length zero twice":          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
	"two lengths":                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
	"the same length twice":      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
	"a list of lengths":          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nabcde",
	"a signed length":            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde",
	"an empty length":            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
	"a huge length":              "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
	"a long length":              "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + strings.Repeat("0", 19) + "\r\n\r\n",
	"length with underscore":     "POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n",
	"coding with underscore":     "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n",
	"folded line":                "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
	"folded first line":          "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
	"bare line feed":             "GET / HTTP/1.1\nHost: a\n\n",
	"two empty lines first":      "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"line feed first":            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"a line feed for a line":     "GET / HTTP/1.1\r\nHost: a\r\n\n\r\n",
	"bare line feed inside":      "GET / HTTP/1.1\r\nHost: a\r\nX: 1\nY: 2\r\n\r\n",
	"bare carriage return":       "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n",
	"CR in the request line":     "GET /\rX HTTP/1.1\r\nHost: a\r\n\r\n",
	"NUL":                        "GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
	"space before the colon":     "GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n",
	"space in a name":            "GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n",
	"no name":                    "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n",
	"no colon":                   "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
	"HTTP/2.0":                   "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
	"HTTP/2 preface":             "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"HTTP/1.2":                   "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
	"HTTP/0.9":                   "GET /\r\n\r\n",
	"lower-case version":         "GET / http/1.1\r\nHost: a\r\n\r\n",
	"no target":                  "GET HTTP/1.1\r\nHost: a\r\n\r\n",
	"two spaces":                 "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
	"no method":                  " / HTTP/1.1\r\nHost: a\r\n\r\n",
	"space before the method":    " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"DEL in the target":          "GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
	"a scheme alone":             "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n",
	"a scheme of TLS alone":      "GET https:// HTTP/1.1\r\nHost: a\r\n\r\n",
	"another scheme":             "GET ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n",
	"NUL in the method":          "G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n",
	"NUL in a name":              "GET / HTTP/1.1\r\nHost: a\r\nX\x00: 1\r\n\r\n",
	"NUL in the host":            "GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n",
	"DEL":                        "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n",
	"letters in a length":        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5a\r\n\r\nabcde",
	"a colon in a length":        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: :\r\n\r\nabcde",
	"a slash in a length":        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1/\r\n\r\nabcde",
	"mixed underscores":          "POST / HTTP/1.1\r\nHost: a\r\ntransfer_encodinG: chunked\r\n\r\n",
	"two hosts in HTTP/1.0":      "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
	"tab in the request line":    "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
	"space in the target":        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
	"bad method":                 "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
	"asterisk without OPTIONS":   "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
	"relative target":            "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
	"CONNECT":                    "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
	"CONNECT in origin form":     "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
	"no host":                    "GET / HTTP/1.1\r\n\r\n",
	"two hosts":                  "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
	"empty host":                 "GET / HTTP/1.1\r\nHost:\r\n\r\n",
	"host with a path":           "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
	"unknown coding":             "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"identity coding":            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
	"chunked twice":              "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"chunked with a tab in name": "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
	"chunked in HTTP/1.0":        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}

func TestAmbiguousRequestsAreRefused(t *testing.T) {
	t.Parallel()
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		b, _ := io.ReadAll(c)
		t.Errorf("the upstream got %q", b)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	for name, send := range ambiguous {
		t.Run(name, func(t *testing.T) {
			c := dial(t, g.address)
			io.WriteString(c, send+next)
			b, err := io.ReadAll(c)
			if !strings.HasPrefix(string(b), "HTTP/1.1 400 Bad Request\r\n") || err != nil {
				t.Fatalf("got %q, %v", b, err)
			}
			if strings.Count(string(b), "HTTP/1.1 ") != 1 || !strings.Contains(string(b), "\r\nConnection: close\r\n") {
				t.Errorf("the connection went on: %q", b)
			}
			if _, body, _ := strings.Cut(string(b), "\r\n\r\n"); !strings.Contains(string(b), fmt.Sprintf("\r\nContent-Length: %d\r\n", len(body))) {
				t.Errorf("another length than it says: %q", b)
			}
		})
	}
}

// Who leaves before its request is whole is not answered.
func TestWhoAsksNothingIsToldNothing(t *testing.T) {
	t.Parallel()
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: "http://127.0.0.1:1"}}, nil)
	for _, send := range []string{"", "GET / HT"} {
		c := dial(t, g.address)
		io.WriteString(c, send)
		c.(*net.TCPConn).CloseWrite()
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
			t.Errorf("%q: got %q, %v", send, b, err)
		}
	}
}

// badChunks are chunked bodies, each after a good first chunk.
var badChunks = map[string]string{
	"not hexadecimal":         "xyz\r\n",
	"empty size":              "\r\n",
	"NUL in a size":           "\x003\r\nabc\r\n0\r\n\r\n",
	"signed":                  "-1\r\n",
	"0x":                      "0x1\r\na\r\n0\r\n\r\n",
	"space before":            " 1\r\na\r\n0\r\n\r\n",
	"space after":             "1 \r\na\r\n0\r\n\r\n",
	"16 digits":               "0000000000000001\r\na\r\n0\r\n\r\n",
	"too many digits":         "10000000000000001\r\n",
	"bare line feed":          "1\na\n0\n\n",
	"bare line feed behind":   "1;\na\r\n0\r\n\r\n",
	"extension with CR":       "1;a=\rb\r\na\r\n0\r\n\r\n",
	"extension with NUL":      "1;a=\x00\r\na\r\n0\r\n\r\n",
	"empty extension":         "1;\r\na\r\n0\r\n\r\n",
	"endless extension":       "1;" + strings.Repeat("a", 5000) + "\r\na\r\n0\r\n\r\n",
	"data longer than size":   "1\r\nab\r\n0\r\n\r\n",
	"bad trailer":             "0\r\nX : 1\r\n\r\n",
	"folded trailer":          "0\r\nX: 1\r\n 2\r\n\r\n",
	"mostly framing":          strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\na\r\n", 30) + "0\r\n\r\n",
	"too many trailers":       "0\r\n" + strings.Repeat("X: 1\r\n", 100) + "\r\n",
	"long trailers together":  "0\r\n" + strings.Repeat("X: "+strings.Repeat("a", 3000)+"\r\n", 6) + "\r\n",
	"trailers over the limit": "0\r\nX: " + strings.Repeat("a", 20000) + "\r\n\r\n",
}

func TestBadChunksEndBothConnections(t *testing.T) {
	t.Parallel()
	for name, chunks := range badChunks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			l := serveScript(t, "tcp", func(c net.Conn, _ int) {
				defer c.Close()
				b, _ := io.ReadAll(c)
				got <- string(b)
			})
			g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
			c := dial(t, g.address)
			go io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"+chunks)
			b, _ := io.ReadAll(c)
			if !strings.HasPrefix(string(b), "HTTP/1.1 400 ") {
				t.Errorf("the client got %q", b)
			}
			if b := <-got; strings.Contains(b, "\r\n0\r\n") {
				t.Errorf("the upstream got a whole request: %q", b)
			}
			if metric(t, g, "sealgate_upstream_errors_total", "closed") != 0 {
				t.Error("the upstream was blamed")
			}
		})
	}
}

// nonsense are replies that become 502, or 504 where they never come.
var nonsense = []struct {
	name, reply, kind string
	status            string
}{
	{"both lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "malformed", "502"},
	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "malformed", "502"},
	{"unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "malformed", "502"},
	{"folded line", "HTTP/1.1 200 OK\r\nA: 1\r\n b\r\n\r\n", "malformed", "502"},
	{"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "malformed", "502"},
	{"bare carriage return", "HTTP/1.1 200 OK\r\nA: 1\rB: 2\r\n\r\n", "malformed", "502"},
	{"garbage", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "malformed", "502"},
	{"a page without a head", "<html>\r\n\r\n", "malformed", "502"},
	{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", "malformed", "502"},
	{"HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", "malformed", "502"},
	{"no space before the status", "HTTP/1.1-200 OK\r\nContent-Length: 0\r\n\r\n", "malformed", "502"},
	{"no space behind the status", "HTTP/1.1 200OK\r\nContent-Length: 0\r\n\r\n", "malformed", "502"},
	{"status of two digits", "HTTP/1.1 20\r\nContent-Length: 0\r\n\r\n", "malformed", "502"},
	{"a colon in the status", "HTTP/1.1 20: OK\r\nContent-Length: 0\r\n\r\n", "malformed", "502"},
	{"a slash in the status", "HTTP/1.1 2/0 OK\r\nContent-Length: 0\r\n\r\n", "malformed", "502"},
	{"NUL in the reason", "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n", "malformed", "502"},
	{"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "malformed", "502"},
	{"an underscored length", "HTTP/1.1 200 OK\r\nContent_Length: 0\r\n\r\n", "malformed", "502"},
	{"many short lines", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A:\r\n", 2049) + "\r\n", "too_large", "502"},
	{"status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "malformed", "502"},
	{"status below 100", "HTTP/1.1 099 OK\r\n\r\n", "malformed", "502"},
	{"a switch nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", "malformed", "502"},
	{"endless interim replies", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100), "too_large", ""},
	{"endless header lines", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: 1\r\n", 5000), "too_large", "502"},
	{"one endless header line", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 100000), "too_large", "502"},
	{"nothing", "", "closed", "502"},
	{"half a head", "HTTP/1.1 200 OK\r\nA:", "closed", "502"},
	{"silence", "", "timeout", "504"},
}

func TestNonsenseFromTheUpstream(t *testing.T) {
	t.Parallel()
	for _, n := range nonsense {
		t.Run(n.name, func(t *testing.T) {
			t.Parallel()
			l := serveScript(t, "tcp", func(c net.Conn, _ int) {
				defer c.Close()
				readHead(c)
				io.WriteString(c, n.reply)
				if n.kind == "timeout" {
					io.Copy(io.Discard, c)
				}
			})
			logged := &journal{}
			g := open(t, setup{upstream: forward.UpstreamOptions{
				URL: urlOf(l), HeaderTimeout: 300 * time.Millisecond, HeaderBytes: 16 << 10, Log: journalOf(logged),
			}}, nil)
			c := dial(t, g.address)
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			b, _ := io.ReadAll(c)
			if n.status != "" && !strings.HasPrefix(string(b), "HTTP/1.1 "+n.status+" ") ||
				!strings.Contains(string(b), "\r\nContent-Type: application/problem+json\r\n") ||
				!strings.Contains(string(b), "\r\nRetry-After: 10\r\n") {
				t.Errorf("got %.300q", b)
			}
			checkBlame(t, g, logged, n.kind)
		})
	}
}

// TestAGigabyteOfHeaders: an upstream whose reply head does not end is given up after some of it, whatever the
// shape of the head, and costs no memory.
func TestAGigabyteOfHeaders(t *testing.T) {
	for name, part := range map[string]string{"many lines": "A: aaaaaaaaaa\r\n", "one line": "aaaaaaaaaaaaaaaa", "no line": "\x00\x00\x00\x00"} {
		sent := make(chan int64, 1)
		l := serveScript(t, "tcp", func(c net.Conn, _ int) {
			defer c.Close()
			readHead(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
			block, n := []byte(strings.Repeat(part, 4096)), int64(0)
			for n < 1<<30 {
				m, err := c.Write(block)
				if n += int64(m); err != nil {
					break
				}
			}
			sent <- n
		})
		logged := &journal{}
		g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l), Log: journalOf(logged)}}, nil)
		before := peakHeap()
		c := dial(t, g.address)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if b, _ := readHead(c); !strings.HasPrefix(b, "HTTP/1.1 502 ") {
			t.Errorf("%s: got %.100q", name, b)
		}
		if n := <-sent; n > 64<<20 { // what the kernel holds on the way is lost, too
			t.Errorf("%s: %d MiB were taken", name, n>>20)
		}
		if after := peakHeap(); after > before+16<<20 {
			t.Errorf("%s: the heap grew from %d to %d MiB", name, before>>20, after>>20)
		}
		checkBlame(t, g, logged, "too_large")
	}
}

func TestDeadUpstream(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, url := range []string{urlOf(l), "unix:" + t.TempDir() + "/none"} {
		logged := &journal{}
		g := open(t, setup{upstream: forward.UpstreamOptions{URL: url, Log: journalOf(logged)}}, nil)
		c := dial(t, g.address)
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
		b, _ := io.ReadAll(c)
		if !strings.HasPrefix(string(b), "HTTP/1.1 502 Bad Gateway\r\n") || !strings.Contains(string(b), "\r\nRetry-After: 10\r\n") {
			t.Errorf("got %q", b)
		}
		checkBlame(t, g, logged, "dial")
	}
}
