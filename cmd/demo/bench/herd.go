package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// errHerd says that not every connection of a herd was answered.
var errHerd = errors.New("the herd did not stand")

// herds measures what many idle keep-alive connections cost each front, one herd at a time.
func herds(ctx context.Context, o options, fronts []front, out io.Writer) error {
	_, _ = fmt.Fprintf(out, "\n%d idle keep-alive connections\n%-10s %12s %14s\n", o.herd, "", "RSS MiB", "KiB for each")
	for _, f := range fronts {
		before, err := rssOf(f.pid)
		if err != nil {
			return err
		}
		after, err := herd(ctx, o, f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		_, _ = fmt.Fprintf(out, "%-10s %12.1f %14.2f\n", f.name, after, (after-before)*1024/float64(o.herd))
	}
	return nil
}

// herd runs the clients in a process of their own, for its descriptors, and returns the front's memory
// while they stand.
func herd(ctx context.Context, o options, f front) (rss float64, err error) {
	c := exec.CommandContext(ctx, os.Args[0], "--standing", f.address, "--herd", strconv.Itoa(o.herd))
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	hold, err := c.StdinPipe() // they stand until it closes
	if err != nil {
		return 0, fmt.Errorf("start the herd: %w", err)
	}
	said, err := c.StdoutPipe()
	if err != nil {
		return 0, fmt.Errorf("start the herd: %w", err)
	}
	if err := c.Start(); err != nil {
		return 0, fmt.Errorf("start the herd: %w", err)
	}
	defer func() { err = errors.Join(err, hold.Close(), c.Wait()) }()
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil || line != "standing\n" {
		return 0, errHerd
	}
	return rssOf(f.pid)
}

// stand opens n connections to address, has each answered once, and keeps them until stdin ends.
func stand(address string, n int) error {
	for i := range n {
		c, err := net.Dial("tcp", address) //nolint:noctx // the parent's end of stdin ends this program
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		defer c.Close() //nolint:errcheck // all of them, at the end
		if err := exchange(c, bufio.NewReaderSize(c, 2048), []byte("GET /1k HTTP/1.1\r\nHost: "+address+"\r\n\r\n"), http.StatusOK); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	_, _ = fmt.Println("standing")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}
