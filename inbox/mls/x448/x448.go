// Package x448 stands in for a module that no proxy serves any more and that cisco/go-mls
// names through go-hpke. It offers the two functions that are called, over CIRCL's X448
// (RFC 7748 §5), and nothing else.
package x448

import "github.com/cloudflare/circl/dh/x448"

// ScalarMult sets dst to the X448 function of the scalar in and the point base (RFC 7748 §5).
// It returns 0, or -1 when base is a low-order point and dst is all zero.
func ScalarMult(dst, in, base *[56]byte) int {
	scalar, point := x448.Key(*in), x448.Key(*base)
	var shared x448.Key
	if !x448.Shared(&shared, &scalar, &point) {
		return -1
	}
	*dst = shared
	return 0
}

// ScalarBaseMult sets dst to the X448 public key of the scalar in and returns 0.
func ScalarBaseMult(dst, in *[56]byte) int {
	scalar := x448.Key(*in)
	var public x448.Key
	x448.KeyGen(&public, &scalar)
	*dst = public
	return 0
}
