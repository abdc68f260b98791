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

// Shutdown stops listening, answers what is on the way with Connection: close, lets requests and tunnels
// finish until ctx is done, and cuts what is left; then it returns ctx's error. Serve cannot be called again.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopListening()
	all := make(chan struct{})
	go func() { // ends when the last connection does
		s.running.Wait()
		close(all)
	}()
	defer s.watch().close()
	t := time.NewTicker(shutdownLook)
	defer t.Stop()
	for began := time.Now(); ; {
		select {
		case <-all:
			return nil
		case <-ctx.Done():
			s.cut(0)
			select { // a handler that waits for something else than its client may stay longer
			case <-all:
			case <-time.After(shutdownGrace):
			}
			return ctx.Err()
		case <-t.C:
			if time.Since(began) > shutdownGrace {
				s.cut(idle)
			}
		}
	}
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
	for k := range s.clients {
		if only == 0 || k.phase.CompareAndSwap(uint32(only), uint32(gone)) {
			k.sever()
		}
	}
}
