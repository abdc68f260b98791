package main

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/gateway"
	"github.com/sealgate/sealgate/cmd/demo/instance"
)

// The group of the benchmark, and how often it is written to in one round.
const (
	groupHosts    = 50
	groupMembers  = 500
	groupMessages = 4
	deadQueue     = 100_000
)

// sending measures messages to a large group, from the POST to the outbox to the last
// arrival, beside a plain loop that posts the same bodies to the same inboxes; and then
// what a dead server costs the others.
func sending(ctx context.Context, o options, directory string, out io.Writer) (err error) {
	directory = filepath.Join(directory, "sending")
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	crowd, err := newCrowd(ctx, groupHosts, groupMembers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, crowd.close()) }()
	w := &writer{crowd: crowd}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.open(ctx, o, directory); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "\nsending: %d messages of 4 KiB to a group of %d on %d hosts, RSA-2048\n", groupMessages, groupMembers, groupHosts)
	if err := w.compare(ctx, o, out); err != nil {
		return err
	}
	return w.besideTheDead(ctx, out)
}

// writer is a local person, their instance, and the gateway that sends for them.
type writer struct {
	*crowd

	scene scene
	token string
	epoch uint64
	sent  []string // bodies of the last messages, as they went out
}

func (w *writer) open(ctx context.Context, o options, directory string) (err error) {
	if w.scene.host, err = gateway.FreeAddress(ctx); err != nil {
		return err
	}
	w.scene.local = instance.New(instance.Options{Origin: "http://" + w.scene.host})
	if w.scene.sender, err = w.scene.local.AddPerson("sender"); err != nil {
		return err
	}
	upstream, err := w.scene.serve(ctx, w.scene.local, "127.0.0.1:0")
	if err != nil {
		return err
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(w.scene.sender.Key)})
	if err := os.WriteFile(filepath.Join(directory, "sender.pem"), key, 0o600); err != nil {
		return fmt.Errorf("write the sender's key: %w", err)
	}
	w.token = w.scene.local.Token(w.scene.sender, "read", "write")
	w.scene.gateway, err = gateway.Start(ctx, gateway.Options{
		Binary: o.binary, Directory: directory, Listen: w.scene.host, Upstream: "http://" + upstream, Keys: directory,
	})
	return err
}

func (w *writer) close() error { return w.scene.close() }

