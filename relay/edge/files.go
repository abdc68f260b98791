package edge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// FilesOptions names a certificate and its key, both PEM.
type FilesOptions struct {
	Certificate string        // tls.certificate: the chain, leaf first
	Key         string        // tls.key
	Domain      string        // what clients ask for, without port
	Every       time.Duration // how often to look for a change; default 5 s
	Clock       func() time.Time
	Log         *slog.Logger          // nil: discarded
	Metrics     prometheus.Registerer // nil: not registered
}

// Files is a certificate read from two files, and again when they change. Safe for concurrent use.
type Files struct {
	o    FilesOptions
	end  *expiry
	cert atomic.Pointer[tls.Certificate]
	seen [sha256.Size]byte // of what was read last, good or bad; Run's alone
}

const (
	lookEvery   = 5 * time.Second
	maxPEMBytes = 1 << 20
)

var errTooLarge = errors.New("file is larger than 1 MiB")

// NewFiles reads the certificate. It fails if there is none that can be used.
func NewFiles(o FilesOptions) (*Files, error) {
	if o.Every <= 0 {
		o.Every = lookEvery
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Log = logger(o.Log)
	f := &Files{o: o}
	if _, err := f.look(); err != nil {
		return nil, err
	}
	f.end = newExpiry(o.Metrics, o.Log, "put a newer pair at tls.certificate and tls.key", func() *x509.Certificate { return f.cert.Load().Leaf })
	return f, nil
}

// Certificate returns the certificate as it is now, whatever name is asked for.
func (f *Files) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.cert.Load(), nil
}

// Protocols are none.
func (f *Files) Protocols() []string { return nil }

// Run reads the files again whenever they change, until ctx is done. What cannot be used is logged once and
// the certificate before it stays. That its end is near is logged once a day.
func (f *Files) Run(ctx context.Context) error {
	t := time.NewTicker(f.o.Every)
	defer t.Stop()
	for {
		f.end.look(f.o.Clock())
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			f.renew()
		}
	}
}

func (f *Files) renew() {
	changed, err := f.look()
	switch {
	case err != nil:
		f.o.Log.Error("certificate files cannot be used, the one before stays", "error", err)
	case changed:
		f.o.Log.Info("certificate files were read again", "not_after", f.cert.Load().Leaf.NotAfter)
	}
}

// look reads both files and takes what is new in them. The same bad content is an error only once.
func (f *Files) look() (changed bool, err error) {
	chain, err := readSome(f.o.Certificate)
	key, keyErr := readSome(f.o.Key)
	sum := sha256.Sum256(bytes.Join([][]byte{chain, key, fmt.Append(nil, err, keyErr)}, []byte{0}))
	if sum == f.seen {
		return false, nil
	}
	f.seen = sum
	if err != nil {
		return false, fmt.Errorf("read tls.certificate: %w", err)
	}
	if keyErr != nil {
		return false, fmt.Errorf("read tls.key: %w", keyErr)
	}
	return f.take(chain, key)
}

func (f *Files) take(chain, key []byte) (bool, error) {
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return false, fmt.Errorf("use tls.certificate %s with tls.key %s: %w", f.o.Certificate, f.o.Key, err)
	}
	if end := c.Leaf.NotAfter; f.cert.Load() != nil && f.o.Clock().After(end) {
		return false, fmt.Errorf("use tls.certificate %s: it expired on %s", f.o.Certificate, end.Format(time.DateOnly))
	}
	if err := c.Leaf.VerifyHostname(f.o.Domain); err != nil {
		f.o.Log.Error("certificate is not for domain", "error", err)
	}
	f.cert.Store(&c)
	return true, nil
}

func readSome(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it is only read
	b, err := io.ReadAll(io.LimitReader(file, maxPEMBytes+1))
	if err == nil && len(b) > maxPEMBytes {
		return nil, fmt.Errorf("read %s: %w", path, errTooLarge)
	}
	return b, err
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
