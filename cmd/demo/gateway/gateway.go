// Package gateway runs a real `sealgate serve` as a child process on loopback,
// for the demonstration and the benchmark: it writes a configuration, starts the
// binary, waits until it is ready and stops it with SIGTERM.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startTime is how long a gateway may take until it is ready.
const startTime = 20 * time.Second

// ErrNotReady says that the gateway ended or stayed unready; the text has its last log lines.
var ErrNotReady = errors.New("gateway: not ready")

// Options say what to run.
type Options struct {
	Binary    string // Binary is the path of sealgate.
	Directory string // Directory takes configuration, store and log; it must exist.
	Listen    string // Listen is host:port, and the domain of all ids.
	Upstream  string // Upstream is the instance, http://host:port.
	Keys      string // Keys is a directory of people's keys to sign with; none when empty.
}

// Process is a running gateway.
type Process struct {
	URL   string // URL is where people and peers find it, without a trailing slash.
	Admin string // Admin is the address of the administration listener, as a URL.
	Log   string // Log is the file with everything it wrote.
	PID   int

	command *exec.Cmd
	ended   chan struct{} // closed when the process is gone; err is then set
	err     error
}

// FreeAddress returns a loopback host:port that nobody listens on now. It is below the ports that systems choose
// by themselves, for whoever listens on port 0 or dials out in the meantime would sooner or later get this one.
func FreeAddress(ctx context.Context) (string, error) {
	const lowest, highest, tries = 20_000, 32_000, 1000
	var failure error
	for range tries {
		address := fmt.Sprintf("127.0.0.1:%d", lowest+rand.N(highest-lowest))
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			failure = err
			continue
		}
		if err := l.Close(); err != nil {
			return "", fmt.Errorf("free the port again: %w", err)
		}
		return address, nil
	}
	return "", fmt.Errorf("find a free port: %w", failure)
}

// Start runs the gateway and returns when it is ready. Stop it with Stop.
func Start(ctx context.Context, o Options) (*Process, error) {
	admin := o.Listen
	for admin == o.Listen { // nobody listens there yet
		var err error
		if admin, err = FreeAddress(ctx); err != nil {
			return nil, err
		}
	}
	p := &Process{
		URL: "http://" + o.Listen, Admin: "http://" + admin,
		Log: filepath.Join(o.Directory, "gateway.log"), ended: make(chan struct{}),
	}
	file := filepath.Join(o.Directory, "sealgate.yaml")
	if err := os.WriteFile(file, []byte(o.configuration(admin)), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	if err := p.launch(o.Binary, file); err != nil {
		return nil, err
	}
	if err := p.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// configuration allows what only loopback needs: plain HTTP and private addresses.
func (o Options) configuration(admin string) string {
	signing := "{source: none}"
	if o.Keys != "" {
		signing = fmt.Sprintf("{source: file, file: %q}", o.Keys)
	}
	return strings.NewReplacer("{signing}", signing, "{listen}", o.Listen, "{upstream}", o.Upstream, "{admin}", admin).Replace(`
domain: {listen}
listen: {listen}
upstream: {web: "{upstream}"}
policy: {preset: open} # the people of the demonstration are strangers to each other
storage: {path: ./store, encryption_key: "file:./store.key"}
mailbox: {unenrolled: keep} # who receives in benchmarks has no keys
signing: {signing}
federation: {allow_plain_http: true, allow_networks: [127.0.0.0/8]}
admin: {listen: "{admin}", socket: ./admin.sock}
`)
}

func (p *Process) launch(binary, file string) error {
	log, err := os.Create(p.Log)
	if err != nil {
		return fmt.Errorf("create the gateway's log: %w", err)
	}
	// Not bound to a context: an abrupt kill is not how a gateway is stopped.
	p.command = exec.Command(binary, "serve", "--config", file) //nolint:noctx // Stop ends it
	p.command.Stdout, p.command.Stderr = log, log
	// A terminal's Ctrl-C must reach only the parent, which stops things in order.
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.command.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", binary, err), log.Close())
	}
	p.PID = p.command.Process.Pid
	go func() {
		p.err = errors.Join(p.command.Wait(), log.Close())
		close(p.ended)
	}()
	return nil
}

func (p *Process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if p.ready(ctx) {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("%w: it ended: %w\n%s", ErrNotReady, p.err, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%w: %w\n%s", ErrNotReady, ctx.Err(), p.lastWords())
		}
	}
}

func (p *Process) ready(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Admin+"/readyz", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}

// lastWords are the last lines of the log.
func (p *Process) lastWords() string {
	log, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	text := strings.TrimSpace(string(log))
	if at := strings.Index(text, "panic:"); at >= 0 {
		return text[at:min(len(text), at+1000)]
	}
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

// Stop asks the gateway to end, waits until it has, and returns an error unless
// it ended well. A second call returns the same.
func (p *Process) Stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the gateway: %w", err)
	}
	<-p.ended
	if p.err != nil {
		return fmt.Errorf("the gateway ended badly: %w\n%s", p.err, p.lastWords())
	}
	return nil
}

// Counted returns the gateway's own metrics that are not zero, to explain what
// it did when it did not do what was expected.
func (p *Process) Counted(ctx context.Context) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Admin+"/metrics", nil)
	if err != nil {
		return err.Error()
	}
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return err.Error()
	}
	body, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, "sealgate_") && !strings.HasSuffix(line, " 0\n") && !strings.Contains(line, "_bucket{") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
