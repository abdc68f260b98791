package edge_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/relay/edge"
	"github.com/sealgate/sealgate/relay/forward"
)

// pebble is a real ACME authority: Let's Encrypt's own test server, which validates for real.
type pebble struct {
	host      string
	directory string
	caFile    string         // trusts its HTTPS
	roots     *x509.CertPool // trust what it issues
	log       *safeBuffer
}

// validity of Pebble's certificates: short, so that a renewal comes soon.
const validity = 10 * time.Second

func startPebble(t *testing.T, httpPort, tlsPort int) *pebble {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "pebble")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build Pebble: %v\n%s", err, out)
	}
	a := newAuthority(t)
	cert, key := a.issue(t, dir, 2, time.Now().Add(time.Hour))
	p := &pebble{caFile: filepath.Join(dir, "ca.pem"), log: new(safeBuffer)}
	write(t, p.caFile, a.pem)
	api, management := freeAddress(t), freeAddress(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": api, "managementListenAddress": management, "certificate": cert, "privateKey": key,
		"httpPort": httpPort, "tlsPort": tlsPort, "keyAlgorithm": "ecdsa",
		"profiles": map[string]any{"default": map[string]any{"description": "short", "validityPeriod": int(validity.Seconds())}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "pebble.json"), config)
	cmd := exec.CommandContext(t.Context(), binary, "-strict", "-config", filepath.Join(dir, "pebble.json"))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	p.host, p.directory = api, "https://"+api+"/dir"
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool()}, DisableKeepAlives: true}}
	eventually(t, 10*time.Second, "Pebble answers", func() bool {
		r, err := client.Get("https://" + management + "/roots/0")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		root, err := io.ReadAll(r.Body)
		p.roots = x509.NewCertPool()
		return err == nil && p.roots.AppendCertsFromPEM(root)
	})
	return p
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(within)
	defer end.Stop()
	for look := time.NewTicker(50 * time.Millisecond); ; {
		if ok() {
			return
		}
		select {
		case <-look.C:
		case <-end.C:
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// TestACME: a real authority issues by HTTP-01 alone and by TLS-ALPN-01 alone, and renews, while the gateway's
// own listeners answer the challenges.
func TestACME(t *testing.T) {
	plain, secure := listen(t), listen(t)
	p := startPebble(t, port(plain), port(secure))
	for name, o := range map[string]edge.ACMEOptions{
		"HTTP-01":     {HTTP: true},
		"TLS-ALPN-01": {TLS: true},
	} {
		t.Run(name, func(t *testing.T) {
			o.Domain, o.Directory, o.CAFile = "localhost", p.directory, p.caFile
			o.Path, o.Check, o.Email = filepath.Join(t.TempDir(), "acme"), 250*time.Millisecond, "admin@example.org"
			var log safeBuffer
			o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			began := time.Now()
			first, second := issueAndRenew(t, o, plain, secure, p)
			t.Logf("issued after %v, serial %s; renewed after %v, serial %s", first.at.Sub(began), first.serial, second.at.Sub(began), second.serial)
			if first.serial == second.serial {
				t.Error("the certificate was not renewed")
			}
			if log.count(`msg="certificate was issued"`) < 2 {
				t.Error("issue and renewal were not logged")
			}
			kept, err := filepath.Glob(filepath.Join(o.Path, "certificates", "*", "localhost", "localhost.key"))
			if err != nil || len(kept) != 1 {
				t.Fatalf("kept keys: %v %v", kept, err)
			}
			if i, err := os.Stat(kept[0]); err != nil || i.Mode().Perm() != 0o600 {
				t.Errorf("the key's mode is %v", i.Mode())
			}
			for _, secret := range []string{"PRIVATE KEY", "token", "keyAuth", "key_auth", "127.0.0.1:" /* clients */} {
				for line := range strings.Lines(log.b.String()) {
					if strings.Contains(strings.ReplaceAll(line, p.host, ""), secret) {
						t.Errorf("a log line has %q: %s", secret, line)
						break
					}
				}
			}
		})
		if t.Failed() {
			t.Logf("Pebble said: %s", lastLines(p.log.b.Bytes(), 40))
		}
	}
}

// TestACMEWaitsForRoom: a tls.acme.path that cannot be written is named, and the certificate is asked for as soon as it can.
func TestACMEWaitsForRoom(t *testing.T) {
	plain := listen(t)
	p := startPebble(t, port(plain), 1)
	var log safeBuffer
	metrics, path := prometheus.NewRegistry(), filepath.Join(t.TempDir(), "acme")
	a, err := edge.NewACME(edge.ACMEOptions{
		Domain: "localhost", Directory: p.directory, CAFile: p.caFile, HTTP: true, Path: path, Check: 100 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", path); err != nil { // no directory can be made there
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	redirect := forward.NewServer(forward.ServerOptions{Handler: edge.Redirect{Base: "https://localhost", Challenge: a.Challenge}.Handle})
	go func() { _ = redirect.Serve(ctx, borrowed(t, plain)) }()
	defer redirect.Shutdown(ctx)
	end := func() float64 {
		got, _ := metrics.Gather()
		return got[0].GetMetric()[0].GetGauge().GetValue()
	}
	eventually(t, 10*time.Second, "what is wrong", func() bool { return log.count(`msg="certificate was not issued"`) > 1 })
	if log.count("write to tls.acme.path") == 0 || end() != 0 {
		t.Errorf("the metric is %v and the log %s", end(), log.b.String())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "a certificate", func() bool { return end() > 0 })
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

type shown struct {
	serial string
	at     time.Time
}

func issueAndRenew(t *testing.T, o edge.ACMEOptions, plain, secure net.Listener, p *pebble) (first, second shown) {
	t.Helper()
	a, err := edge.NewACME(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	defer func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	redirect := forward.NewServer(forward.ServerOptions{Handler: edge.Redirect{Base: "https://localhost", Challenge: a.Challenge}.Handle})
	l := edge.NewListener(borrowed(t, secure), edge.ListenerOptions{Config: edge.Config(a)})
	go func() { _ = redirect.Serve(ctx, borrowed(t, plain)) }()
	go hangUp(l)
	defer l.Close()
	defer redirect.Shutdown(ctx)
	go func() { ran <- a.Run(ctx) }()

	look := func() (s shown, ok bool) {
		d := &tls.Dialer{Config: &tls.Config{RootCAs: p.roots, ServerName: "localhost"}}
		c, err := d.DialContext(ctx, "tcp", secure.Addr().String())
		if err != nil {
			return s, false
		}
		defer c.Close()
		return shown{c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Text(16), time.Now()}, true
	}
	eventually(t, 30*time.Second, "a certificate", func() (ok bool) { first, ok = look(); return ok })
	eventually(t, 3*validity, "another certificate", func() (ok bool) {
		second, ok = look()
		return ok && second.serial != first.serial
	})
	return first, second
}

// borrowed returns a listener on the same socket, so that a test's server can end without closing it.
func borrowed(t *testing.T, l net.Listener) net.Listener {
	t.Helper()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hangUp ends every connection once its handshake is done.
func hangUp(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.Close()
	}
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func lastLines(b []byte, n int) string {
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func TestACMEOptions(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.pem")
	write(t, bad, []byte("nothing"))
	for want, o := range map[string]edge.ACMEOptions{
		"tls.http":         {Domain: "localhost", Path: dir},
		"tls.acme.ca_file": {Domain: "localhost", Path: dir, HTTP: true, CAFile: bad},
		"tls.acme.path":    {Domain: "localhost", Path: filepath.Join(bad, "below"), HTTP: true},
	} {
		if _, err := edge.NewACME(o); err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestACMEStrangers: who asks for the answer to a challenge that nobody waits for is refused, and fills no log.
func TestACMEStrangers(t *testing.T) {
	var log safeBuffer
	a, err := edge.NewACME(edge.ACMEOptions{
		Domain: "localhost", Path: t.TempDir(), HTTP: true, TLS: true, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	for _, name := range []string{"localhost", "elsewhere.example"} {
		hello := &tls.ClientHelloInfo{ServerName: name, SupportedProtos: []string{"acme-tls/1"}, Conn: ours}
		if _, err := a.Certificate(hello); err == nil {
			t.Errorf("%s: somebody was shown a certificate", name)
		}
	}
	if _, ok := a.Challenge("/.well-known/acme-challenge/x"); ok {
		t.Error("somebody was given an answer")
	}
	if n := log.count("level="); n > 0 {
		t.Errorf("%d lines were logged: %s", n, log.b.Bytes())
	}
}
