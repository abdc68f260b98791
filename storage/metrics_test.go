package storage_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

func TestMetrics(t *testing.T) {
	r := prometheus.NewRegistry()
	o := options(t.TempDir())
	o.Metrics, o.Quota = r, 100
	s := open(t, o)
	big := inboxtest.Sample("bob", 2)
	big.Activity = make([]byte, 101)
	small := inboxtest.Sample("bob", 1)
	if _, err := s.Append(t.Context(), []inbox.Message{small, small, big}); err != nil {
		t.Fatal(err)
	}
	got := gather(t, r)
	want := map[string]float64{
		"sealgate_mailbox_appends_total stored":    1,
		"sealgate_mailbox_appends_total duplicate": 1,
		"sealgate_mailbox_appends_total full":      1,
		"sealgate_mailbox_append_seconds":          1,
		"sealgate_mailbox_bytes":                   float64(len(small.Activity)),
		"sealgate_epoch_conflicts_total":           0,
		"sealgate_store_damaged":                   0,
		"sealgate_key_packages proposed":           0,
		"sealgate_key_packages listed":             0,
		"sealgate_key_packages reserved":           0,
		"sealgate_key_packages used":               0,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	closeStore(t, s)
	open(t, o) // the names are free again
	if n := gather(t, r)["sealgate_mailbox_bytes"]; n != float64(len(small.Activity)) {
		t.Errorf("%v bytes after reopening", n)
	}
}

// TestBytesAreCounted: the sum over all mailboxes follows what comes, is removed and expires, in whichever span, and a restart.
func TestBytesAreCounted(t *testing.T) {
	clock, r := inboxtest.NewClock(), prometheus.NewRegistry()
	o := options(t.TempDir())
	o.Clock, o.Retention, o.Metrics = clock.Now, 30*time.Hour, r
	s := open(t, o)
	counted := func(messages int) {
		t.Helper()
		size := 0
		for n := range messages {
			size += len(inboxtest.Sample("bob", 10+n).Activity)
		}
		if n := gather(t, r)["sealgate_mailbox_bytes"]; n != float64(size) {
			t.Errorf("%v bytes, want %d", n, size)
		}
	}
	for n := range 9 {
		appendOne(t, s, inboxtest.Sample("bob", 10+n))
		if n%3 == 2 {
			clock.Advance(2 * time.Hour)
		}
	}
	counted(9)
	for _, through := range []inbox.Position{2, 5} { // in the first span, and over two
		if err := s.Trim(t.Context(), "bob", through); err != nil {
			t.Fatal(err)
		}
		counted(9 - int(through))
		closeStore(t, s)
		s = open(t, o)
		counted(9 - int(through))
	}
	appendOne(t, s, inboxtest.Sample("bob", 30))
	appendOne(t, s, inboxtest.Sample("bob", 31))
	counted(6)
	if err := s.Trim(t.Context(), "bob", 10); err != nil {
		t.Fatal(err)
	}
	counted(1)
	clock.Advance(40 * time.Hour)
	counted(0)
}

func gather(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			out[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}
