package forward

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"golang.org/x/net/http2"
)

// Limits of one HTTP/2 connection. The requests that one client has under way, and its connections, are
// bounded together by Limits.ConnectionsPerClient.
const (
	streamsPerConn = 128
	bufferPerConn  = 1 << 20   // request bytes received and not yet taken
	bufferPerBody  = 256 << 10 // the same of one stream
	frameBytes     = 16 << 10
	headerTable    = 4 << 10
)

// secured is a connection whose TLS handshake is over.
type secured interface {
	net.Conn
	ConnectionState() tls.ConnectionState
}

// speaksHTTP2 returns the TLS connection under c if the client chose HTTP/2 (RFC 9113 §3.2).
func speaksHTTP2(c net.Conn) (*tls.Conn, bool) {
	s, ok := c.(secured)
	if !ok || s.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
		return nil, false
	}
	if u, ok := c.(interface{ TLS() *tls.Conn }); ok {
		return u.TLS(), true
	}
	t, ok := c.(*tls.Conn)
	return t, ok
}

// mux serves HTTP/2: the protocol is x/net/http2's, the streams are exchanges like HTTP/1.1 requests are.
type mux struct {
	s      *Server
	server *http.Server
	queue  *queue
	ended  chan struct{} // when server.Serve has returned

	streams sync.WaitGroup
	mu      sync.Mutex
	conns   map[net.Conn]*conn2
	over    bool // no stream begins any more
}

// conn2 is one HTTP/2 connection.
type conn2 struct {
	from   *via
	ctx    context.Context //nolint:containedctx // ends with the connection
	cancel context.CancelFunc
}

// connKey finds the conn2 in the context of its requests.
type connKey struct{}

func newMux(s *Server) *mux {
	m := &mux{s: s, queue: newQueue(), ended: make(chan struct{}), conns: make(map[net.Conn]*conn2)}
	l := &s.limits
	m.server = &http.Server{
		Handler: http.HandlerFunc(m.serve), DisableGeneralOptionsHandler: true,
		MaxHeaderBytes: l.HeaderBytes, IdleTimeout: l.IdleTimeout, ReadHeaderTimeout: l.HeaderTimeout,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // it quotes what strangers send
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streamsPerConn, MaxReadFrameSize: frameBytes,
			MaxReceiveBufferPerConnection: bufferPerConn, MaxReceiveBufferPerStream: bufferPerBody,
			MaxDecoderHeaderTableSize: headerTable, MaxEncoderHeaderTableSize: headerTable,
			SendPingTimeout: l.IdleTimeout, WriteByteTimeout: l.WriteTimeout,
			CountError: func(kind string) { m.s.refusals.WithLabelValues(kind).Inc() },
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, m.known(c))
		},
		ConnState: m.note,
	}
	// x/net is stricter than the library of Go 1.26: it refuses an :authority unlike Host.
	if err := http2.ConfigureServer(m.server, nil); err != nil { //nolint:staticcheck // SA1019: as said
		panic("bug: " + err.Error()) // only a TLS configuration could be wrong, and there is none
	}
	go m.run() // ends with close or shutdown
	return m
}

func (m *mux) run() {
	defer close(m.ended)
	if err := m.server.Serve(m.queue); !errors.Is(err, http.ErrServerClosed) {
		m.s.log.Error("http/2 stopped", "error", err)
	}
}

// take serves c, unless its client has too many connections.
func (m *mux) take(c *tls.Conn) {
	k := &conn2{from: newVia(c, m.s.o.TrustedProxies)}
	if !k.from.trusted && !m.s.census.Enter(k.from.peer) {
		m.s.excess.WithLabelValues("connections_per_client").Inc()
		_ = c.Close() // it has sent no request
		return
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	if !m.join(c, k) || !m.queue.put(c) {
		m.forget(c)
		_ = c.Close()
	}
}

// join admits c unless there are too many.
func (m *mux) join(c net.Conn, k *conn2) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns[c] = k
	if len(m.conns) <= m.s.limits.Connections {
		return true
	}
	m.s.excess.WithLabelValues("connections").Inc()
	return false
}

func (m *mux) known(c net.Conn) *conn2 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.conns[c]
}

// note forgets connections that are over. It may be told so twice.
func (m *mux) note(c net.Conn, state http.ConnState) {
	if state == http.StateClosed {
		m.forget(c)
	}
}

func (m *mux) forget(c net.Conn) {
	m.mu.Lock()
	k, ok := m.conns[c]
	delete(m.conns, c)
	m.mu.Unlock()
	if !ok {
		return
	}
	k.cancel()
	if !k.from.trusted {
		m.s.census.Leave(k.from.peer)
	}
}

// shutdown tells clients to go elsewhere with their next requests and waits for those under way.
func (m *mux) shutdown(ctx context.Context) error {
	err := m.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, m.server.Close())
	}
	<-m.ended
	m.mu.Lock()
	m.over = true
	m.mu.Unlock()
	m.streams.Wait()
	return err
}

// enter notes that a stream begins; it leaves streams itself. False: it came too late, over a connection that was just cut.
func (m *mux) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.over {
		m.streams.Add(1)
	}
	return !m.over
}

// queue is the listener from which http.Server gets connections that were accepted elsewhere.
type queue struct {
	conns chan *tls.Conn
	over  chan struct{}
	once  sync.Once
}

func newQueue() *queue { return &queue{conns: make(chan *tls.Conn), over: make(chan struct{})} }

func (q *queue) put(c *tls.Conn) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.over:
		return false
	}
}

// Accept returns the next connection put.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.over:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.over) })
	return nil
}

// Addr is of no interest to anybody.
func (q *queue) Addr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }
