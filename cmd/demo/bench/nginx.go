package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// discard is an nginx that takes every POST, throws it away and says 202.
const discard = `
daemon off; worker_processes 2; pid {directory}/pid; error_log {directory}/error.log warn;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000; client_max_body_size 2m;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  server { listen {address}; location / { return 202; } }
}
`

// startNginx runs nginx on address until stop is called.
func startNginx(ctx context.Context, binary, directory, address string) (stop func() error, err error) {
	path, err := exec.LookPath(binary)
	if err != nil {
		return nil, fmt.Errorf("%w: install nginx or name it with --nginx", err)
	}
	file := filepath.Join(directory, "nginx.conf")
	text := strings.NewReplacer("{directory}", directory, "{address}", address).Replace(discard)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("configure nginx: %w", err)
	}
	command := exec.Command(path, "-c", file, "-p", directory) //nolint:noctx // stop ends it
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start nginx: %w", err)
	}
	stop = func() error {
		return errors.Join(command.Process.Signal(syscall.SIGTERM), command.Wait())
	}
	if err := awaitListener(ctx, address); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// awaitListener returns when somebody accepts connections on address.
func awaitListener(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := new(net.Dialer).DialContext(ctx, "tcp", address); err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", address, ctx.Err())
		}
	}
}