// post writes to a group.
func (w *writer) post(ctx context.Context, group string, to []string) error {
	w.epoch++
	list, err := json.Marshal(to)
	if err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	body := fmt.Sprintf(`{"type":"PrivateMessage","mediaType":"message/mls","encoding":"base64","content":%q,"to":%s}`,
		base64.StdEncoding.EncodeToString(privateMessage(group, w.epoch)), list)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.scene.sender.Actor+"/outbox", strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("post to the outbox: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // it is only read
	said, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusCreated {
		return fmt.Errorf("post to the outbox: %w %d: %s", errors.Join(errStatus, err), answer.StatusCode, said)
	}
	w.sent = append(w.sent, string(said))
	return nil
}

// privateMessage is one of RFC 9420 §6.3 with 4 KiB of ciphertext.
func privateMessage(group string, epoch uint64) []byte {
	b := append([]byte{0, 1, 0, 2, byte(len(group))}, group...)
	b = binary.BigEndian.AppendUint64(b, epoch)
	b = append(b, 1, 0, 1, 's')
	return append(binary.BigEndian.AppendUint16(b, 0x4000|messageBytes), make([]byte, messageBytes)...)
}

// compare takes turns with the plain loop.
func (w *writer) compare(ctx context.Context, o options, out io.Writer) error {
	if _, err := w.deliver(ctx, 1); err != nil { // actors are then known, connections open
		return err
	}
	_, _ = fmt.Fprintf(out, "%-38s %12s %16s %8s\n", "", "per second", "CPU ms for each", "ratio")
	for range o.rounds {
		ours, err := w.deliver(ctx, groupMessages)
		if err != nil {
			return err
		}
		loop, err := postPlainly(ctx, w.errands(false))
		if err != nil {
			return err
		}
		bare, err := postPlainly(ctx, w.errands(true))
		if err != nil {
			return err
		}
		row(out, "sealgate, durable and in order", ours, loop)
		row(out, "net/http loop that signs", loop, loop)
		row(out, "net/http loop, signed beforehand", bare, loop)
	}
	return nil
}

func row(out io.Writer, name string, s, loop spent) {
	const n = groupMessages * groupMembers
	_, _ = fmt.Fprintf(out, "%-38s %12.0f %16.3f %8.2f\n", name, n/s.Elapsed.Seconds(),
		float64(s.CPU.Microseconds())/1000/n, loop.Elapsed.Seconds()/s.Elapsed.Seconds())
}

// deliver posts so many messages and waits until everybody has all of them.
func (w *writer) deliver(ctx context.Context, messages int) (s spent, err error) {
	before, err := cpuOf(w.scene.gateway.PID)
	if err != nil {
		return s, err
	}
	w.sent = nil
	all, start := w.expect(messages*len(w.people)), time.Now()
	for range messages {
		if err := w.post(ctx, "group", w.people); err != nil {
			return s, err
		}
	}
	select {
	case end := <-all:
		s.Elapsed = end.Sub(start)
	case <-time.After(2 * time.Minute):
		return s, fmt.Errorf("%w: not everything arrived within two minutes", errLost)
	}
	after, err := cpuOf(w.scene.gateway.PID)
	s.CPU = after - before
	return s, err
}

func (w *writer) errands(signed bool) errands {
	e := errands{Bodies: w.sent, KeyID: w.scene.sender.KeyID, Key: x509.MarshalPKCS1PrivateKey(w.scene.sender.Key), Signed: signed}
	for _, id := range w.people {
		e.Inboxes = append(e.Inboxes, id+"/inbox")
	}
	return e
}

// besideTheDead fills the queue of a server that refuses all connections, twice, and
// compares how long a message takes to one that works.
func (w *writer) besideTheDead(ctx context.Context, out io.Writer) error {
	dead, err := refusing(ctx)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "\ndeliveries queued for a dead host beside a message to one that works\n%12s %12s %12s %12s\n", "queued", "p50 ms", "p99 ms", "memory MiB")
	for queued := 0; ; queued += deadQueue {
		took, err := w.latency(ctx)
		if err != nil {
			return err
		}
		memory, err := anonOf(w.scene.gateway.PID)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "%12d %12.2f %12.2f %12.1f\n", queued, ms(took[len(took)/2]), ms(took[len(took)*99/100]), memory)
		if queued == 2*deadQueue {
			return nil
		}
		for n := range deadQueue / len(dead) {
			if err := w.post(ctx, fmt.Sprint("dead", queued+n), dead); err != nil {
				return err
			}
		}
		w.sent = nil
	}
}

// refusing are a thousand people on a host where nobody listens.
func refusing(ctx context.Context) (list []string, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a dead host: %w", err)
	}
	for n := range 1000 {
		list = append(list, fmt.Sprintf("http://%s/u/%d", l.Addr(), n))
	}
	return list, l.Close()
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// latency is how long messages take to one person from the POST to their arrival, sorted.
func (w *writer) latency(ctx context.Context) ([]time.Duration, error) {
	took := make([]time.Duration, 500)
	for n := range took {
		there, start := w.expect(1), time.Now()
		if err := w.post(ctx, "pair", w.people[:1]); err != nil {
			return nil, err
		}
		select {
		case end := <-there:
			took[n] = end.Sub(start)
		case <-time.After(time.Minute):
			return nil, fmt.Errorf("%w: a message did not arrive within a minute", errLost)
		}
	}
	slices.Sort(took)
	return took, nil
}
