package relay_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/forward"
)

const (
	asksActivity = "Host: social.example\r\nAccept: application/activity+json\r\n"
	// Mastodon's lines around a document, spelled as no library would.
	beforeLength = "HTTP/1.1 200 Fine\r\nserver: Mastodon\r\nVARY: Accept, Signature\r\nEtag: W/\"upstream\"\r\n" +
		"content-type: application/activity+json; charset=utf-8\r\nAccess-Control-Allow-Origin: *\r\n"
	afterLength = "Cache-Control: max-age=180, public\r\nVary: Origin\r\n"
)

func document(body []byte) string {
	return fmt.Sprintf("%sContent-Length: %d\r\n%s\r\n%s", beforeLength, len(body), afterLength, body)
}

func actorFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b)
}

// wired is one request through a gateway before an upstream that sends reply: what the upstream was asked, and
// every byte the client got.
func wired(t *testing.T, request, reply string) (asked, got string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	heads := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		b, n := make([]byte, 16<<10), 0
		for !bytes.HasSuffix(b[:n], []byte("\r\n\r\n")) {
			m, err := c.Read(b[n:])
			if n += m; err != nil {
				break
			}
		}
		heads <- string(b[:n])
		_, _ = io.WriteString(c, reply)
		_, _ = io.Copy(io.Discard, c)
	}()
	web, err := forward.NewUpstream(forward.UpstreamOptions{URL: "http://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = web.Close() })
	w := newWorldWith(t, &broken{}, gate{}, func(o *relay.Options) { o.Web = web })
	c := w.dial(t)
	if _, err := io.WriteString(c, request+"\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil { // the answer is whole when the connection ends
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("after %.300q: %v", b, err)
	}
	return <-heads, string(b)
}

// TestDocumentsThatPassUntouched: what is no actor document of ours comes back byte for byte.
func TestDocumentsThatPassUntouched(t *testing.T) {
	named := actorFile(t, "mastodon-4.5-actor-named.json")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(named); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	native := bytes.Replace(named, []byte(`"inbox":`), []byte(`"keyPackages":"https://social.example/kp","inbox":`), 1)
	large := append(bytes.TrimSuffix(bytes.Clone(named), []byte("}")), `,"x":"`+strings.Repeat("x", 1<<20)+`"}`...)
	service := bytes.Replace(named, []byte(`"type":"Person"`), []byte(`"type":"Service"`), 1)
	if bytes.Equal(native, named) || bytes.Equal(service, named) {
		t.Fatal("the sample has changed")
	}
	html := strings.Replace(document([]byte("<html>alice")), "application/activity+json", "text/html", 1)
	for name, reply := range map[string]string{
		"coded all the same":       strings.Replace(document(packed.Bytes()), "server: Mastodon", "Content-Encoding: gzip", 1),
		"a page":                   html,
		"authorized fetch":         "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\nVary: Accept\r\nContent-Length: 32\r\n\r\n{\"error\":\"Request not signed\"}\r\n",
		"a document not found":     "HTTP/1.1 404 Not Found\r\ncontent-type: application/activity+json\r\nContent-Length: 2\r\n\r\n{}",
		"gone":                     "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
		"moved":                    "HTTP/1.1 301 Moved\r\nLocation: /@alice\r\nContent-Length: 0\r\n\r\n",
		"a service":                document(service),
		"native key packages":      document(native),
		"over 1 MiB":               document(large),
		"over 1 MiB and in chunks": beforeLength + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(large), large),
		"cut JSON":                 document(named[:len(named)-1]),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, got := wired(t, "GET /users/alice HTTP/1.1\r\n"+asksActivity, reply)
			if strings.Contains(reply, "chunked") { // chunks may be cut elsewhere
				got, reply = unchunked(got), unchunked(reply)
			}
			if got != reply {
				t.Errorf("got  %.600q\nwant %.600q", got, reply)
			}
		})
	}
}

// unchunked is a reply with its body decoded.
func unchunked(reply string) string {
	head, rest, _ := strings.Cut(reply, "\r\n\r\n")
	var body strings.Builder
	for {
		line, after, _ := strings.Cut(rest, "\r\n")
		n := 0
		if _, err := fmt.Sscanf(line, "%x", &n); err != nil || n == 0 || n > len(after) {
			return head + "\r\n\r\n" + body.String()
		}
		body.WriteString(after[:n])
		rest = strings.TrimPrefix(after[n:], "\r\n")
	}
}

// TestWhatIsNoDocumentIsAskedAsItWas: a page keeps its conditions and its coding.
func TestWhatIsNoDocumentIsAskedAsItWas(t *testing.T) {
	t.Parallel()
	const head = "GET /@alice HTTP/1.1\r\nHost: social.example\r\naccept: text/html,*/*\r\nIf-None-Match: \"x\"\r\nACCEPT-encoding: gzip, br\r\n"
	const reply = "HTTP/1.1 304 Not Modified\r\nVary: Accept\r\nETag: \"x\"\r\n\r\n"
	asked, got := wired(t, head, reply)
	if !strings.HasPrefix(asked, head) || got != reply {
		t.Errorf("asked %q, got %q", asked, got)
	}
}

// TestChangedDocumentsOnTheWire: of an actor document only the body, its length and its tag change; the
// conditions and the coding the client asked with are kept from the upstream and answered here.
func TestChangedDocumentsOnTheWire(t *testing.T) {
	for path, file := range map[string]string{
		"/users/alice": "mastodon-4.5-actor-named.json", "/ap/users/115390000000000001": "mastodon-4.6-actor-numeric.json",
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			lines, doc := " "+path+" HTTP/1.1\r\n"+asksActivity, actorFile(t, file)
			reply := document(doc)
			asked, got := wired(t, "GET"+lines+"Accept-Encoding: gzip\r\nIf-None-Match: W/\"upstream\"\r\nIf-Modified-Since: x\r\n", reply)
			want := "GET" + lines + "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Real-IP: 127.0.0.1\r\nAccept-Encoding: identity\r\n\r\n"
			if asked != want {
				t.Errorf("asked %q\nwant  %q", asked, want)
			}
			head, body, _ := strings.Cut(got, "\r\n\r\n")
			tag := tagIn(head)
			if want := strings.Replace(beforeLength, `W/"upstream"`, tag, 1) + fmt.Sprintf("Content-Length: %d\r\n%s", len(body), afterLength); head+"\r\n" != want {
				t.Errorf("got  %q\nwant %q", head, want)
			}
			if !strings.Contains(body, `"keyPackages":"https://social.example/e2ee/users/alice/keyPackages"`) || len(body) <= len(doc) {
				t.Errorf("got %s", body)
			}
			asked, got = wired(t, "HEAD"+lines, reply)
			if got != head+"\r\n\r\n" || !strings.HasPrefix(asked, "GET ") {
				t.Errorf("HEAD asked %q and got %q", asked, got)
			}
			_, got = wired(t, "GET"+lines+"If-None-Match: \"old\", W/"+tag+"\r\n", reply)
			if want := strings.Replace(strings.Replace(beforeLength, "200 Fine", "304 Not Modified", 1), `W/"upstream"`, tag, 1) + afterLength + "\r\n"; got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
			if _, got = wired(t, "GET"+lines+"If-None-Match: \"old\"\r\n", reply); got != head+"\r\n\r\n"+body {
				t.Errorf("with an old tag got %q", got)
			}
		})
	}
}

// tagIn returns the entity tag in a head.
func tagIn(head string) string {
	_, after, _ := strings.Cut(head, "Etag: ")
	tag, _, _ := strings.Cut(after, "\r\n")
	return tag
}
