package forward_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/relay/forward"
)

// toxiproxy is a real one; it ends with the test.
type toxiproxy struct{ api string }

func startToxiproxy(t *testing.T) *toxiproxy {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join("..", "..", ".ci", "tools.sh"), "toxiproxy").Output()
	if err != nil {
		t.Fatalf("toxiproxy: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	cmd := exec.CommandContext(t.Context(), strings.TrimSpace(string(out)), "-host", host, "-port", port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	p := &toxiproxy{api: "http://" + net.JoinHostPort(host, port)}
	eventually(t, "toxiproxy answers", func() bool {
		resp, err := http.Get(p.api + "/version")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return p
}

func (p *toxiproxy) post(t *testing.T, path, body string) []byte {
	t.Helper()
	resp, err := http.Post(p.api+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode/100 != 2 {
		t.Fatalf("toxiproxy: %s: %d %s", path, resp.StatusCode, b)
	}
	return b
}

// before puts a proxy called name before upstream and returns its address.
func (p *toxiproxy) before(t *testing.T, name, upstream string) string {
	t.Helper()
	var made struct{ Listen string }
	body := fmt.Sprintf(`{"name":%q,"listen":"127.0.0.1:0","upstream":%q,"enabled":true}`, name, upstream)
	if err := json.Unmarshal(p.post(t, "/proxies", body), &made); err != nil {
		t.Fatal(err)
	}
	return made.Listen
}

// journal keeps what is logged.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) has(s string) bool { return j.count(s) > 0 }

func (j *journal) count(s string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.b.String(), s)
}

func journalOf(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

const pageBytes = 256 << 10

// faults are what happens on the way to the instance, late: when half of the reply has arrived. Without a kind
// nothing fails.
var faults = []struct {
	name, toxic string
	late        bool
	status      int
	whole       bool
	kind        string
}{
	{"delayed", `{"type":"latency","attributes":{"latency":150,"jitter":50}}`, false, 200, true, ""},
	{"sliced", `{"type":"slicer","attributes":{"average_size":700,"size_variation":300,"delay":10}}`, false, 200, true, ""},
	{"slow", `{"type":"bandwidth","attributes":{"rate":1024}}`, false, 200, true, ""},
	{"cut inside the body", `{"type":"limit_data","attributes":{"bytes":100000}}`, false, 200, false, "truncated"},
	{"cut inside the head", `{"type":"limit_data","attributes":{"bytes":20}}`, false, 502, false, "closed"},
	{"reset at once", `{"type":"reset_peer","attributes":{"timeout":0}}`, false, 502, false, "closed"},
	{"reset inside the body", `{"type":"reset_peer","attributes":{"timeout":0}}`, true, 200, false, "truncated"},
	{"hanging", `{"type":"timeout","attributes":{"timeout":0}}`, false, 504, false, "timeout"},
	{"hanging inside the body", `{"type":"timeout","attributes":{"timeout":0}}`, true, 200, false, "stalled"},
	{"closed without an answer", `{"type":"timeout","attributes":{"timeout":50}}`, false, 502, false, "closed"},
}

// TestFaultsOnTheWayToTheInstance spoils the network with toxiproxy: each fault has a status, a metric and a
// log line, a client never takes half a reply for whole, and requests that go elsewhere notice nothing.
func TestFaultsOnTheWayToTheInstance(t *testing.T) {
	t.Parallel()
	toxics := startToxiproxy(t)
	for _, f := range faults {
		t.Run(strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) {
			rest := make(chan struct{})
			up := serveScript(t, "tcp", func(c net.Conn, _ int) { servePage(c, rest) })
			logged := &journal{}
			name := filepath.Base(t.Name())
			g := openBeside(t, toxics.before(t, name, up.Addr().String()), logged)
			spoil := func() { toxics.post(t, "/proxies/"+name+"/toxics", f.toxic) }
			halfway := func() { spoil(); close(rest) }
			if !f.late {
				halfway()
				halfway = func() {}
			}
			asked := make(chan struct{})
			go func() { defer close(asked); beside(t, g) }()
			status, whole := fetchPage(t, g, halfway)
			<-asked
			if status != f.status || whole != f.whole {
				t.Errorf("status %d, whole %v; want %d, %v", status, whole, f.status, f.whole)
			}
			checkBlame(t, g, logged, f.kind)
		})
	}
}

// TestACutUpstreamComesBack: with the link gone requests are answered 502 at once, and the first after it is
// there again is served; connections kept from before do no harm.
func TestACutUpstreamComesBack(t *testing.T) {
	t.Parallel()
	toxics := startToxiproxy(t)
	rest := make(chan struct{})
	close(rest)
	up := serveScript(t, "tcp", func(c net.Conn, _ int) { servePage(c, rest) })
	g := openBeside(t, toxics.before(t, "up", up.Addr().String()), &journal{})
	for round := range 3 {
		if status, whole := fetchPage(t, g, func() {}); status != 200 || !whole {
			t.Fatalf("round %d: status %d, whole %v", round, status, whole)
		}
		toxics.post(t, "/proxies/up", `{"enabled":false}`)
		if status, _ := fetchPage(t, g, func() {}); status != 502 {
			t.Errorf("round %d: status %d without an upstream", round, status)
		}
		beside(t, g)
		toxics.post(t, "/proxies/up", `{"enabled":true}`)
	}
	if n := metric(t, g, "sealgate_upstream_errors_total", "dial"); n != 3 {
		t.Errorf("counted %v", n)
	}
}

// servePage answers one request after another with half a page at once and half after rest is closed.
func servePage(c net.Conn, rest <-chan struct{}) {
	defer c.Close()
	half := bytes.Repeat([]byte("p"), pageBytes/2)
	for {
		if _, err := readHead(c); err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", pageBytes)
		c.Write(half)
		<-rest
		if _, err := c.Write(half); err != nil {
			return
		}
	}
}

// openBeside starts a gateway before the upstream at address; /beside goes to another one, which is well.
func openBeside(t *testing.T, address string, logged io.Writer) *gateway {
	t.Helper()
	well, err := forward.NewUpstream(forward.UpstreamOptions{URL: urlOf(greeter(t))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { well.Close() })
	return open(t, setup{upstream: forward.UpstreamOptions{
		URL: "http://" + address, HeaderTimeout: time.Second, StallTimeout: time.Second,
		Log: journalOf(logged),
	}}, func(u *forward.Upstream) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/beside" {
				well.Pass(ctx)
				return
			}
			u.Pass(ctx)
		}
	})
}

// beside asks the upstream that is well a hundred times.
func beside(t *testing.T, g *gateway) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{}, Timeout: 2 * time.Second}
	defer c.CloseIdleConnections()
	for range 100 {
		resp, err := c.Get("http://" + g.address + "/beside")
		if err != nil {
			t.Errorf("another client: %v", err)
			return
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("another client got %d", resp.StatusCode)
		}
	}
}

// fetchPage asks for the page, calls halfway after half of it, and reports whether it came whole.
func fetchPage(t *testing.T, g *gateway, halfway func()) (status int, whole bool) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := c.Get("http://" + g.address + "/page")
	if err != nil {
		t.Errorf("no answer at all: %v", err)
		return 0, false
	}
	defer resp.Body.Close()
	n, err := io.CopyN(io.Discard, resp.Body, pageBytes/2)
	halfway()
	if err == nil {
		var m int64
		m, err = io.Copy(io.Discard, resp.Body)
		n += m
	}
	return resp.StatusCode, err == nil && n == pageBytes
}

// checkBlame looks for exactly one failure of this kind among the metrics and in the log, or for none.
func checkBlame(t *testing.T, g *gateway, logged *journal, kind string) {
	t.Helper()
	if kind == "" {
		if logged.has("upstream failed") {
			t.Errorf("logged %s", logged.b.String())
		}
		return
	}
	eventually(t, "a log line and a metric", func() bool {
		return logged.has(`msg="upstream failed" kind=`+kind+" ") && metric(t, g, "sealgate_upstream_errors_total", kind) == 1
	})
}
