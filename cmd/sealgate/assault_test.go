package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// assault is what one process of hostile clients does.
type assault struct {
	Address  string
	Requests []string // one for each connection, in turn
	Count    int      // connections
	Together int      // of them at once
	Hear     string   // what is waited for before the connection is reset; empty: nothing
	Hold     bool     // all are kept until the process is told to reset them
}

// assailants are a process of them.
type assailants struct {
	cmd   *exec.Cmd
	tell  io.WriteCloser
	hears *bufio.Reader
}

// assail starts a process of hostile clients, in a network of its own if elsewhere.
func assail(t *testing.T, a assault, elsewhere bool) *assailants {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &assailants{cmd: exec.Command(self)}
	p.cmd.Args = []string{"assault"} // TestMain
	p.cmd.Stderr = os.Stderr
	if elsewhere {
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	}
	if p.tell, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.hears = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	if !elsewhere {
		p.says(t, string(text))
	}
	return p
}

// says tells the process something, and waits for nothing.
func (p *assailants) says(t *testing.T, what string) {
	t.Helper()
	if _, err := io.WriteString(p.tell, what+"\n"); err != nil {
		t.Fatal(err)
	}
}

// awaits waits until the process says that it has done what was asked.
func (p *assailants) awaits(t *testing.T, what string) {
	t.Helper()
	if said, err := p.hears.ReadString('\n'); err != nil || said != what+"\n" {
		t.Fatalf("hostile clients: %q, %v; want %q", said, err, what)
	}
}

// assaultMain is the process: it reads an assault, does it, says "done", and with Hold resets what it holds on the next line.
func assaultMain() {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadString('\n')
	var a assault
	if err == nil {
		err = json.Unmarshal([]byte(line), &a)
	}
	var held []net.Conn
	if err == nil {
		held, err = a.do()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile clients:", err)
		os.Exit(1) //nolint:revive // deep-exit: it is a main
	}
	fmt.Println("done") // to who started it
	_, _ = in.ReadString('\n')
	for _, c := range held {
		reset(c)
	}
	fmt.Println("left")
	_, _ = in.ReadString('\n')
}

func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

func (a assault) do() (held []net.Conn, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	next := make(chan int)
	for range a.Together {
		all.Go(func() {
			for i := range next {
				c, failed := a.one(i)
				mu.Lock()
				err = errors.Join(err, failed)
				if a.Hold && failed == nil {
					held = append(held, c)
				}
				mu.Unlock()
				if !a.Hold && failed == nil {
					reset(c)
				}
			}
		})
	}
	for i := range a.Count {
		next <- i
	}
	close(next)
	all.Wait()
	return held, err
}

func (a assault) one(i int) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", a.Address, 30*time.Second)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, a.Requests[i%len(a.Requests)]); err != nil {
		return nil, err
	}
	heard, part := "", make([]byte, 512)
	for a.Hear != "" && !strings.Contains(heard, a.Hear) {
		n, err := c.Read(part)
		if err != nil {
			return nil, fmt.Errorf("heard %q: %w", heard, err)
		}
		heard += string(part[:n])
	}
	return c, c.SetDeadline(time.Time{})
}
