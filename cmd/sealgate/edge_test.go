package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// selfSigned writes a certificate for 127.0.0.1 and returns who trusts it.
func selfSigned(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, b := range map[string][]byte{
		"cert.pem": chain, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(chain)
	return pool
}

// TestServeTLS: with tls.mode: files the gateway is the edge itself, over HTTP/1.1 and HTTP/2, says so to the
// instance, and redirects what comes in plain.
func TestServeTLS(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", r.Header.Get("X-Forwarded-Proto"), r.Host, r.RequestURI)
	}))
	defer upstream.Close()
	dir, listen, plain := t.TempDir(), freeAddress(t), freeAddress(t)
	pool := selfSigned(t, dir)
	config := fmt.Sprintf(`
domain: %[1]s
listen: %[1]s
upstream: {web: %[2]q}
policy: {preset: open}
tls: {mode: files, certificate: cert.pem, key: key.pem, http: [%[3]q]}
admin: {listen: %[4]q}
`, listen, upstream.URL, plain, freeAddress(t))
	defer serveConfig(t, dir, config)()
	for _, version := range []int{1, 2} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(version == 1)
		transport.Protocols.SetHTTP2(version == 2)
		defer transport.CloseIdleConnections()
		resp := getWhenReady(t, &http.Client{Transport: transport}, "https://"+listen+"/a//b?c=%20")
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := "https " + listen + " /a//b?c=%20"; string(body) != want || resp.ProtoMajor != version {
			t.Errorf("HTTP/%d: %q, not %q", resp.ProtoMajor, body, want)
		}
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp := getWhenReady(t, client, "http://"+plain+"/x?y")
	resp.Body.Close()
	if to := resp.Header.Get("Location"); resp.StatusCode != 301 || to != "https://"+listen+"/x?y" {
		t.Errorf("plain: %d to %q", resp.StatusCode, to)
	}
}

func getWhenReady(t *testing.T, c *http.Client, url string) *http.Response {
	t.Helper()
	deadline := time.After(20 * time.Second)
	patient := *c
	patient.Timeout = 20 * time.Second // the listener may be there, and nobody behind it
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		resp, err := patient.Get(url)
		if err == nil {
			return resp
		}
		select {
		case <-deadline:
			t.Fatalf("the gateway does not answer: %v", err)
		case <-tick.C:
		}
	}
}
