// Package edge is where clients' connections come in when no proxy in front does TLS: listeners that
// shake hands, certificates from files or from an ACME authority, the plain listener that answers
// challenges and redirects, and sockets inherited from the program that ran before.
//
// It never reads a request beyond the target of one to be redirected, and never forwards: the
// connections it accepts are for forward.Server, which speaks HTTP on them.
// Specifications: RFC 8446, RFC 7301 (ALPN), RFC 8555 §8.3 (HTTP-01), RFC 8737 (TLS-ALPN-01),
// sd_listen_fds(3).
package edge
