package mls_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/cloudflare/circl/sign/ed448"

	"github.com/sealgate/sealgate/inbox/mls"
)

// draft is a key package before it is signed: a good one, of which a test spoils one thing.
type draft struct {
	suite                         mls.Suite
	signer                        crypto.Signer
	initKey, encKey, sigKey       []byte
	credential                    []byte // encoded
	versions, suites, credentials []uint16
	extensionTypes                []uint16
	source                        byte
	notBefore, notAfter           uint64
	leafExtensions, extensions    []byte // encoded, without the header
	leafSignature, signature      func([]byte) []byte
}

var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func asIs(b []byte) []byte { return b }

func newDraft(t testing.TB, suite mls.Suite) *draft {
	t.Helper()
	d := &draft{
		suite: suite, initKey: kemKey(t, suite), encKey: kemKey(t, suite),
		credential: basic(bob), versions: []uint16{1}, suites: []uint16{0x0a0a, uint16(suite)},
		credentials: []uint16{1, 2}, extensionTypes: []uint16{0xdada}, source: 1,
		notBefore: uint64(start.Unix()), notAfter: uint64(start.AddDate(0, 3, 0).Unix()),
		leafSignature: asIs, signature: asIs,
	}
	d.signer, d.sigKey = signer(t, suite)
	return d
}

func kemKey(t testing.TB, suite mls.Suite) []byte {
	t.Helper()
	curves := map[mls.Suite]ecdh.Curve{1: ecdh.X25519(), 2: ecdh.P256(), 3: ecdh.X25519(), 5: ecdh.P521(), 7: ecdh.P384()}
	if curve, ok := curves[suite]; ok {
		return must(curve.GenerateKey(rand.Reader))(t).PublicKey().Bytes()
	}
	key := make([]byte, 56) // X448, and any length will do for unknown suites
	_, _ = rand.Read(key)
	return key
}

func signer(t testing.TB, suite mls.Suite) (crypto.Signer, []byte) {
	t.Helper()
	switch suite {
	case 2, 5, 7:
		curve := map[mls.Suite]elliptic.Curve{2: elliptic.P256(), 5: elliptic.P521(), 7: elliptic.P384()}[suite]
		key := must(ecdsa.GenerateKey(curve, rand.Reader))(t)
		return key, must(key.PublicKey.Bytes())(t)
	case 4, 6:
		public, key, err := ed448.GenerateKey(rand.Reader)
		must(key, err)(t)
		return key, public
	default:
		public, key, err := ed25519.GenerateKey(rand.Reader)
		must(key, err)(t)
		return key, public
	}
}

func (d *draft) sign(t testing.TB, label string, content []byte) []byte {
	t.Helper()
	b := vec(vec(nil, []byte("MLS 1.0 "+label)), content)
	hash := map[mls.Suite]crypto.Hash{2: crypto.SHA256, 5: crypto.SHA512, 7: crypto.SHA384}[d.suite]
	if hash != 0 {
		h := hash.New()
		h.Write(b)
		b = h.Sum(nil)
	}
	return must(d.signer.Sign(rand.Reader, b, hash))(t)
}

// bytes is the package, signed.
func (d *draft) bytes(t testing.TB) []byte {
	t.Helper()
	b := u16(nil, 1, uint16(d.suite))
	b = vec(b, d.initKey)
	b = append(b, d.leaf(t)...)
	b = vec(b, d.extensions)
	return vec(b, d.signature(d.sign(t, "KeyPackageTBS", b)))
}

func (d *draft) leaf(t testing.TB) []byte {
	t.Helper()
	b := vec(vec(nil, d.encKey), d.sigKey)
	b = append(b, d.credential...)
	for _, list := range [][]uint16{d.versions, d.suites, d.extensionTypes, nil, d.credentials} {
		b = vec(b, u16(nil, list...))
	}
	b = append(b, d.source)
	switch d.source {
	case 1:
		b = binary.BigEndian.AppendUint64(b, d.notBefore)
		b = binary.BigEndian.AppendUint64(b, d.notAfter)
	case 3:
		b = vec(b, []byte("parent hash"))
	}
	b = vec(b, d.leafExtensions)
	return vec(b, d.leafSignature(d.sign(t, "LeafNodeTBS", b)))
}

func (d *draft) check(t testing.TB) (mls.Verdict, error) {
	t.Helper()
	o := mls.CheckOptions{Identity: bob, Now: start.AddDate(0, 0, 7), MaxLifetime: 400 * 24 * time.Hour}
	return parse(t, d.bytes(t)).KeyPackage.Check(o)
}

func basic(identity string) []byte { return vec(u16(nil, 1), []byte(identity)) }

func x509Chain(certificates ...[]byte) []byte {
	var chain []byte
	for _, c := range certificates {
		chain = vec(chain, c)
	}
	return vec(u16(nil, 2), chain)
}

func extension(kind uint16, data ...byte) []byte { return vec(u16(nil, kind), data) }

func u16(dst []byte, values ...uint16) []byte {
	for _, v := range values {
		dst = binary.BigEndian.AppendUint16(dst, v)
	}
	return dst
}

// vec writes a vector independently of the package under test (RFC 9420 §2.1.2).
func vec(dst, v []byte) []byte {
	switch n := len(v); {
	case n <= 63:
		dst = append(dst, byte(n))
	case n <= 16383:
		dst = append(dst, 0x40|byte(n>>8), byte(n))
	case n <= math.MaxInt32>>1:
		dst = append(dst, 0x80|byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, v...)
}
