package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/metric"
	"github.com/sealgate/sealgate/relay/count"
)

// ListenerOptions says how to shake hands.
type ListenerOptions struct {
	Config    *tls.Config
	Timeout   time.Duration         // for a handshake (limits.header_timeout); default 10 s
	PerClient int                   // handshakes at once per client address (limits.connections_per_client); default 256
	AtOnce    int                   // handshakes at once of all clients; default 2048
	Log       *slog.Logger          // nil: discarded
	Metrics   prometheus.Registerer // nil: not registered
}

// Listener shakes hands on what another listener accepts, many at once, so that a slow client keeps nobody
// waiting. Its connections are *Conn with the handshake done and a protocol that is HTTP.
type Listener struct {
	net.Listener
	o        ListenerOptions
	log      *slog.Logger
	failures *prometheus.CounterVec
	excess   *prometheus.CounterVec

	census  count.Census
	slots   chan struct{}
	done    chan *Conn
	failed  chan error
	over    chan struct{} // closed when nothing more comes through done
	running sync.WaitGroup
}

// NewListener begins to accept from l. Close ends that, and closes l; handshakes under way then have
// o.Timeout to finish.
func NewListener(l net.Listener, o ListenerOptions) *Listener {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.PerClient <= 0 {
		o.PerClient = 256
	}
	if o.AtOnce <= 0 {
		o.AtOnce = 2048
	}
	t := &Listener{
		Listener: l, o: o, log: logger(o.Log), census: count.Census{Limit: o.PerClient},
		failures: metric.Counter(o.Metrics, "sealgate_tls_handshake_failures_total", "TLS handshakes that did not succeed.", "reason"),
		excess:   metric.Exceeded(o.Metrics),
		slots:    make(chan struct{}, o.AtOnce), done: make(chan *Conn), failed: make(chan error), over: make(chan struct{}),
	}
	go t.acceptAll() // ends when l is closed
	return t
}

// Accept returns the next client that shook hands. After Close it returns those who were about to, and then
// net.ErrClosed.
func (t *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-t.done:
		return c, nil
	case err := <-t.failed:
		return nil, err
	case <-t.over:
		return nil, net.ErrClosed
	}
}

func (t *Listener) acceptAll() {
	defer close(t.over)
	defer t.running.Wait()
	for {
		c, err := t.Listener.Accept()
		switch {
		case err == nil:
			t.take(c)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			t.fail(err)
		}
	}
}

// fail hands err to whoever calls Accept, who knows what to do and how long to wait.
func (t *Listener) fail(err error) {
	wait := time.NewTimer(time.Second) // nobody may be there; the listener may be closed by now
	defer wait.Stop()
	select {
	case t.failed <- err:
	case <-wait.C:
	}
}

// take shakes hands with c in a goroutine of its own, if there is room.
func (t *Listener) take(c net.Conn) {
	select {
	case t.slots <- struct{}{}:
	default:
		t.excess.WithLabelValues("tls_handshakes").Inc()
		_ = c.Close() // it was told nothing yet
		return
	}
	t.running.Go(func() {
		defer func() { <-t.slots }()
		t.greet(c)
	})
}

func (t *Listener) greet(c net.Conn) {
	who := client(c) // with the PROXY protocol this waits for its header
	if !t.census.Enter(who) {
		t.excess.WithLabelValues("connections_per_client").Inc()
		_ = c.Close()
		return
	}
	defer t.census.Leave(who)
	ctx, cancel := context.WithTimeout(context.Background(), t.o.Timeout)
	defer cancel()
	s, ok := t.shake(ctx, c)
	if !ok {
		_ = c.Close()
		return
	}
	select {
	case t.done <- s:
	case <-ctx.Done(): // nobody calls Accept
		_ = s.Close()
	}
}

// shake completes the handshake. A connection that only answered a challenge is over (RFC 8737 §3).
func (t *Listener) shake(ctx context.Context, c net.Conn) (*Conn, bool) {
	s := &Conn{Conn: tls.Server(c, t.o.Config)}
	if err := s.HandshakeContext(ctx); err != nil {
		t.failures.WithLabelValues(reason(err)).Inc()
		t.log.Debug("handshake failed", "error", err)
		turnAway(ctx, err)
		return nil, false
	}
	if s.ConnectionState().NegotiatedProtocol == protoACME {
		_ = s.Close() // the certificate was the answer
		return nil, false
	}
	return s, true
}

// httpsOnly is for who speaks plain HTTP where TLS is spoken. It ends with the connection.
const httpsOnly = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n" +
	`{"type":"about:blank","title":"Bad Request","status":400,"detail":"TLS is spoken here (tls.mode): ask with https."}`

// turnAway tells a client whose handshake failed with err that it should have begun one. The rest of what it sent is thrown away:
// closing with unread bytes would reset the connection and could take the answer away.
func turnAway(ctx context.Context, err error) {
	var plain tls.RecordHeaderError
	if !errors.As(err, &plain) || plain.Conn == nil {
		return
	}
	if by, ok := ctx.Deadline(); ok {
		_ = plain.Conn.SetDeadline(by) // fails only when closed, and then so does the rest
	}
	if _, err := io.WriteString(plain.Conn, httpsOnly); err != nil {
		return
	}
	if h, ok := plain.Conn.(interface{ CloseWrite() error }); ok && h.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, plain.Conn, 64<<10) // until the client has closed, or had enough time for it
	}
}

// reason sorts handshake errors for the metric.
func reason(err error) string {
	var n net.Error
	var alert tls.AlertError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &n) && n.Timeout():
		return "timeout"
	case errors.As(err, &record):
		return "not_tls"
	case errors.As(err, &alert):
		return "refused_by_client"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "closed"
	}
	return "other"
}

// client is who sends. On unix sockets nobody is known.
func client(c net.Conn) netip.Addr {
	t, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return t.AddrPort().Addr()
}
