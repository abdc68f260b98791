package forward

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"
)

// link is one connection to the upstream. One exchange at a time owns it.
type link struct {
	net.Conn
	u     *Upstream
	sock  socket
	rd    reader
	g     guard
	probe probe
	in    body
	head  head
	used  bool      // has carried an exchange before
	sent  uint64    // bytes written for the exchanges before
	now   uint64    // bytes written for the current one
	since time.Time // unused since
}

// pool keeps unused links, the latest used on top. Safe for concurrent use.
type pool struct {
	limit  int
	mu     sync.Mutex
	links  []*link
	all    map[*link]struct{}
	closed bool
}

func (p *pool) take() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.links)
	if n == 0 {
		return nil
	}
	l := p.links[n-1]
	p.links[n-1] = nil
	p.links = p.links[:n-1]
	return l
}

// put keeps l, or reports that there is no room.
func (p *pool) put(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.links) >= p.limit {
		return false
	}
	p.links = append(p.links, l)
	return true
}

// enlist notes a new link, unless the pool is closed.
func (p *pool) enlist(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.all[l] = struct{}{}
	return true
}

func (p *pool) delist(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, l)
}

// old takes out the links unused since before. The bottom of the stack is oldest.
func (p *pool) old(before time.Time) []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.links) && p.links[n].since.Before(before) {
		n++
	}
	if n == 0 {
		return nil
	}
	gone := append([]*link(nil), p.links[:n]...)
	p.links = append(p.links[:0], p.links[n:]...)
	return gone
}

// close cuts every link, used or not.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.links = true, nil
	for l := range p.all {
		_ = l.Conn.Close() // their owners notice and drop them
	}
}

// parseURL splits http://host:port or unix:/path into what Dial wants.
func parseURL(s string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok && path != "" {
		return "unix", path, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return "", "", fmt.Errorf("upstream %q is neither http://host:port nor unix:/path", s)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return "tcp", net.JoinHostPort(u.Hostname(), port), nil
}

// dial opens a new link.
func (u *Upstream) dial() (*link, error) {
	ctx, cancel := context.WithTimeout(context.Background(), u.o.DialTimeout)
	defer cancel()
	c, err := u.dialer.DialContext(ctx, u.network, u.address)
	if err != nil {
		return nil, &failure{kindDial, 502, err}
	}
	l := &link{Conn: c, u: u}
	l.g.conn = c
	l.sock.open(c)
	l.rd.open(&l.sock, &u.replies)
	l.in = body{r: &l.rd, g: &l.g, progress: 1}
	if s, ok := c.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			l.probe.open(raw)
		}
	}
	if !u.pool.enlist(l) {
		_ = c.Close()
		return nil, &failure{kindDial, 502, net.ErrClosed}
	}
	u.watch.add(&l.g)
	return l, nil
}

// silentCloser is how long an upstream is remembered that closed a kept connection without saying so.
const silentCloser = 10 * time.Second

// link returns a connection for a request: a kept one only if it shows no sign of its end and no bytes nobody
// asked for, which would become the answer.
func (u *Upstream) link(r reuse) (*link, error) {
	for r != never {
		l := u.pool.take()
		if l == nil {
			break
		}
		if l.probe.usable() {
			return l, nil
		}
		u.noteClosed(l)
		l.drop()
	}
	return u.dial()
}

// noteClosed remembers an upstream that closes kept connections without saying so: for a while, requests
// that must not be sent twice get connections of their own.
func (u *Upstream) noteClosed(l *link) {
	if time.Since(l.since) < time.Second {
		u.closed.Store(time.Since(u.watch.start).Nanoseconds())
	}
}

// closesSilently reports whether noteClosed has seen it lately.
func (u *Upstream) closesSilently() bool {
	at := u.closed.Load()
	return at != 0 && u.watch.now.Load()-at < int64(silentCloser)
}

// keep gives l back for the next request.
func (l *link) keep() {
	l.used = true
	l.sent, l.now = l.sent+l.now, 0
	l.g.read(0)
	l.rd.release()
	l.since = time.Now()
	if !l.u.pool.put(l) {
		l.drop()
	}
}

// drop ends l.
func (l *link) drop() {
	_ = l.Conn.Close() // nothing is expected of it any more
	l.u.watch.remove(&l.g)
	l.u.pool.delist(l)
	l.rd.r = l.rd.w
	l.rd.release()
}

// write sends p within the time the upstream may stand still.
func (l *link) write(p []byte) error {
	l.g.write(l.u.o.StallTimeout)
	n, err := l.sock.Write(p)
	l.g.write(0)
	l.now += uint64(n)
	return err
}

// ask sends p and waits for the reply to begin. What fails shows in the reply, or in its absence.
func (l *link) ask(p []byte) {
	n, err := l.rd.ask(p)
	l.now += uint64(n)
	if err == nil && n < len(p) {
		_ = l.write(p[n:])
	}
}

// untouched reports whether the other side has certainly seen nothing of the current request: not a byte
// of it was acknowledged. (The kernel counts the SYN as one byte.)
func (l *link) untouched() bool {
	acked, known := l.probe.delivered()
	return l.now == 0 || known && acked <= l.sent+1
}

// Close ends l from outside: its owner's next read or write fails.
func (l *link) Close() error { return l.Conn.Close() }
