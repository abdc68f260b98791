//go:build !race

package relay_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/forward"
	"github.com/sealgate/sealgate/relay/intake"
)

// echoing answers every request, whose end it knows by its last bytes, and does not allocate.
func echoing(t *testing.T, end, reply string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerAll(c, []byte(end), []byte(reply))
		}
	}()
	return "http://" + l.Addr().String()
}

func answerAll(c net.Conn, end, reply []byte) {
	defer c.Close()
	request, n := make([]byte, 32<<10), 0
	for {
		m, err := c.Read(request[n:])
		if err != nil {
			return
		}
		if n += m; bytes.HasSuffix(request[:n], end) {
			n = 0
			if _, err := c.Write(reply); err != nil {
				return
			}
		}
	}
}

// What is passed on allocates nothing on the whole way: route, metrics, forwarding. Under the race detector
// sync.Pool forgets on purpose, so this holds without it only.
func TestPassingDoesNotAllocate(t *testing.T) {
	const (
		lines = " HTTP/1.1\r\nHost: social.example\r\nUser-Agent: test/1.0\r\nCookie: a=b\r\n"
		page  = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello"
		ended = "\r\n\r\n"
	)
	body := strings.Repeat("x", 10<<10) + "."
	for _, w := range []struct{ name, request, end, reply string }{
		{"get", "GET /about" + lines + "\r\n", ended, page},
		{"post", "POST /api/v1/statuses" + lines + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body, body, page},
		{"chunked", "GET /about" + lines + "\r\n", ended, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
		{"profile page", "GET /@alice" + lines + "Accept: text/html\r\n\r\n", ended, page},
		{"actor refused", "GET /users/alice" + lines + "Accept: application/activity+json\r\n\r\n", ended, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"},
		{"actor in no JSON", "GET /users/alice" + lines + "Accept: application/activity+json\r\n\r\n", ended, page},
	} {
		t.Run(w.name, func(t *testing.T) {
			once := passing(t, echoing(t, w.end, w.reply), w.request, w.reply)
			once()
			if n := testing.AllocsPerRun(500, once); n >= 1 {
				t.Errorf("it allocates %v times", n)
			}
		})
	}
}

// passing returns what sends request through a gateway before upstream and wants exactly reply.
func passing(t *testing.T, upstream, request, reply string) func() {
	t.Helper()
	web, err := forward.NewUpstream(forward.UpstreamOptions{URL: upstream})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = web.Close() })
	w := newWorldWith(t, memory(), gate{}, func(o *relay.Options) { o.Web = web })
	c := w.dial(t)
	sent, want, got := []byte(request), []byte(reply), make([]byte, len(reply))
	return func() {
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %.200q, %v", got, err)
		}
	}
}

// What is turned away at sight allocates nothing either: nobody waits for the collector because of a flood.
func TestTurningAwayDoesNotAllocate(t *testing.T) {
	places := intake.NewPlaces(intake.PlacesOptions{Most: 1})
	if _, err := places.Enter(rules.Group, netip.Addr{}, 1); err != nil {
		t.Fatal(err)
	}
	w := newWorldWith(t, memory(), gate{}, func(o *relay.Options) { o.Intake = intake.New(intake.Options{Inbox: o.Inbox, Places: places}) })
	c, r := w.dial(t), bufio.NewReaderSize(nil, 4096)
	r.Reset(c)
	body := `{"type":"Create","object":{"mediaType":"message/mls","content":"AAEAAg` + strings.Repeat("A", 5000) + `"}}`
	sent := []byte("POST /inbox HTTP/1.1\r\nHost: social.example\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	once := func() {
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		status, err := r.ReadSlice('\n')
		if err != nil || !bytes.HasPrefix(status, []byte("HTTP/1.1 503 ")) {
			t.Fatalf("got %q, %v", status, err)
		}
		for status[len(status)-1] != '}' {
			if status, err = r.Peek(r.Buffered()); err != nil {
				t.Fatal(err)
			}
			r.Discard(len(status))
		}
	}
	once()
	if n := testing.AllocsPerRun(500, once); n >= 1 {
		t.Errorf("it allocates %v times", n)
	}
}
