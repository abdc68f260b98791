package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sealgate/sealgate/policy/signature"
)

// errands are what the plain loop posts: every body to every inbox.
type errands struct {
	Inboxes []string
	Bodies  []string
	KeyID   string
	Key     []byte // RSA, PKCS #1
	Signed  bool   // sign all before the clock runs
}

// spent is what a run of deliveries took.
type spent struct{ Elapsed, CPU time.Duration }

// postPlainly has a process of its own do the errands.
func postPlainly(ctx context.Context, e errands) (s spent, err error) {
	c := exec.CommandContext(ctx, os.Args[0], "--posting")
	given, err := json.Marshal(e)
	if err != nil {
		return s, fmt.Errorf("write errands: %w", err)
	}
	c.Stdin, c.Stderr = bytes.NewReader(given), os.Stderr
	said, err := c.Output()
	if err != nil {
		return s, fmt.Errorf("post plainly: %w", err)
	}
	return s, json.Unmarshal(said, &s)
}

// runErrands is that process: 64 goroutines, net/http, no queue and no disk.
func runErrands(ctx context.Context, in io.Reader, out io.Writer) error {
	var e errands
	if err := json.NewDecoder(in).Decode(&e); err != nil {
		return fmt.Errorf("read errands: %w", err)
	}
	key, err := x509.ParsePKCS1PrivateKey(e.Key)
	if err != nil {
		return fmt.Errorf("read the key: %w", err)
	}
	p := plain{errands: e, who: signature.Signer{KeyID: e.KeyID, Key: key}}
	p.client.Transport = &http.Transport{MaxIdleConnsPerHost: 8, MaxIdleConns: 1000}
	if err := p.each(ctx, len(e.Inboxes), p.post); err != nil { // connections are then open
		return err
	}
	do := p.post
	if e.Signed {
		p.ready = make([]*http.Request, len(e.Inboxes)*len(e.Bodies))
		if err := p.each(ctx, len(p.ready), func(ctx context.Context, n int) (err error) {
			p.ready[n], err = p.request(ctx, n)
			return err
		}); err != nil {
			return err
		}
		do = func(_ context.Context, n int) error { return p.do(p.ready[n]) }
	}
	start, before := time.Now(), ownCPU()
	if err := p.each(ctx, len(e.Inboxes)*len(e.Bodies), do); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(spent{time.Since(start), ownCPU() - before})
}

type plain struct {
	errands

	client http.Client
	who    signature.Signer
	ready  []*http.Request
}

func (p *plain) each(ctx context.Context, n int, do func(context.Context, int) error) error {
	var next atomic.Int64
	var group errgroup.Group
	for range 64 {
		group.Go(func() error {
			for {
				at := int(next.Add(1)) - 1
				if at >= n {
					return nil
				}
				if err := do(ctx, at); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

func (p *plain) request(ctx context.Context, n int) (*http.Request, error) {
	body := []byte(p.Bodies[n/len(p.Inboxes)%len(p.Bodies)])
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Inboxes[n%len(p.Inboxes)], bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	r.Header.Set("Content-Type", "application/activity+json")
	return r, signature.SignHTTP(r, body, p.who, time.Now())
}

func (p *plain) post(ctx context.Context, n int) error {
	r, err := p.request(ctx, n)
	if err != nil {
		return err
	}
	return p.do(r)
}

func (p *plain) do(r *http.Request) error {
	answer, err := p.client.Do(r)
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("%w %d", errStatus, answer.StatusCode)
	}
	_ = answer.Body.Close()
	return err
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("bug: getrusage: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
