// Package forward is the faithful hop between a client and the instance behind the gateway.
//
// Server reads HTTP/1.1 from clients and hands each request to a fasthttp.RequestHandler; Upstream
// takes a request over and passes it on. Both sides keep the bytes: request line, header lines and
// bodies travel as they came, in order, and only what belongs to one connection is taken away
// (RFC 9110 §7.6.1). Framing that two parsers could read differently is refused (RFC 9112 §11.2).
//
// The package never looks into a body, keeps nothing, and knows nothing of ActivityPub.
// Specifications: RFC 9110, RFC 9112, PROXY protocol 1 and 2.
package forward
