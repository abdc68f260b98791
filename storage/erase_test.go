package storage_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay/outbox"
)

// TestExportShows: what can be read is shown as it is, and what lies in parts as its bytes.
func TestExportShows(t *testing.T) {
	zoe := somebody("zoe", "4711")
	s := open(t, options(t.TempDir()))
	leave(t, s, zoe)
	_, err := s.Submit(t.Context(), outbox.Submission{Sent: outbox.Sent{
		Names: []string{"small"}, Actor: zoe.Actor, Actors: []string{"https://peer.example/users/x"}, Body: []byte(`{"type":"Create"}`),
	}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	n, err := s.Export(t.Context(), zoe, &out)
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	if err != nil || n != len(lines) {
		t.Fatalf("%d rows in %d lines, %v", n, len(lines), err)
	}
	shown, raw := map[string]string{}, map[string]string{}
	for _, line := range lines {
		var one struct {
			Table string
			Data  json.RawMessage
			Value []byte
		}
		if err := json.Unmarshal(line, &one); err != nil || one.Data != nil && one.Value != nil {
			t.Fatalf("%.200s: %v", line, err)
		}
		if one.Data != nil {
			shown[one.Table] += string(one.Data) + "\n"
		}
		raw[one.Table] += string(one.Value)
	}
	sample := string(inboxtest.Sample("", 0).Activity)
	if got := shown["message"]; strings.Count(got, "\n") != 1 || !strings.Contains(got, `"Activity":`+sample) || !strings.Contains(got, `"Kind":"application"`) {
		t.Errorf("of messages it shows %.300s", got)
	}
	if got := raw["message"]; !strings.Contains(got, strings.Repeat("zoe got this ", 3)) || len(got) < 650_000 || strings.Contains(got, sample) {
		t.Errorf("of messages there are %d bytes", len(got))
	}
	if got := shown["sent activity"]; got != `{"To":["https://peer.example/users/x"],"Activity":{"type":"Create"}}`+"\n" {
		t.Errorf("of what was sent it shows %.300s", got)
	}
	if got := raw["sent activity"]; len(got) < 900_000 || !strings.HasSuffix(got, "zoezoe") {
		t.Errorf("of what was sent there are %d bytes", len(got))
	}
	if got := raw["group or request"]; !strings.Contains(got, `"n":101`) || strings.Contains(shown["group or request"], `"n":101`) || shown["group or request"] == "" {
		t.Errorf("of requests there are %q and it shows %s", got, shown["group or request"])
	}
}

// onFirstWrite does something before the first byte.
type onFirstWrite struct {
	bytes.Buffer
	do func()
}

func (w *onFirstWrite) Write(p []byte) (int, error) {
	if w.do != nil {
		w.do()
	}
	w.do = nil
	return w.Buffer.Write(p)
}

// TestExportIsOfOneMoment: what is changed, removed and compacted away while it is written is in it as it was before.
func TestExportIsOfOneMoment(t *testing.T) {
	s := open(t, options(t.TempDir()))
	const messages = 100
	for n := range messages {
		m := inboxtest.Sample("4711", n)
		m.Activity = fmt.Appendf(nil, `{"n":%d,"text":%q}`, n, strings.Repeat("x", 30<<10))
		appendOne(t, s, m)
	}
	if err := s.KeepAnswer(t.Context(), "4711", "about", []byte(`"before"`)); err != nil {
		t.Fatal(err)
	}
	out := &onFirstWrite{do: func() {
		err := errors.Join(s.Trim(t.Context(), "4711", messages), s.KeepAnswer(t.Context(), "4711", "about", []byte(`"after"`)), s.Compact())
		if err != nil || s.Pinned() != 1 {
			t.Errorf("%d moments are held, %v", s.Pinned(), err)
		}
	}}
	n, err := s.Export(t.Context(), somebody("zoe", "4711"), out)
	text := out.String()
	if err != nil || n != messages+2 || !strings.Contains(text, `"before"`) || strings.Contains(text, `"after"`) || strings.Count(text, `"text":"xxx`) != messages {
		t.Errorf("%d rows, %v, %d messages", n, err, strings.Count(text, `"text":"xxx`))
	}
	if n := s.Pinned(); n != 0 {
		t.Errorf("%d moments are still held", n)
	}
}

// TestWhom: a person is found by each of their names, and one of whom there is only a mailbox by its account.
func TestWhom(t *testing.T) {
	s := open(t, options(t.TempDir()))
	zoe := somebody("zoe", "4711")
	if err := s.Remember(t.Context(), zoe); err != nil {
		t.Fatal(err)
	}
	appendOne(t, s, inboxtest.Sample("815", 1))
	for id, want := range map[string]mastodon.Person{
		"zoe": zoe, "Zoe": zoe, "@ZOE": zoe, "4711": zoe, "#4711": zoe, zoe.Actor: zoe, "815": {Account: "815"},
	} {
		if got, err := s.Whom(t.Context(), id); err != nil || got != want {
			t.Errorf("%s: %+v, %v", id, got, err)
		}
	}
	for _, id := range []string{"", "zo", "@", "47", "https://social.example/users/zo"} {
		if got, err := s.Whom(t.Context(), id); !errors.Is(err, mastodon.ErrNoPerson) {
			t.Errorf("%q: %+v, %v", id, got, err)
		}
	}
}

// TestEraseFindsWhatIsLeft: a row of somebody else that has a hash of the person is told, for nobody would find it again.
func TestEraseFindsWhatIsLeft(t *testing.T) {
	s := open(t, options(t.TempDir()))
	appendOne(t, s, inboxtest.Sample("4711", 1))
	if err := s.Keep(t.Context(), "of nobody", []byte("x")); err != nil {
		t.Fatal(err)
	}
	var hash []byte
	_, _ = s.Tamper('u', func(key, value []byte) (k, v []byte) { hash = key[1:]; return key, value })
	if _, err := s.Tamper('k', func(key, _ []byte) (k, v []byte) { return key, append([]byte("x"), hash...) }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Erase(t.Context(), somebody("zoe", "4711")); err == nil || !strings.Contains(err.Error(), "kept value has the hash") {
		t.Errorf("erased: %v", err)
	}
}

// TestEraseMuch: more rows than one transaction removes.
func TestEraseMuch(t *testing.T) {
	const deliveries = 2*512 + 1
	zoe := somebody("zoe", "4711")
	s := open(t, options(t.TempDir()))
	all := make([]outbox.Delivery, deliveries)
	for n := range all {
		all[n].Sender = outbox.Sender{Account: zoe.Account, Name: zoe.Name, Actor: zoe.Actor}
	}
	if _, err := s.Submit(t.Context(), outbox.Submission{Sent: outbox.Sent{Names: []string{"1"}}, Deliveries: all}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Erase(t.Context(), zoe); err != nil || n != deliveries {
		t.Errorf("%d rows were erased, %v, want %d", n, err, deliveries)
	}
	if n, err := s.Waiting(t.Context()); err != nil || n != 0 {
		t.Errorf("%d are left, %v", n, err)
	}
}

// TestEraseWhileMessagesCome: one that is kept behind the others' removal is removed as well, and none is left that no mailbox
// leads to.
func TestEraseWhileMessagesCome(t *testing.T) {
	s := open(t, options(t.TempDir()))
	zoe := somebody("zoe", "4711")
	appendOne(t, s, inboxtest.Sample("4711", 1))
	came := make(chan error, 1)
	var once sync.Once
	s.SetSync(func(sync func() error) error {
		once.Do(func() {
			go func() {
				_, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("4711", 2)})
				came <- err
			}()
			s.WaitQueued(1)
		})
		return sync()
	})
	_, err := s.Erase(t.Context(), zoe)
	if err := errors.Join(err, <-came); err != nil {
		t.Fatal(err)
	}
	if n, err := s.MessageRows(); n != 0 || err != nil {
		t.Errorf("%d rows of messages are left, %v", n, err)
	}
	if u, err := s.Usage(t.Context(), "4711"); u != (inbox.Usage{}) || err != nil {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestEraseIsInterrupted: whoever begins again, however far it went, finds the person by name and leaves nothing, also of what came
// meanwhile.
func TestEraseIsInterrupted(t *testing.T) {
	zoe := somebody("zoe", "4711")
	for transactions := 1; ; transactions++ {
		s := open(t, options(t.TempDir()))
		leave(t, s, zoe)
		deliveries := make([]outbox.Delivery, 1000)
		for n := range deliveries {
			deliveries[n].Sender = outbox.Sender{Account: zoe.Account, Name: zoe.Name, Actor: zoe.Actor}
		}
		if _, err := s.Submit(t.Context(), outbox.Submission{Sent: outbox.Sent{Names: []string{"1"}}, Deliveries: deliveries}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		left, came := transactions, make(chan error, 1)
		s.SetSync(func(sync func() error) error {
			if left == transactions {
				go func() {
					_, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("4711", 99)})
					came <- err
				}()
				s.WaitQueued(1)
			}
			if left--; left == 0 {
				stop()
			}
			return sync()
		})
		_, err := s.Erase(ctx, zoe)
		if err := <-came; err != nil {
			t.Fatal(err)
		}
		if err == nil {
			if transactions < 4 {
				t.Errorf("it took %d transactions", transactions-1)
			}
			return
		}
		found, err := s.Whom(t.Context(), "zoe")
		if err != nil || found != zoe {
			t.Fatalf("after %d transactions: %+v, %v", transactions, found, err)
		}
		if _, err := s.Erase(t.Context(), found); err != nil {
			t.Fatal(err)
		}
		if left, err := s.Mentions(zoe, zoe.Actor); err != nil || len(left) > 0 {
			t.Errorf("after %d transactions: %v are left, %v", transactions, left, err)
		}
		closeStore(t, s)
	}
}
