package edge_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/relay/edge"
)

// safeBuffer collects log lines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.b.String(), text)
}

func serial(t *testing.T, c edge.Certificates) int64 {
	t.Helper()
	cert, err := c.Certificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf.SerialNumber.Int64()
}

func TestFilesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, dir, year := newAuthority(t), t.TempDir(), time.Now().Add(24*time.Hour)
		cert, key := a.issue(t, dir, 2, year)
		var log safeBuffer
		f, err := edge.NewFiles(edge.FilesOptions{Certificate: cert, Key: key, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		wait := func() {
			<-time.After(6 * time.Second) // of the bubble's clock
			synctest.Wait()
		}

		if serial(t, f) != 2 {
			t.Error("the certificate is not the one in the file")
		}
		a.issue(t, dir, 3, year)
		wait()
		if serial(t, f) != 3 || log.count("certificate files were read again") != 1 {
			t.Error("a new certificate was not taken")
		}

		good, _ := os.ReadFile(key)
		write(t, key, []byte("not a key"))
		wait()
		wait()
		if serial(t, f) != 3 {
			t.Error("a broken key took the certificate away")
		}
		if n := log.count("certificate files cannot be used"); n != 1 {
			t.Errorf("a broken key was logged %d times", n)
		}
		write(t, key, good)
		wait()
		if n := log.count("certificate files were read again"); n != 2 || serial(t, f) != 3 {
			t.Errorf("the mended key was taken %d times", n-1)
		}

		_ = os.Remove(cert)
		wait()
		if serial(t, f) != 3 || log.count("read tls.certificate") != 1 {
			t.Error("a missing file took the certificate away, or silently")
		}
		a.issue(t, dir, 4, time.Now().Add(-time.Minute))
		wait()
		if serial(t, f) != 3 || log.count("it expired on") != 1 {
			t.Error("an expired certificate replaced a good one")
		}
		a.issue(t, dir, 5, year)
		wait()
		if serial(t, f) != 5 {
			t.Error("the last certificate was not taken")
		}
		if log.count("PRIVATE KEY") != 0 {
			t.Error("a key was logged")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestTheEndIsTold: once a day of the last week, and at the end, until there is a newer certificate.
func TestTheEndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		a, dir, metrics := newAuthority(t), t.TempDir(), prometheus.NewRegistry()
		end := time.Now().Add(60*day + time.Minute)
		cert, key := a.issue(t, dir, 2, end)
		var log safeBuffer
		f, err := edge.NewFiles(edge.FilesOptions{
			Certificate: cert, Key: key, Every: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil)), Metrics: metrics,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := metrics.Gather(); got[0].GetMetric()[0].GetGauge().GetValue() != float64(end.Unix()) {
			t.Errorf("the metric is %v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		told := func(after time.Duration, warnings, errors int) {
			t.Helper()
			<-time.After(after) // of the bubble's clock
			synctest.Wait()
			if w, e := log.count("certificate ends soon"), log.count("certificate has expired"); w != warnings || e != errors {
				t.Errorf("%d warnings and %d errors, not %d and %d", w, e, warnings, errors)
			}
		}
		told(53*day, 0, 0)
		told(2*time.Hour, 1, 0)
		told(22*time.Hour, 1, 0)
		told(2*time.Hour, 2, 0)
		told(6*day-2*time.Hour, 7, 0)
		told(2*time.Hour, 7, 1)
		told(2*day, 7, 3)
		a.issue(t, dir, 3, time.Now().Add(90*day))
		told(80*day, 7, 3)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestFilesMustBeUsable(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	cert, key := a.issue(t, dir, 2, time.Now().Add(time.Hour))
	_, other := a.issue(t, t.TempDir(), 3, time.Now().Add(time.Hour))
	big := dir + "/big.pem"
	write(t, big, make([]byte, 2<<20))
	for name, o := range map[string]edge.FilesOptions{
		"tls.certificate": {Certificate: dir + "/none.pem", Key: key},
		"tls.key":         {Certificate: cert, Key: dir + "/none.key"},
		"with tls.key":    {Certificate: cert, Key: other},
		"1 MiB":           {Certificate: big, Key: key},
	} {
		if _, err := edge.NewFiles(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFilesOfAnotherName: who asks for domain would refuse the certificate, and the operator learns it.
func TestFilesOfAnotherName(t *testing.T) {
	cert, key := newAuthority(t).issue(t, t.TempDir(), 2, time.Now().Add(time.Hour))
	for domain, complaints := range map[string]int{"localhost": 0, "127.0.0.1": 0, "social.example": 1} {
		var log safeBuffer
		o := edge.FilesOptions{Certificate: cert, Key: key, Domain: domain, Log: slog.New(slog.NewTextHandler(&log, nil))}
		if _, err := edge.NewFiles(o); err != nil || log.count("certificate is not for domain") != complaints {
			t.Errorf("%s: %d complaints, %v", domain, log.count("certificate is not for domain"), err)
		}
	}
}
