package forward

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

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
	works   spares[work]
	parsers spares[bufio.Reader] // of heads
	census  count.Census
	watch   func() *watch
	closing atomic.Bool
	closed  chan struct{} // closed with closing

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	clients   map[*client]struct{}
	loops     *loops         // nil: nobody has called Serve yet
	mux       *mux           // nil: nobody has spoken HTTP/2 yet
	serving   sync.WaitGroup // calls of Serve
	running   sync.WaitGroup
	cutting   bool // nobody is let in any more
	preferred bool
	quiet     chan struct{}
	onceQuiet sync.Once
}

// NewServer returns a Server that is ready to Serve.
func NewServer(o ServerOptions) *Server {
	s := &Server{
		o: o, limits: o.Limits.orDefault(), log: logger(o.Log),
		excess:   metric.Exceeded(o.Metrics),
		refusals: metric.Counter(o.Metrics, "sealgate_http2_errors_total", "Streams and connections that broke the rules of HTTP/2.", "kind"),
		heads:    newBuffers(16<<10, func(k *stock) *[]*[]byte { return &k.heads }),
		works:    spares[work]{own: func(k *stock) *[]*work { return &k.works }, fresh: newWork},
		closed:   make(chan struct{}), quiet: make(chan struct{}),

		listeners: make(map[net.Listener]struct{}),
		clients:   make(map[*client]struct{}),
	}
	s.parsers = spares[bufio.Reader]{own: func(k *stock) *[]*bufio.Reader { return &k.parsers }, fresh: func() *bufio.Reader {
		return bufio.NewReaderSize(nil, s.limits.HeaderBytes)
	}}
	s.census.Limit = s.limits.ConnectionsPerClient
	l := &s.limits
	shortest := min(l.HeaderTimeout, l.IdleTimeout, l.BodyTimeout, l.WriteTimeout)
	s.watch = sync.OnceValue(func() *watch { return newWatch(tickFor(shortest)) })
	return s
}

// Prefer has the threads that serve plain connections go before all other threads of the process, for as long as it runs. Call it
// before Serve.
func (s *Server) Prefer() { s.preferred = true }

// Serve serves l until ctx is done or Shutdown is called, and closes it; several calls with different
// listeners may run at once. Connections outlive it: Shutdown ends them. It returns nil unless l fails.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if ok, err := s.enlist(l); !ok {
		_ = l.Close()
		return err
	}
	defer s.delist(l)
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		c, err := l.Accept()
		if err == nil {
			err = s.welcome(c)
		}
		switch {
		case err == nil:
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

// errUnwatched is a connection that was accepted and could not be taken over.
var errUnwatched = errors.New("forward: no more connections can be watched")

// passing reports whether an accept error goes away by itself: there are too many open files, there is no memory, or the connection
// had failed already (accept(2)).
func passing(err error) bool {
	for _, e := range [...]error{
		errUnwatched, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EPERM, unix.EINTR, unix.ECONNABORTED, unix.ECONNRESET, unix.EPROTO,
		unix.ENETDOWN, unix.ENOPROTOOPT, unix.EHOSTDOWN, unix.ENONET, unix.EHOSTUNREACH, unix.EOPNOTSUPP, unix.ENETUNREACH,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
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

// enlist notes l, and makes the loops. False without an error: Shutdown came first.
func (s *Server) enlist(l net.Listener) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false, nil
	}
	if s.loops == nil {
		ls, err := newLoops(max(1, runtime.GOMAXPROCS(0)/PlacesEach))
		if err != nil {
			return false, err
		}
		s.loops = ls
		if s.preferred {
			s.prefer()
		}
	}
	s.listeners[l] = struct{}{}
	s.serving.Add(1)
	return true, nil
}

// prefer has the loops go first if that can be done.
func (s *Server) prefer() {
	if err := s.loops.prefer(); err != nil {
		s.log.Info("clients are not served before all other work: under overload ordinary requests take longer", "error", err)
	}
}

func (s *Server) delist(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	s.serving.Done()
	_ = l.Close() // it is closed already, or nobody can do anything about it
}

// welcome serves c in a task that ends with the connection; Shutdown awaits it. An error says why c was closed at once.
func (s *Server) welcome(c net.Conn) error {
	if t, ok := speaksHTTP2(c); ok {
		s.multiplex().take(t)
		return nil
	}
	k, err := s.newClient(c)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnwatched, err)
	}
	if !s.join(k) {
		_ = k.Close()
		return nil
	}
	s.running.Add(1)
	serve := func() { s.attend(k) }
	if k.task != nil {
		k.task.start(serve)
		return nil
	}
	go serve()
	return nil
}

// attend serves k to its end. A live reply, which may go on for days, has a goroutine of its own and holds no task.
func (s *Server) attend(k *client) {
	if !s.contain(k.serve) {
		k.live = nil
	}
	rest := func() {
		defer s.running.Done()
		defer s.part(k)
		defer k.end()
		if k.live != nil {
			s.contain(k.runLive)
		}
	}
	if k.live == nil || k.task == nil {
		rest()
		return
	}
	k.task.on = false // what it says from here on: whoever waits for the wire is on no loop
	go rest()
}

// contain runs f and reports whether it returned. A panic ends its connection only: others are served by the same thread.
func (s *Server) contain(f func()) (returned bool) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("connection panicked", slog.Any("panic", p))
		}
	}()
	f()
	return true
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
