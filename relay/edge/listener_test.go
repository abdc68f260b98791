package edge_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/relay/edge"
)

func secureListener(t *testing.T, o edge.ListenerOptions) (*edge.Listener, *tls.Config) {
	t.Helper()
	a, dir := newAuthority(t), t.TempDir()
	cert, key := a.issue(t, dir, 2, time.Now().Add(time.Hour))
	f, err := edge.NewFiles(edge.FilesOptions{Certificate: cert, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	o.Config = edge.Config(f)
	l := edge.NewListener(listen(t), o)
	t.Cleanup(func() { _ = l.Close() })
	return l, &tls.Config{RootCAs: a.pool(), ServerName: "localhost"}
}

// TestSlowHandshakes: clients that say nothing keep nobody waiting, are given up, and are counted.
func TestSlowHandshakes(t *testing.T) {
	metrics := prometheus.NewPedanticRegistry()
	l, c := secureListener(t, edge.ListenerOptions{Timeout: 300 * time.Millisecond, Metrics: metrics})
	go hangUp(l)
	var silent []net.Conn
	for range 50 {
		s, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		silent = append(silent, s)
	}
	began := time.Now()
	quick, err := tls.Dial("tcp", l.Addr().String(), c)
	if err != nil {
		t.Fatal(err)
	}
	quick.Close()
	if d := time.Since(began); d > 250*time.Millisecond {
		t.Errorf("a handshake beside silent ones took %v", d)
	}
	for _, s := range silent {
		s.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := s.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a silent client was told %v", err)
		}
	}
	eventually(t, 5*time.Second, "50 timeouts are counted", func() bool { return failures(t, metrics, "timeout") == 50 })
}

// failures returns how many handshakes failed for a reason.
func failures(t *testing.T, metrics prometheus.Gatherer, reason string) float64 {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "sealgate_tls_handshake_failures_total" && m.GetLabel()[0].GetValue() == reason {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// TestPlainHTTPIsTurnedAway: who speaks HTTP without TLS is told so, and gets the answer whole.
func TestPlainHTTPIsTurnedAway(t *testing.T) {
	metrics := prometheus.NewPedanticRegistry()
	l, _ := secureListener(t, edge.ListenerOptions{Metrics: metrics})
	go hangUp(l)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a\r\nCookie: %s\r\n\r\n", strings.Repeat("a", 16<<10))
	b, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 400 Bad Request\r\n") || !strings.Contains(string(b), "tls.mode") {
		t.Errorf("got %q, %v", b, err)
	}
	if failures(t, metrics, "not_tls") != 1 {
		t.Error("it is not counted")
	}
}

// TestGoneInAHandshake: who only looks whether somebody listens, as load balancers do, is no broken client.
func TestGoneInAHandshake(t *testing.T) {
	metrics := prometheus.NewPedanticRegistry()
	l, _ := secureListener(t, edge.ListenerOptions{Metrics: metrics})
	go hangUp(l)
	for _, said := range []string{"", "\x16\x03\x01"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, said)
		c.Close()
	}
	eventually(t, 5*time.Second, "both are counted", func() bool { return failures(t, metrics, "closed") == 2 })
}

// TestPlacesForHandshakesAreGivenBack: those of clients that succeed, and of those that leave.
func TestPlacesForHandshakesAreGivenBack(t *testing.T) {
	for name, o := range map[string]edge.ListenerOptions{"of all": {AtOnce: 1}, "of a client": {PerClient: 1}} {
		t.Run(name, func(t *testing.T) {
			l, c := secureListener(t, o)
			go hangUp(l)
			for range 3 {
				silent, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				silent.Close()
				eventually(t, 5*time.Second, "a place is free", func() bool {
					quick, err := tls.Dial("tcp", l.Addr().String(), c)
					if err == nil {
						quick.Close()
					}
					return err == nil
				})
			}
		})
	}
}

// TestHandshakesPerClient: one client cannot begin any number of handshakes.
func TestHandshakesPerClient(t *testing.T) {
	l, _ := secureListener(t, edge.ListenerOptions{Timeout: 5 * time.Second, PerClient: 2})
	go hangUp(l)
	refused := 0
	for range 4 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d of 4 handshakes were refused, not 2", refused)
	}
}

// TestVersions: TLS 1.1 is refused, 1.2 and 1.3 are not; HTTP/2 is preferred.
func TestVersions(t *testing.T) {
	l, c := secureListener(t, edge.ListenerOptions{})
	go hangUp(l)
	for version, good := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c := c.Clone()
		c.MinVersion, c.MaxVersion, c.NextProtos = version, version, []string{"http/1.1", "h2"}
		conn, err := tls.Dial("tcp", l.Addr().String(), c)
		if (err == nil) != good {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			if p := conn.ConnectionState().NegotiatedProtocol; p != "h2" {
				t.Errorf("the protocol is %q", p)
			}
			conn.Close()
		}
	}
}

// TestTornConnection: what was cut does not look as if it had ended well.
func TestTornConnection(t *testing.T) {
	for linger, whole := range map[int]bool{0: false, -1: true} {
		l, c := secureListener(t, edge.ListenerOptions{})
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("hello"))
			if linger == 0 {
				conn.(*edge.Conn).SetLinger(0)
			}
			conn.Close()
		}()
		conn, err := tls.Dial("tcp", l.Addr().String(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); (err == nil) != whole {
			t.Errorf("linger %d: %v", linger, err)
		}
		conn.Close()
	}
}

// TestCloseLetsHandshakesFinish: who had begun to shake hands when the listener closed is still accepted.
func TestCloseLetsHandshakesFinish(t *testing.T) {
	l, c := secureListener(t, edge.ListenerOptions{Timeout: 5 * time.Second})
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	other, err := tls.Dial("tcp", l.Addr().String(), c) // by now raw has been accepted
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	l.Close()
	go func() { _ = tls.Client(raw, c).Handshake() }()
	accepted := 0
	for {
		conn, err := l.Accept()
		if err != nil {
			break
		}
		accepted++
		go conn.Close()
	}
	if accepted != 2 {
		t.Errorf("%d connections were accepted, not 2", accepted)
	}
}
