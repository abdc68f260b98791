package actorkey

import (
	"crypto/x509"
	"net"
	"net/http"
)

// Remembered is how many answers the cache holds.
func (k *Keys) Remembered() int {
	k.cache.entries.CleanUp()
	return k.cache.entries.EstimatedSize()
}

// Trust lets a client of NewClient speak TLS with a test's server.
func Trust(c *http.Client, roots *x509.CertPool) {
	g, _ := c.Transport.(*guard)
	g.next.TLSClientConfig.RootCAs = roots
}

// Resolve has a client of NewClient look names up with r.
func Resolve(c *http.Client, r *net.Resolver) {
	g, _ := c.Transport.(*guard)
	g.dialer.Resolver = r
}
