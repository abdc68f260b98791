package edge

import (
	"crypto/tls"
	"sync/atomic"
)

// Conn is a client's connection after its handshake.
type Conn struct {
	*tls.Conn
	torn atomic.Bool
}

// SetLinger with 0 makes the Close that follows visible as an error: the connection is reset and no
// close_notify pretends that everything was said (RFC 8446 §6.1).
func (c *Conn) SetLinger(seconds int) error {
	c.torn.Store(seconds == 0)
	if t, ok := c.NetConn().(interface{ SetLinger(int) error }); ok {
		return t.SetLinger(seconds)
	}
	return nil
}

// Close ends the connection.
func (c *Conn) Close() error {
	if c.torn.Load() {
		return c.NetConn().Close()
	}
	return c.Conn.Close()
}

// TLS returns the connection itself, for a library that asks for one.
func (c *Conn) TLS() *tls.Conn { return c.Conn }
