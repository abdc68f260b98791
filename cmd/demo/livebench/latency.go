package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sealgate/sealgate/policy/signature"
)

var errRefused = errors.New("the gateway did not take a message")

// latency sends messages at a steady rate and measures from the 202 to the event.
func (s *scene) latency(ctx context.Context, o options, out io.Writer) error {
	messages, err := s.sign(ctx, o)
	if err != nil {
		return err
	}
	t := &times{accepted: map[string]time.Time{}, event: map[string]time.Time{}}
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for n := range o.readers {
		c, err := s.listen(ctx, n, n)
		if err != nil {
			return err
		}
		open = append(open, c)
		go t.follow(c) // ends with the connection
	}
	began := time.Now()
	if err := s.sendAll(ctx, messages, time.Second/time.Duration(o.rate), t); err != nil {
		return err
	}
	elapsed := time.Since(began)
	<-time.After(time.Second) // what has not come by now counts as lost
	all, lost := t.delays()
	if len(all) == 0 {
		return errRefused
	}
	_, _ = fmt.Fprintf(out, "%.0f messages a second (asked: %d), %d streams: from 202 to event p50 %s, p99 %s, max %s; %d lost\n",
		float64(len(messages))/elapsed.Seconds(), o.rate, o.readers,
		all[len(all)/2], all[len(all)*99/100], all[len(all)-1], lost)
	return nil
}

// follow notes the events of one stream.
func (t *times) follow(c net.Conn) {
	lines := bufio.NewReaderSize(c, 64<<10)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if _, rest, ok := strings.Cut(line, "/activities/"); ok {
			t.note(t.event, rest[:26])
		}
	}
}

// message is a signed request and the id in it.
type message struct {
	id   string
	wire []byte
}

func (s *scene) sign(ctx context.Context, o options) ([]message, error) {
	all := make([]message, o.rate*o.seconds)
	content := base64.StdEncoding.EncodeToString(private(1024))
	for n := range all {
		id := rand.Text()
		to := fmt.Sprintf("http://%s/users/p%d", s.host, n%o.readers)
		body, err := json.Marshal(map[string]any{
			"type": "Create", "id": s.sender.Actor + "/activities/" + id, "actor": s.sender.Actor, "to": []string{to},
			"object": map[string]any{
				"type": "PrivateMessage", "attributedTo": s.sender.Actor, "mediaType": "message/mls", "encoding": "base64", "content": content,
			},
		})
		if err != nil {
			return nil, err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.host+"/inbox", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		r.Header.Set("Content-Type", "application/activity+json")
		if err := signature.SignHTTP(r, body, signature.Signer{KeyID: s.sender.KeyID, Key: s.sender.Key}, time.Now()); err != nil {
			return nil, err
		}
		var wire bytes.Buffer
		if err := r.Write(&wire); err != nil {
			return nil, err
		}
		all[n] = message{id, wire.Bytes()}
	}
	return all, nil
}

// private is a PrivateMessage of an application (RFC 9420 §6.3) with so many bytes of ciphertext.
func private(size int) []byte {
	b := binary.BigEndian.AppendUint64([]byte{0, 1, 0, 2, 1, 'g'}, 7)
	b = append(b, 1, 0, 1, 's')
	b = binary.BigEndian.AppendUint16(b, uint16(0x4000|size))
	return append(b, bytes.Repeat([]byte{'c'}, size)...)
}

// sendAll gives each message its moment; 32 connections take turns.
func (s *scene) sendAll(ctx context.Context, all []message, every time.Duration, t *times) error {
	work := make(chan message, len(all))
	group, ctx := errgroup.WithContext(ctx)
	for n := range 32 {
		group.Go(func() error { return s.sender1(ctx, n, work, t) })
	}
	group.Go(func() error {
		defer close(work)
		began := time.Now()
		tick := time.NewTicker(max(every, time.Millisecond))
		defer tick.Stop()
		for n := 0; n < len(all); {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
			for ; n < len(all) && time.Since(began) >= time.Duration(n)*every; n++ {
				work <- all[n]
			}
		}
		return nil
	})
	return group.Wait()
}

func (s *scene) sender1(ctx context.Context, n int, work <-chan message, t *times) error {
	c, err := s.dial(ctx, 8000+n)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	reader := bufio.NewReader(c)
	for m := range work {
		if _, err := c.Write(m.wire); err != nil {
			return err
		}
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			return err
		}
		t.note(t.accepted, m.id)
		body, err := io.ReadAll(answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil {
			return err
		}
		if answer.StatusCode != http.StatusAccepted {
			return fmt.Errorf("%w: %d %s", errRefused, answer.StatusCode, body)
		}
	}
	return nil
}
