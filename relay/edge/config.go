package edge

import (
	"context"
	"crypto/tls"
)

// Protocols a client can choose by ALPN.
const (
	protoHTTP2 = "h2"
	protoHTTP1 = "http/1.1"
	protoACME  = "acme-tls/1"
)

// Certificates says what a TLS client is shown. Files and ACME implement it. Safe for concurrent use.
type Certificates interface {
	Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
	// Protocols are those the certificates need besides HTTP.
	Protocols() []string
	// Run keeps them fresh until ctx is done.
	Run(ctx context.Context) error
}

// Config returns the TLS settings of a public listener: TLS 1.2 with forward secrecy and authenticated
// encryption, or 1.3 (RFC 9325 §4.2), and HTTP/2 before HTTP/1.1.
func Config(c Certificates) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: c.Certificate,
		NextProtos:     append([]string{protoHTTP2, protoHTTP1}, c.Protocols()...),
		CipherSuites: []uint16{ // of TLS 1.2; those of 1.3 are all good
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}
