package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/gateway"
	"github.com/sealgate/sealgate/cmd/demo/instance"
)

// warmUp is how many requests each side answers before the clock runs: keys are
// then cached and connections known, as on any day but the first.
const warmUp = 256

// warmers are the connections of that: more that wait for one server's key would be told to come again.
const warmers = 8

var errLost = errors.New("the mailboxes do not hold what was acknowledged")

// intake measures signed MLS activities per second, durable, beside nginx.
func intake(ctx context.Context, o options, directory string, out io.Writer) (err error) {
	_, _ = fmt.Fprintf(out, "signing %d activities with RSA-2048, 4 KiB of MLS in each…\n", o.requests+warmUp)
	s, err := newScene(ctx, o, directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	requests, err := s.sign(ctx, privateMessage(usual, 1), o.requests+warmUp)
	if err != nil {
		return err
	}
	plain, err := measureNginx(ctx, o, directory, requests)
	if err != nil {
		return err
	}
	ours, err := measure(ctx, s.host, o, requests)
	if err != nil {
		return err
	}
	if err := s.countKept(ctx, len(requests)+len(s.people)); err != nil { // and what they wrote to be in the group
		return err
	}
	report(out, o, plain, ours)
	return nil
}

func measure(ctx context.Context, address string, o options, requests [][]byte) (result, error) {
	if _, err := drive(ctx, address, warmers, requests[:warmUp], http.StatusAccepted); err != nil {
		return result{}, err
	}
	return drive(ctx, address, o.connections, requests[warmUp:], http.StatusAccepted)
}

func report(out io.Writer, o options, plain, ours result) {
	_, _ = fmt.Fprintf(out, "\nintake, %d connections, %d activities\n", o.connections, o.requests)
	_, _ = fmt.Fprintf(out, "%-34s %10s %10s %10s\n", "", "per second", "p50 ms", "p99 ms")
	_, _ = fmt.Fprintf(out, "%-34s %10.0f %10.2f %10.2f\n", "nginx, answers 202 and discards", plain.PerSecond, ms(plain.P50), ms(plain.P99))
	_, _ = fmt.Fprintf(out, "%-34s %10.0f %10.2f %10.2f\n", "sealgate, verified and on disk", ours.PerSecond, ms(ours.P50), ms(ours.P99))
	_, _ = fmt.Fprintf(out, "%-34s %10.3f %10.2f %10.2f\n", "sealgate / nginx",
		ours.PerSecond/plain.PerSecond, ms(ours.P50)/ms(plain.P50), ms(ours.P99)/ms(plain.P99))
}

// scene is a sender's instance, a local instance, and the gateway before it.
type scene struct {
	sender  *instance.Person
	local   *instance.Instance
	people  []*instance.Person
	host    string // the gateway's
	site    string // the local instance's
	gateway *gateway.Process
	servers []*http.Server
}

func newScene(ctx context.Context, o options, directory string) (s *scene, err error) {
	s = &scene{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.openSender(ctx); err != nil {
		return s, err
	}
	if s.host, err = gateway.FreeAddress(ctx); err != nil {
		return s, err
	}
	s.local = instance.New(instance.Options{Origin: "http://" + s.host})
	for n := range o.people {
		p, err := s.local.AddPerson(fmt.Sprintf("person%d", n))
		if err != nil {
			return s, err
		}
		s.people = append(s.people, p)
		key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(p.Key)})
		if err := os.WriteFile(filepath.Join(directory, p.Name+".pem"), key, 0o600); err != nil {
			return s, fmt.Errorf("write a person's key: %w", err)
		}
	}
	if s.site, err = s.serve(ctx, s.local, "127.0.0.1:0"); err != nil {
		return s, err
	}
	s.gateway, err = gateway.Start(ctx, gateway.Options{
		Binary: o.binary, Directory: directory, Listen: s.host, Upstream: "http://" + s.site, Keys: directory,
	})
	if err == nil {
		err = s.join(ctx)
	}
	return s, err
}

// usual is the group in which everything is written.
const usual = "g"

// join has everybody write to the sender in the group, so that the sender is no stranger in it: those have an allowance.
func (s *scene) join(ctx context.Context) error {
	for _, p := range s.people {
		w := writer{scene: *s, token: s.local.Token(p, "read", "write")}
		w.scene.sender = p
		if err := w.post(ctx, usual, []string{p.Actor, s.sender.Actor}); err != nil {
			return err
		}
	}
	return nil
}

// openSender serves the remote actor whose key signs everything.
func (s *scene) openSender(ctx context.Context) error {
	address, err := gateway.FreeAddress(ctx)
	if err != nil {
		return err
	}
	i := instance.New(instance.Options{Origin: "http://" + address})
	if s.sender, err = i.AddPerson("sender"); err != nil {
		return err
	}
	_, err = s.serve(ctx, i, address)
	return err
}

func (s *scene) serve(ctx context.Context, h http.Handler, address string) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("listen for an instance: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(l) }() // ends with close
	return l.Addr().String(), nil
}

// countKept asks every mailbox how much is in it: an answer that was not kept
// would make any speed worthless.
func (s *scene) countKept(ctx context.Context, want int) error {
	kept := 0
	for _, p := range s.people {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.host+"/e2ee/users/"+p.Name+"/messages", nil)
		if err != nil {
			return fmt.Errorf("ask for the mailbox: %w", err)
		}
		r.Header.Set("Authorization", "Bearer "+s.local.Token(p, "read"))
		client := http.Client{Timeout: 10 * time.Second}
		answer, err := client.Do(r)
		if err != nil {
			return fmt.Errorf("ask for the mailbox: %w", err)
		}
		var mailbox struct{ TotalItems int }
		err = errors.Join(json.NewDecoder(answer.Body).Decode(&mailbox), answer.Body.Close())
		if err != nil {
			return fmt.Errorf("read the mailbox: %w", err)
		}
		kept += mailbox.TotalItems
	}
	if kept != want {
		return fmt.Errorf("%w: %d of %d", errLost, kept, want)
	}
	return nil
}

func (s *scene) close() error {
	var err error
	if s.gateway != nil {
		err = s.gateway.Stop()
	}
	for _, server := range s.servers {
		err = errors.Join(err, server.Close())
	}
	return err
}

// measureNginx runs a plain nginx with two workers for the same requests.
func measureNginx(ctx context.Context, o options, directory string, requests [][]byte) (r result, err error) {
	f, err := openNginx(ctx, o, filepath.Join(directory, "nginx"), discard)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	return measure(ctx, f.address, o, requests)
}
