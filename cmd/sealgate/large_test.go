package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// child is the program in a process of its own, as it is installed.
type child struct {
	cmd     *exec.Cmd
	address string
	admin   string
	dir     string
	pool    *x509.CertPool // of its certificate
	log     *bytes.Buffer  // to be read when it has ended
}

// startChild builds and starts the gateway before upstream, as the TLS edge; more is YAML behind the rest.
func startChild(t *testing.T, upstream, more string) *child {
	t.Helper()
	c := &child{dir: t.TempDir(), address: freeAddress(t), admin: freeAddress(t), log: &bytes.Buffer{}}
	c.pool = selfSigned(t, c.dir)
	config := fmt.Sprintf(`
domain: %[1]s
listen: %[1]s
upstream: {web: %[2]q}
policy: {preset: open}
tls: {mode: files, certificate: cert.pem, key: key.pem}
admin: {listen: %[3]q}
%[4]s`, c.address, upstream, c.admin, more)
	file := filepath.Join(c.dir, "sealgate.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), buildGateway(t), "serve", "--config", file)
	c.cmd.Stderr = c.log
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.stop(t) })
	client := c.client(1)
	defer client.CloseIdleConnections()
	getWhenReady(t, client, "https://"+c.address+"/e2ee/actor").Body.Close()
	return c
}

func (c *child) stop(t *testing.T) {
	t.Helper()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("the gateway: %v\n%s", err, c.log)
	}
}

// client speaks one version of HTTP, 1 or 2, with the gateway.
func (c *child) client(version int) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.pool}, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(version == 1)
	tr.Protocols.SetHTTP2(version == 2)
	return &http.Client{Transport: tr}
}

// peak returns the most memory it ever had resident, in MiB.
func (c *child) peak(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "VmHWM:")
	kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(strings.SplitN(after, "\n", 2)[0]), " kB"))
	if err != nil {
		t.Fatalf("VmHWM: %v", err)
	}
	return kib >> 10
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// counting reads a body to its end, answers with its length, and then sends as much as ?send says.
func counting(w http.ResponseWriter, r *http.Request) {
	buffer := make([]byte, 256<<10)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, buffer)
	if err != nil {
		return
	}
	send, _ := strconv.ParseInt(r.URL.Query().Get("send"), 10, 64)
	w.Header().Set("X-Got", strconv.FormatInt(n, 10))
	w.Header().Set("Content-Length", strconv.FormatInt(send, 10))
	_, _ = io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(zeros{}, send), buffer)
}

// TestLargeBodies: bodies of 2 GiB go each way over HTTP/1.1 and of 512 MiB over HTTP/2, both through TLS, and the
// program stays below 64 MiB, over HTTP/2 below 80: its frames are garbage, of which the runtime lets 26 MiB lie before it looks.
// With SEALGATE_SOAK set (make soak) they are of 2 GiB over both.
func TestLargeBodies(t *testing.T) {
	upstream := serveCounting(t)
	for version, most := range map[int]int{1: 64, 2: 80} {
		c, size := startChild(t, upstream, ""), int64(2<<30)
		if version == 2 && os.Getenv("SEALGATE_SOAK") == "" {
			size = 512 << 20
		}
		began, client := time.Now(), c.client(version)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			fmt.Sprintf("https://%s/media?send=%d", c.address, size), io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = size
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("HTTP/%d: %v", version, err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		client.CloseIdleConnections()
		if resp.ProtoMajor != version || resp.Header.Get("X-Got") != strconv.FormatInt(size, 10) || n != size || err != nil {
			t.Errorf("HTTP/%d: %s up, %d down, %v", resp.ProtoMajor, resp.Header.Get("X-Got"), n, err)
		}
		t.Logf("HTTP/%d: %d MiB each way in %v, peak of %d MiB", version, size>>20, time.Since(began), c.peak(t))
		if mib := c.peak(t); mib >= most {
			t.Errorf("HTTP/%d: %d MiB were resident", version, mib)
		}
	}
}

func serveCounting(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(counting)}
	t.Cleanup(func() { s.Close() })
	go func() { _ = s.Serve(l) }()
	return "http://" + l.Addr().String()
}
