package main

import (
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// scan is what sslscan found out about a server.
type scan struct {
	Protocols []struct {
		Type    string `xml:"type,attr"`
		Version string `xml:"version,attr"`
		Enabled bool   `xml:"enabled,attr"`
	} `xml:"ssltest>protocol"`
	Renegotiation struct {
		Supported bool `xml:"supported,attr"`
	} `xml:"ssltest>renegotiation"`
	Heartbleed []struct {
		Vulnerable bool `xml:"vulnerable,attr"`
	} `xml:"ssltest>heartbleed"`
	Ciphers []struct {
		Protocol string `xml:"sslversion,attr"`
		Name     string `xml:"cipher,attr"`
		Bits     int    `xml:"bits,attr"`
	} `xml:"ssltest>cipher"`
}

// TestSSLScan: sslscan, which tries what Go's own client cannot, finds TLS 1.2 and 1.3 alone, forward secrecy and
// authenticated encryption in every cipher, and nothing to attack.
func TestSSLScan(t *testing.T) {
	up := httptest.NewServer(http.NotFoundHandler())
	defer up.Close()
	c := startChild(t, up.URL, "")
	out, err := exec.CommandContext(t.Context(), "sslscan", "--xml=-", "--no-colour", c.address).Output()
	if err != nil {
		t.Fatalf("sslscan (Debian's package of this name): %v", err)
	}
	var s scan
	if err := xml.Unmarshal(out, &s); err != nil {
		t.Fatalf("read what sslscan says: %v\n%s", err, out)
	}
	var enabled []string
	for _, p := range s.Protocols {
		if p.Enabled {
			enabled = append(enabled, p.Type+" "+p.Version)
		}
	}
	if want := []string{"tls 1.2", "tls 1.3"}; len(s.Protocols) != 6 || !slices.Equal(enabled, want) {
		t.Errorf("of %d protocols these are enabled: %v, want %v", len(s.Protocols), enabled, want)
	}
	if s.Renegotiation.Supported {
		t.Error("a client can renegotiate")
	}
	for _, h := range s.Heartbleed {
		if h.Vulnerable {
			t.Error("heartbleed")
		}
	}
	if len(s.Ciphers) < 4 {
		t.Errorf("only %d ciphers were accepted", len(s.Ciphers))
	}
	for _, k := range s.Ciphers {
		forward := k.Protocol == "TLSv1.3" || strings.HasPrefix(k.Name, "ECDHE-")
		sealed := strings.Contains(k.Name, "GCM") || strings.Contains(k.Name, "CHACHA20")
		if !forward || !sealed || k.Bits < 128 {
			t.Errorf("%s accepts %s, %d bits", k.Protocol, k.Name, k.Bits)
		}
	}
}
