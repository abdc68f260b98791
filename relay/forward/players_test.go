package forward_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"
)

// players is an instance whose connections do what the errands say.
type players struct {
	net.Listener
	r    *torture
	work sync.WaitGroup
}

func (r *torture) instance(network string) *players {
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(r.t.TempDir(), "up.sock")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		r.t.Fatal(err)
	}
	p := &players{Listener: l, r: r}
	p.work.Go(p.accept)
	return p
}

// close waits until the last connection has ended, which all do by themselves.
func (p *players) close() {
	p.Close()
	p.work.Wait()
}

func (p *players) accept() {
	for {
		c, err := p.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() {
			defer c.Close()
			if err := p.serve(c); err != nil {
				p.r.t.Errorf("seed %d: the instance: %v", p.r.seed, err)
			}
		})
	}
}

// serve answers requests until one ends the connection. An error is something that must not arrive here.
func (p *players) serve(c net.Conn) error {
	in := bufio.NewReader(c)
	for {
		c.SetDeadline(time.Now().Add(anyLimit))
		req, err := http.ReadRequest(in)
		if err != nil {
			return ignoreTimeouts(err)
		}
		if req.URL.Path == "/next" {
			io.WriteString(c, nextReply)
			continue
		}
		e := errandOf(req.URL.Path)
		if idOf(req.Header) != e.path || req.Method != e.method {
			return fmt.Errorf("%s %s has the head of %q", req.Method, e.path, idOf(req.Header))
		}
		if goes, err := e.play(c, in, req); !goes || err != nil {
			return err
		}
	}
}

// play answers one request and reports whether another may follow.
func (e *errand) play(c net.Conn, in *bufio.Reader, req *http.Request) (goes bool, err error) {
	if e.fate != early {
		if goes, err := e.take(req); !goes || err != nil {
			return false, err
		}
	}
	rng := dice(e.path + " answered")
	b, _ := e.answer()
	switch e.fate {
	case dead:
		end(c, e.resets)
		return false, nil
	case garbage:
		io.WriteString(c, "HTTP/1.1 two hundred\r\n\r\n")
		return false, nil
	case upgrade:
		return false, e.echo(c, in)
	case events:
		return false, e.send(c)
	case cutReply:
		_ = dribble(c, rng, b[:e.broken(b)])
		end(c, e.resets || e.framing == "close")
		return false, nil
	}
	if dribble(c, rng, b) != nil {
		return false, nil //nolint:nilerr // nobody wants it
	}
	goes = !e.closes && (e.framing != "close" || e.method == "HEAD")
	if h, ok := c.(interface{ CloseWrite() error }); ok && !goes {
		h.CloseWrite() // to close with something unread could take the reply away
	}
	if e.fate == early {
		got, err := e.take(req)
		return goes && got, err
	}
	return goes, nil
}

// take reads the body; false: it broke off.
func (e *errand) take(req *http.Request) (bool, error) {
	got, err := io.ReadAll(req.Body)
	if err == nil && e.fate == cutUpload {
		return false, fmt.Errorf("%s: an upload that broke off looks whole", e.path)
	}
	if same := checkBody(got, e.body, err == nil); same != nil {
		return false, fmt.Errorf("%s: %w", e.path, same)
	}
	return err == nil, ignoreTimeouts(err)
}

// echo sends back what comes.
func (e *errand) echo(c net.Conn, in io.Reader) error {
	if err := dribble(c, dice(e.path), fmt.Appendf(nil, "HTTP/1.1 101 Go\r\nX-Id: %s\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n", e.path)); err != nil {
		return nil //nolint:nilerr // the client has left
	}
	_, err := io.Copy(struct{ io.Writer }{c}, in)
	return ignoreTimeouts(err)
}

// send sends an event stream and waits until its reader has left.
func (e *errand) send(c net.Conn) error {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Id: %s\r\nContent-Type: text/event-stream\r\n\r\n", e.path)
	if dribble(c, dice(e.path), append([]byte(head), e.reply...)) != nil {
		return nil //nolint:nilerr // nobody wants it
	}
	_, err := io.Copy(io.Discard, c)
	return ignoreTimeouts(err)
}
