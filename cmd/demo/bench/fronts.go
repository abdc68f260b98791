package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/gateway"
)

// temporary is where an nginx keeps what it does not keep in memory.
const temporary = `  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
`

// site is the upstream behind every front: 1 KiB, 100 KiB, and a place to post to.
const site = `
daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log warn;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; client_max_body_size 2m; client_body_buffer_size 64k;
` + temporary + `  server { listen {address}; root {directory}/files;
    location = /inbox { return 202; } location = /post { return 200 "ok"; } }
}
`

// proxy is nginx as a reverse proxy, with what its users set: keep-alive and forwarded headers.
const proxy = `
daemon off; worker_processes 2; pid {directory}/pid; error_log {directory}/error.log warn;
worker_rlimit_nofile 20000; events { worker_connections 12000; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_max_body_size 2m; client_body_buffer_size 64k;
` + temporary + `  upstream instance { server {upstream}; keepalive 128; keepalive_requests 1000000000; }
  server { listen {address}; location / {
    proxy_pass http://instance; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Real-IP $remote_addr; } }
}
`

// discard is an nginx that takes every POST, throws it away and says 202.
const discard = `
daemon off; worker_processes 2; pid {directory}/pid; error_log {directory}/error.log warn;
events { worker_connections 1024; }
http {
  access_log off; keepalive_requests 1000000; client_max_body_size 2m;
` + temporary + `  server { listen {address}; location / { return 202; } }
}
`

// before is nginx in the gateway's place for all but what docs/operations.md, "In part", has it send through the gateway.
const before = `
daemon off; worker_processes 2; pid {directory}/pid; error_log {directory}/error.log warn;
events { worker_connections 16384; }
http {
  access_log off; keepalive_requests 1000000000; client_max_body_size 2m; client_body_buffer_size 64k;
` + temporary + `  include {configs}/nginx-http.conf;
  upstream instance { server {upstream}; keepalive 128; keepalive_requests 1000000000; }
  upstream sealgate { server {gateway}; keepalive 1024; keepalive_requests 1000000000; }
  server { listen {address}; include {configs}/nginx-server.conf;
    set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; # or all would be one client, who may have a share of the places only
    location / { try_files /none @$sealgate_or_proxy; }
    location @proxy { proxy_pass http://instance; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; } }
}
`

// caddyfile is Caddy as a reverse proxy and nothing else.
const caddyfile = `
{
	admin off
	auto_https off
	log {
		level ERROR
	}
	servers {
		timeouts {
			idle 10m
		}
	}
}
http://{address} {
	reverse_proxy {upstream}
}
`

// front is a proxy under test.
type front struct {
	name    string
	address string
	pid     int
	stop    func() error
}

// fill puts names in the place of {directory}, {address} and {upstream}.
func fill(text, directory, address, upstream string) string {
	return strings.NewReplacer("{directory}", directory, "{address}", address, "{upstream}", upstream).Replace(text)
}

// openSite writes the files and starts the upstream.
func openSite(ctx context.Context, o options, directory string) (address string, stop func() error, err error) {
	if address, err = gateway.FreeAddress(ctx); err != nil {
		return "", nil, err
	}
	files := filepath.Join(directory, "files")
	if err := os.MkdirAll(files, 0o755); err != nil {
		return "", nil, fmt.Errorf("make the files: %w", err)
	}
	for name, size := range map[string]int{"1k": 1 << 10, "100k": 100 << 10} {
		text := strings.Repeat("x", size)
		if err := os.WriteFile(filepath.Join(files, name), []byte(text), 0o644); err != nil {
			return "", nil, fmt.Errorf("make the files: %w", err)
		}
	}
	p, err := spawn(ctx, address, directory, fill(site, directory, address, ""), o.nginx, "-p", directory, "-c")
	if err != nil {
		return "", nil, err
	}
	return address, p.stop, nil
}

// spawn writes text to a file in directory, runs the command with its path as the last word, and waits
// until somebody listens on address.
func spawn(ctx context.Context, address, directory, text string, command ...string) (front, error) {
	path := filepath.Join(directory, "configuration")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return front{}, fmt.Errorf("configure %s: %w", command[0], err)
	}
	if _, err := exec.LookPath(command[0]); err != nil {
		return front{}, fmt.Errorf("%w: install it, or name it with --nginx or --caddy", err)
	}
	c := exec.Command(command[0], append(command[1:], path)...) //nolint:noctx // stop ends it
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := c.Start(); err != nil {
		return front{}, fmt.Errorf("start %s: %w", command[0], err)
	}
	stop := func() error {
		err := c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait() // some end with a status of their own after SIGTERM
		return err
	}
	if err := awaitListener(ctx, address); err != nil {
		return front{}, errors.Join(err, stop())
	}
	return front{address: address, pid: c.Process.Pid, stop: stop}, nil
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

// openFront starts one of the proxies before upstream, each in a directory of its own.
func openFront(ctx context.Context, o options, name, directory, upstream string) (f front, err error) {
	directory = filepath.Join(directory, name)
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return f, fmt.Errorf("make a directory for %s: %w", name, err)
	}
	address, err := gateway.FreeAddress(ctx)
	if err != nil {
		return f, err
	}
	switch name {
	case "nginx":
		f, err = spawn(ctx, address, directory, fill(proxy, directory, address, upstream), o.nginx, "-p", directory, "-c")
	case "caddy":
		f, err = spawn(ctx, address, directory, fill(caddyfile, directory, address, upstream), o.caddy, "run", "--adapter", "caddyfile", "--config")
	case "httputil":
		f, err = spawn(ctx, address, directory, address+" "+upstream, os.Args[0], "--httputil")
	default:
		f, err = openGateway(ctx, o, directory, address, upstream)
	}
	f.name = name
	return f, err
}

func openGateway(ctx context.Context, o options, directory, address, upstream string) (front, error) {
	p, err := gateway.Start(ctx, gateway.Options{Binary: o.binary, Directory: directory, Listen: address, Upstream: "http://" + upstream})
	if err != nil {
		return front{}, err
	}
	return front{address: address, pid: p.PID, stop: p.Stop}, nil
}

// openNginx starts an nginx in a directory of its own; {configs} is the repository's.
func openNginx(ctx context.Context, o options, directory, text string) (front, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return front{}, fmt.Errorf("make a directory for nginx: %w", err)
	}
	address, err := gateway.FreeAddress(ctx)
	if err != nil {
		return front{}, err
	}
	configs, err := filepath.Abs("configs")
	if err != nil {
		return front{}, fmt.Errorf("find the recipe: %w", err)
	}
	text = strings.ReplaceAll(text, "{configs}", configs)
	return spawn(ctx, address, directory, fill(text, directory, address, ""), o.nginx, "-p", directory, "-c")
}

// serveHTTPUtil is the standard library's reverse proxy, in a process of its own: file has its address
// and the upstream's.
func serveHTTPUtil(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the addresses: %w", err)
	}
	address, upstream, _ := strings.Cut(string(text), " ")
	transport := &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256, DisableCompression: true}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // wrk leaves in the middle of requests
	handler := &httputil.ReverseProxy{Transport: transport, ErrorLog: quiet, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: upstream})
		r.SetXForwarded()
		r.Out.Host = r.In.Host
	}}
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the standard library's proxy: %w", err)
	}
	return nil
}
