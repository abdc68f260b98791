package peers_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	demo "github.com/sealgate/sealgate/cmd/demo/gateway"
)

const patience = 3 * time.Minute // for one answer of a peer; a loaded machine is slow

// output keeps what a process writes. Safe for concurrent use.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// showOnFailure logs what a process wrote if the test fails.
func showOnFailure(t *testing.T, name string, o *output) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, o.String())
		}
	})
}

// given are the addresses that freeAddress has given, which nobody may listen on yet.
var given sync.Map

// freeAddress gives a loopback address that nobody listens on, and none twice.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		address, err := demo.FreeAddress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, again := given.LoadOrStore(address, true); !again {
			return address
		}
	}
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// eventually asks until check is content or patience ends.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !check() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// peer is one node process that speaks lib/port.mjs: a line in, a line out.
type peer struct {
	name  string
	in    io.Writer
	lines <-chan []byte
	calls int
}

// startPeer runs a script of testdata/peers and decodes its first line into ready.
// The process ends with the test.
func startPeer(t *testing.T, ready any, script string, args ...string) *peer {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", append([]string{script}, args...)...)
	cmd.Dir = projectDir
	stderr := new(output)
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", script, err)
	}
	lines := make(chan []byte)
	done := make(chan struct{})
	go func() {
		defer close(lines)
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return
			}
			select {
			case lines <- line:
			case <-done:
				return
			}
		}
	}()
	showOnFailure(t, script, stderr)
	t.Cleanup(func() {
		close(done)
		in.Close()
		for range lines { // wait for the reader's end
		}
		cmd.Wait() // killed with the test's context: its error says nothing
	})
	p := &peer{name: script, in: in, lines: lines}
	var first struct{ Ready json.RawMessage }
	p.next(t, &first)
	decode(t, first.Ready, ready)
	return p
}

func (p *peer) next(t *testing.T, into any) {
	t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			t.Fatalf("%s ended", p.name)
		}
		decode(t, line, into)
	case <-time.After(patience):
		t.Fatalf("%s did not answer in %v", p.name, patience)
	}
}

type args map[string]any

// try runs a command and gives the peer's own error, if any.
func (p *peer) try(t *testing.T, command string, a args, into any) string {
	t.Helper()
	p.calls++
	line := args{"id": p.calls, "do": command}
	maps.Copy(line, a)
	b, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		t.Fatalf("ask %s to %s: %v", p.name, command, err)
	}
	var answer struct {
		ID    int
		OK    json.RawMessage
		Error string
	}
	p.next(t, &answer)
	if answer.ID != p.calls {
		t.Fatalf("%s answered call %d, want %d", p.name, answer.ID, p.calls)
	}
	if answer.Error == "" && into != nil {
		decode(t, answer.OK, into)
	}
	return answer.Error
}

// call is try for commands that must succeed.
func (p *peer) call(t *testing.T, command string, a args, into any) {
	t.Helper()
	if failure := p.try(t, command, a, into); failure != "" {
		t.Fatalf("%s: %s: %s", p.name, command, failure)
	}
}

func decode(t *testing.T, b []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("decode %s: %v", strconv.Quote(string(b)), err)
	}
}
