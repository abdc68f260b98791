package forward

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/metric"
	"github.com/sealgate/sealgate/relay/count"
)

// Server accepts clients and serves their requests. Safe for concurrent use.
type Server struct {
	o        ServerOptions
	limits   Limits
	log      *slog.Logger
	excess   *prometheus.CounterVec
	refusals *prometheus.CounterVec // of HTTP/2 itself

	heads   buffers // of client readers
	works   sync.Pool
	parsers sync.Pool // *bufio.Reader: of heads
	census  count.Census
	watch   func() *watch
	loops   *loops
	start   func() error // makes loops, once
	closing atomic.Bool
	closed  chan struct{} // closed with closing

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	clients   map[*client]struct{}
	mux       *mux           // nil: nobody has spoken HTTP/2 yet
	serving   sync.WaitGroup // calls of Serve
	running   sync.WaitGroup
	cutting   bool // nobody is let in any more
	quiet     chan struct{}
	onceQuiet sync.Once
}

// NewServer returns a Server that is ready to Serve.
func NewServer(o ServerOptions) *Server {
	s := &Server{
		o: o, limits: o.Limits.orDefault(), log: logger(o.Log),
		excess:   metric.Exceeded(o.Metrics),
		refusals: metric.Counter(o.Metrics, "sealgate_http2_errors_total", "Streams and connections that broke the rules of HTTP/2.", "kind"),
		heads:    buffers{size: 16 << 10},
		closed:   make(chan struct{}), quiet: make(chan struct{}),

		listeners: make(map[net.Listener]struct{}),
		clients:   make(map[*client]struct{}),
	}
	threads := min(runtime.GOMAXPROCS(0), runtime.NumCPU())
	s.start = sync.OnceValue(func() (err error) {
		s.loops, err = newLoops(threads)
		return err
	})
	s.census.Limit = s.limits.ConnectionsPerClient
	l := &s.limits
	shortest := min(l.HeaderTimeout, l.IdleTimeout, l.BodyTimeout, l.WriteTimeout)
	s.watch = sync.OnceValue(func() *watch { return newWatch(tickFor(shortest)) })
	return s
}

// Serve serves l until ctx is done or Shutdown is called, and closes it; several calls with different
// listeners may run at once. Connections outlive it: Shutdown ends them. It returns nil unless l fails.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if err := s.start(); err != nil {
		return errors.Join(err, l.Close())
	}
	if !s.enlist(l) { // Shutdown came first
		_ = l.Close()
		return nil
	}
	defer s.delist(l)
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			s.welcome(c)
		case s.closing.Load() || ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		case !passing(err):
			return err
		default:
			s.log.Warn("cannot accept a connection", "error", err)
			if !pause(ctx) {
				return nil
			}
		}
	}
}

// passing reports whether an accept error goes away by itself, like too many open files.
func passing(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func pause(ctx context.Context) bool {
	t := time.NewTimer(50 * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (s *Server) enlist(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.listeners[l] = struct{}{}
	s.serving.Add(1)
	return true
}

func (s *Server) delist(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	s.serving.Done()
	_ = l.Close() // it is closed already, or nobody can do anything about it
}

// welcome serves c in a task that ends with the connection; Shutdown awaits it.
func (s *Server) welcome(c net.Conn) {
	if t, ok := speaksHTTP2(c); ok {
		s.multiplex().take(t)
		return
	}
	k, err := s.newClient(c)
	if err != nil {
		s.log.Warn("cannot accept a connection", "error", err)
		return
	}
	if !s.join(k) {
		_ = k.Close()
		return
	}
	s.running.Add(1)
	serve := func() {
		defer s.running.Done()
		defer s.part(k)
		k.serve()
	}
	if k.task != nil {
		k.task.start(serve)
		return
	}
	go serve()
}

// multiplex returns what serves HTTP/2.
func (s *Server) multiplex() *mux {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mux == nil {
		s.mux = newMux(s)
	}
	return s.mux
}

// join admits k unless the server is full or gone. Who was accepted before the listeners closed is served.
func (s *Server) join(k *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cutting {
		return false
	}
	if len(s.clients) >= s.limits.Connections {
		s.excess.WithLabelValues("connections").Inc()
		return false
	}
	s.clients[k] = struct{}{}
	return true
}

func (s *Server) part(k *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, k)
}
