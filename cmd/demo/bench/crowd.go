package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is many servers with many people, which verify nothing and count what they get.
type crowd struct {
	people []string // their ids, host by host
	posts  atomic.Int64

	listeners []net.Listener
	open      sync.WaitGroup

	mu      sync.Mutex
	target  int64
	reached chan time.Time
}

// newCrowd spreads people evenly over hosts.
func newCrowd(ctx context.Context, hosts, people int) (*crowd, error) {
	c := &crowd{}
	for range hosts {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return c, errors.Join(fmt.Errorf("listen for a peer: %w", err), c.close())
		}
		c.listeners = append(c.listeners, l)
		for n := range people / hosts {
			c.people = append(c.people, fmt.Sprintf("http://%s/u/%d", l.Addr(), n))
		}
		c.open.Go(func() { c.accept(l) })
	}
	return c, nil
}

func (c *crowd) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() { // ends when the other side closes
			defer conn.Close() //nolint:errcheck // nobody asks
			r := bufio.NewReaderSize(conn, 16<<10)
			var err error
			for err == nil {
				err = c.answer(r, conn, "http://"+l.Addr().String())
			}
		}()
	}
}

// answer reads one request and answers it, as cheaply as it can be done.
func (c *crowd) answer(r *bufio.Reader, w io.Writer, origin string) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	length := 0
	for {
		header, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(header) <= 2 {
			break
		}
		if name, value, _ := strings.Cut(string(header), ":"); strings.EqualFold(name, "content-length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	if _, err := r.Discard(length); err != nil {
		return err
	}
	method, rest, _ := strings.Cut(line, " ")
	if method == "POST" {
		c.count()
		_, err = io.WriteString(w, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
		return err
	}
	path, _, _ := strings.Cut(rest, " ")
	doc := fmt.Sprintf(`{"id":"%[1]s","type":"Person","inbox":"%[1]s/inbox"}`, origin+path)
	_, err = fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Type: application/activity+json\r\nContent-Length: %d\r\n\r\n%s", len(doc), doc)
	return err
}

func (c *crowd) count() {
	n := c.posts.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reached != nil && n == c.target {
		c.reached <- time.Now()
		c.reached = nil
	}
}

// expect returns when so many more have come.
func (c *crowd) expect(n int) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target, c.reached = c.posts.Load()+int64(n), make(chan time.Time, 1)
	return c.reached
}

func (c *crowd) close() error {
	var err error
	for _, l := range c.listeners {
		err = errors.Join(err, l.Close())
	}
	c.open.Wait()
	return err
}
