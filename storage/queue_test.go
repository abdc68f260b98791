package storage_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/relay/outbox/outboxtest"
)

func TestOutboxContract(t *testing.T) {
	outboxtest.Run(t, func(t *testing.T, quota int64) (outbox.Store, inbox.Store) {
		o := options(t.TempDir())
		o.Quota = quota
		s := open(t, o)
		return s, s
	})
}

// TestLongActivitiesAreSent: they are read whole by each of their names, whatever their length.
func TestLongActivitiesAreSent(t *testing.T) {
	s := open(t, options(t.TempDir()))
	const part = 512 << 10
	head := 0
	for n, size := range []int{1, part, 2*part + 1, 3 * part, 0} {
		names := []string{fmt.Sprint("first ", n), fmt.Sprint("second ", n), fmt.Sprint("third ", n)}
		body := bytes.Repeat([]byte{byte(n)}, max(0, size-head))
		if _, err := s.Submit(t.Context(), outbox.Submission{Sent: outbox.Sent{Names: names, Actor: "alice", Body: body}, Activity: names[0]}); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if got, err := s.Sent(t.Context(), name); err != nil || !bytes.Equal(got.Body, body) || got.Actor != "alice" {
				t.Errorf("%s: %d bytes, %v, want %d", name, len(got.Body), err, len(body))
			}
		}
		if n == 0 {
			head = s.SentHead(names[0]) // so that the next ones end with a part
		}
	}
}
