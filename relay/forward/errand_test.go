package forward_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
)

// fate is how an errand goes.
type fate uint8

const (
	whole     fate = iota
	early          // the instance answers before it reads the body
	cutReply       // … breaks its reply off
	dead           // … ends the connection instead of answering
	garbage        // … answers what is no HTTP
	cutUpload      // the client breaks its body off; the last of its connection, as are those that follow
	leaves         // … leaves in the middle of the reply
	events         // … leaves an event stream
	upgrade        // … and the instance become an echo
	fates
)

func (f fate) String() string {
	return [...]string{"whole", "early", "cut reply", "dead", "garbage", "cut upload", "leaves", "events", "upgrade"}[f]
}

// errand is one request and its reply. Its path says everything about it, so that client and instance agree without talking.
type errand struct {
	path    string
	fate    fate
	method  string
	body    []byte
	chunked bool // the body
	reply   []byte
	framing string // of the reply: length, chunks, close
	cut     float64
	resets  bool // whoever ends a connection early resets it
	closes  bool // the instance closes after its reply
	says    bool // … and says so
	interim bool
	follows bool // the client may send the next request before the reply has come
}

// String shows e in the report of a failure.
func (e errand) String() string {
	return fmt.Sprintf("%s/%d %s %s/%d closes %v says %v resets %v", e.method, len(e.body), e.fate, e.framing, len(e.reply), e.closes, e.says, e.resets)
}

// chat is what one client asks over one connection.
type chat struct {
	errands []errand
	steps   bool // it waits for each reply
	halves  bool // it closes its half after the last request
	rng     *rand.Rand
}

func dice(path string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(path))
	return rand.New(rand.NewPCG(h.Sum64(), 1))
}

func chatOf(seed, number uint64) chat {
	rng := dice(fmt.Sprintf("/%d/%d", seed, number))
	c := chat{steps: rng.IntN(2) == 0, halves: rng.IntN(4) == 0, rng: rng}
	last := rng.IntN(6)
	for n := range last + 1 {
		kind := "m" // in the middle
		if n == last && !c.halves {
			kind = "l"
		}
		c.errands = append(c.errands, errandOf(fmt.Sprintf("/%d/%d/%d/%s", seed, number, n, kind)))
	}
	// A reset takes away what has not been read.
	c.steps = c.steps || c.errands[last].fate == cutUpload && c.errands[last].resets
	for i := range last {
		c.errands[i].follows = !c.steps
	}
	return c
}

func errandOf(path string) errand {
	rng := dice(path)
	e := errand{
		path: path, method: [...]string{"GET", "POST", "HEAD", "PUT"}[rng.IntN(4)], chunked: rng.IntN(2) == 0,
		framing: [...]string{"length", "chunks", "chunks", "length", "close"}[rng.IntN(5)], cut: rng.Float64(),
		resets: rng.IntN(2) == 0, closes: rng.IntN(4) == 0, says: rng.IntN(2) == 0, interim: rng.IntN(8) == 0,
	}
	if rng.IntN(3) == 0 {
		e.fate = 1 + fate(rng.IntN(int(garbage)))
	}
	if path[len(path)-1] == 'l' && rng.IntN(2) == 0 {
		e.fate = cutUpload + fate(rng.IntN(int(fates-cutUpload)))
	}
	switch e.fate {
	case events, upgrade:
		e.method = "GET"
	case early, cutReply, cutUpload:
		if e.framing == "close" { // what ends where the connection does cannot be told from what is broken off
			e.framing = "length"
		}
	}
	if e.fate == early || e.fate == cutUpload {
		e.method = "POST"
		e.body = noise(path+"?", 1+size(rng))
	}
	if (e.method == "POST" || e.method == "PUT") && e.body == nil {
		e.body = noise(path+"?", size(rng))
	}
	e.reply = noise(path, size(rng))
	return e
}

// size is often small, and sometimes more than sockets hold.
func size(rng *rand.Rand) int {
	switch rng.IntN(8) {
	case 0:
		return 0
	case 1:
		return rng.IntN(1 << 20)
	case 2, 3:
		return rng.IntN(64 << 10)
	}
	return rng.IntN(2 << 10)
}

// noise is n bytes that only name has.
func noise(name string, n int) []byte {
	rng := dice(name)
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return b[:n]
}

// idempotent reports whether it is asked again, whatever happened to a kept connection.
func (e *errand) idempotent() bool { return e.method != "POST" }

// request is all that the client sends, and where the head ends.
func (e *errand) request() (b []byte, head int) {
	b = fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: a\r\nX-Id: %s\r\n", e.method, e.path, e.path)
	switch {
	case e.fate == upgrade:
		b = append(b, "Upgrade: echo\r\nConnection: Upgrade\r\n"...)
	case e.method != "POST" && e.method != "PUT":
	case e.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	default:
		b = fmt.Appendf(b, "Content-Length: %d\r\n", len(e.body))
	}
	b = append(b, "\r\n"...)
	head = len(b)
	if e.chunked && (e.method == "POST" || e.method == "PUT") {
		return e.appendChunks(b, e.body), head
	}
	return append(b, e.body...), head
}

// answer is all that the instance sends, and where the head ends.
func (e *errand) answer() (b []byte, head int) {
	if e.interim && e.fate != upgrade {
		b = fmt.Appendf(b, "HTTP/1.1 103 Early Hints\r\nX-Id: %s\r\n\r\n", e.path)
	}
	b = fmt.Appendf(b, "HTTP/1.1 200 OK\r\nX-Id: %s\r\n", e.path)
	if e.closes && e.says {
		b = append(b, "Connection: close\r\n"...)
	}
	switch e.framing {
	case "length":
		b = append(b, "Content-Length: "+strconv.Itoa(len(e.reply))+"\r\n"...)
	case "chunks":
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	b = append(b, "\r\n"...)
	head = len(b)
	switch {
	case e.method == "HEAD":
		return b, head
	case e.framing == "chunks":
		return e.appendChunks(b, e.reply), head
	}
	return append(b, e.reply...), head
}

func (e *errand) appendChunks(b, body []byte) []byte {
	for rng := dice(e.path + " in chunks"); len(body) > 0; {
		n := 1 + rng.IntN(min(len(body), 40<<10))
		b = fmt.Appendf(b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return append(b, "0\r\n\r\n"...)
}

// dribble writes b in pieces.
func dribble(w io.Writer, rng *rand.Rand, b []byte) error {
	most := len(b)
	if rng.IntN(2) == 0 {
		most = 1 + rng.IntN(1<<rng.IntN(18))
	}
	for pieces := 0; len(b) > 0; pieces++ {
		n := len(b)
		if pieces < 100 {
			n = min(n, most)
		}
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
		for range rng.IntN(3) {
			runtime.Gosched()
		}
	}
	return nil
}

// end closes c, or resets it.
func end(c net.Conn, resets bool) {
	if t, ok := c.(*net.TCPConn); ok && resets {
		t.SetLinger(0)
	}
	c.Close()
}

// checkBody compares what came with what was sent; all reports that it came to its end.
func checkBody(got, want []byte, all bool) error {
	if !bytes.HasPrefix(want, got) {
		return fmt.Errorf("%d bytes that are not the %d expected", len(got), len(want))
	}
	if all && len(got) != len(want) {
		return fmt.Errorf("%d of %d bytes, as if they were all", len(got), len(want))
	}
	return nil
}

func idOf(h http.Header) string { return h.Get("X-Id") }
