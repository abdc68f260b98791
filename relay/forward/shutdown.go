package forward

import (
	"context"
	"time"
)

// Grace periods of a shutdown. A client that keeps a connection may have a request on the way: it gets an
// answer with Connection: close before connections without requests are closed.
const (
	shutdownGrace = 500 * time.Millisecond
	shutdownLook  = 20 * time.Millisecond
)

// Shutdown stops listening, answers what is on the way with Connection: close (over HTTP/2 with GOAWAY), lets
// requests and tunnels finish until ctx is done, and cuts what is left; then it returns ctx's error. Serve
// cannot be called again; Shutdown can, one call after the other.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopListening()
	all := make(chan struct{})
	requests := make(chan struct{})
	go s.awaitEnd(ctx, requests, all)
	defer s.watch().close()
	t := time.NewTicker(shutdownLook)
	defer t.Stop()
	for began := time.Now(); ; {
		select {
		case <-all:
			s.drained()
			s.loops.close()
			return nil
		case <-ctx.Done():
			s.cut(0)
			select { // a handler that waits for something else than its client may stay longer
			case <-all:
				s.loops.close()
			case <-time.After(shutdownGrace):
			}
			s.drained()
			return ctx.Err()
		case <-t.C:
			if time.Since(began) > shutdownGrace {
				s.cut(idle)
			}
			s.lookAround(requests)
		}
	}
}

// awaitEnd closes requests when everything but HTTP/1.1 is over, and all when the last connection has ended.
func (s *Server) awaitEnd(ctx context.Context, requests, all chan<- struct{}) {
	s.serving.Wait() // what was accepted is welcomed
	s.mu.Lock()
	m := s.mux
	s.mu.Unlock()
	if m != nil {
		_ = m.shutdown(ctx) // it fails when ctx is done, and Shutdown knows
	}
	close(requests)
	s.running.Wait()
	close(all)
}

// Drained is closed when Shutdown has seen the last request answered. Tunnels may still be open, and end
// with Shutdown.
func (s *Server) Drained() <-chan struct{} { return s.quiet }

func (s *Server) drained() { s.onceQuiet.Do(func() { close(s.quiet) }) }

// lookAround notes when only tunnels are left.
func (s *Server) lookAround(requests <-chan struct{}) {
	select {
	case <-requests:
	default:
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.clients {
		if k.phase.Load() != uint32(tunnelled) {
			return
		}
	}
	s.drained()
}

func (s *Server) stopListening() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing.Swap(true) {
		close(s.closed)
	}
	for l := range s.listeners {
		_ = l.Close() // Serve returns whatever it says
	}
}

// cut closes the connections in the given phase, or all.
func (s *Server) cut(only phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutting = s.cutting || only == 0
	for k := range s.clients {
		if only == 0 || k.phase.CompareAndSwap(uint32(only), uint32(gone)) {
			k.sever()
		}
	}
}
