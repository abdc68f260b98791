package forward

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
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
	reset bool      // the other side has reset it, and may have read what it had not acknowledged
}

// pool keeps unused links, the latest used on top. Safe for concurrent use.
type pool struct {
	limit  int
	mu     sync.Mutex
	links  map[*loop][]*link // by the loop that watches them, the latest used last
	kept   int
	all    map[*link]struct{}
	closed bool
}

func (p *pool) take(of *loop) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := p.links[of]
	n := len(links)
	if n == 0 {
		return nil
	}
	l := links[n-1]
	links[n-1] = nil
	p.links[of] = links[:n-1]
	p.kept--
	return l
}

// put keeps l, or reports that there is no room.
func (p *pool) put(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.kept >= p.limit {
		return false
	}
	of := l.loop()
	p.links[of] = append(p.links[of], l)
	p.kept++
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

// old takes out the links unused since before.
func (p *pool) old(before time.Time) (gone []*link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for of, links := range p.links {
		n := 0
		for n < len(links) && links[n].since.Before(before) {
			n++
		}
		gone = append(gone, links[:n]...)
		p.links[of] = slices.Delete(links, 0, n)
	}
	p.kept -= len(gone)
	return gone
}

// close cuts every link, used or not.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.links, p.kept = true, nil, 0
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

// dial opens a new link for t.
func (u *Upstream) dial(t *task) (l *link, err error) {
	t.aside(func() { l, err = u.connect(t) })
	return l, err
}

func (u *Upstream) connect(t *task) (*link, error) {
	ctx, cancel := context.WithTimeout(context.Background(), u.o.DialTimeout)
	defer cancel()
	c, err := u.dialer.DialContext(ctx, u.network, u.address)
	if err != nil {
		return nil, &failure{kindDial, err}
	}
	if t != nil {
		if c, err = takeOver(c, t); err != nil {
			return nil, &failure{kindDial, err}
		}
	}
	l := &link{Conn: c, u: u}
	l.g.conn = c
	l.sock.open(c)
	l.rd.open(&l.sock, &u.replies)
	l.in = body{r: &l.rd, pace: pace{g: &l.g, progress: 1}}
	if l.sock.raw != nil {
		l.probe.open(l.sock.raw)
	}
	if !u.pool.enlist(l) {
		_ = c.Close()
		return nil, &failure{kindDial, net.ErrClosed}
	}
	u.watch.add(&l.g)
	return l, nil
}

// silentCloser is how long an upstream is remembered that closed a kept connection without saying so.
const silentCloser = 10 * time.Second

// link returns a connection for a request: a kept one only if it shows no sign of its end and no bytes nobody
// asked for, which would become the answer.
func (u *Upstream) link(r reuse, t *task) (*link, error) {
	for r != never {
		l := u.pool.take(t.home())
		if l == nil {
			break
		}
		l.belong(t)
		if l.probe.usable() {
			return l, nil
		}
		u.noteClosed(l)
		l.drop()
	}
	return u.dial(t)
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
	l.belong(nil)
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

// ask sends p and waits for the reply to begin.
func (l *link) ask(p []byte) error {
	n, err := l.rd.ask(p)
	l.now += uint64(n)
	if err == nil && n < len(p) {
		err = l.write(p[n:])
	}
	return err
}

// belong notes whose l is.
func (l *link) belong(t *task) {
	if l.sock.wire != nil {
		l.sock.wire.task = t
	}
}

// loop is who watches l; nil: Go's own poller.
func (l *link) loop() *loop {
	if l.sock.wire == nil {
		return nil
	}
	return l.sock.wire.loop
}

// untouched reports whether the other side has certainly seen nothing of the current request: nothing was sent, or the connection
// ended in order, whereby the other side acknowledges all that came before, and not a byte was acknowledged. (The kernel counts the
// SYN as one byte.)
func (l *link) untouched() bool {
	acked, known := l.probe.delivered()
	return l.now == 0 || known && !l.reset && acked <= l.sent+1
}

// Close ends l from outside: its owner's next read or write fails.
func (l *link) Close() error { return l.Conn.Close() }
