package inboxtest

import (
	"cmp"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"time"
)

// Client is a device that makes key packages as RFC 9420 §10 has them, written here
// independently of package mls. What a test wants wrong it sets.
type Client struct {
	Actor    string             // the identity in the credential
	Key      ed25519.PrivateKey // of the leaf
	Suite    uint16             // 0: 1, X25519 and Ed25519
	Begins   time.Time
	Lifetime time.Duration // 0: 90 days

	LastResort bool
	InitKey    []byte // nil: a new one each time
	EncryptKey []byte // nil: a new one each time
	Credential []byte // nil: basic, with Actor
	Extensions []byte // further ones of the package, encoded
	Padding    int    // bytes of an extension nobody knows
	SpoilLeaf  bool   // the leaf's signature is wrong
	Spoil      bool   // the package's signature is wrong
}

// NewClient is a device of actor with a key of its own.
func NewClient(actor string, begins time.Time) *Client {
	_, key, _ := ed25519.GenerateKey(rand.Reader) // never fails (crypto/rand)
	return &Client{Actor: actor, Key: key, Begins: begins}
}

// Package makes a KeyPackage, without a frame.
func (c *Client) Package() []byte {
	suite := cmp.Or(c.Suite, 1)
	b := u16(nil, 1, suite)
	b = vector(b, orNew(c.InitKey))
	b = append(b, c.leaf(suite)...)
	var extensions []byte
	if c.LastResort {
		extensions = Extension(0x000a, nil)
	}
	if c.Padding > 0 {
		extensions = append(extensions, Extension(0xf0f0, make([]byte, c.Padding))...)
	}
	b = vector(b, append(extensions, c.Extensions...))
	return vector(b, spoiled(c.sign("KeyPackageTBS", b), c.Spoil))
}

func (c *Client) leaf(suite uint16) []byte {
	b := vector(nil, orNew(c.EncryptKey))
	b = vector(b, c.Key.Public().(ed25519.PublicKey))
	credential := c.Credential
	if credential == nil {
		credential = vector(u16(nil, 1), []byte(c.Actor))
	}
	b = append(b, credential...)
	for _, list := range [][]uint16{{1}, {suite, 0x0a0a}, {0x000a}, nil, {1, 2}} {
		b = vector(b, u16(nil, list...))
	}
	lifetime := cmp.Or(c.Lifetime, 90*24*time.Hour)
	b = append(b, 1)
	b = binary.BigEndian.AppendUint64(b, uint64(c.Begins.Unix()))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Begins.Add(lifetime).Unix()))
	b = vector(b, nil)
	return vector(b, spoiled(c.sign("LeafNodeTBS", b), c.SpoilLeaf))
}

func (c *Client) sign(label string, content []byte) []byte {
	return ed25519.Sign(c.Key, vector(vector(nil, []byte("MLS 1.0 "+label)), content))
}

func spoiled(signature []byte, spoil bool) []byte {
	if spoil {
		signature[0] ^= 1
	}
	return signature
}

func orNew(key []byte) []byte {
	if key != nil {
		return key
	}
	made, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return made.PublicKey().Bytes()
}

// Extension encodes one extension (RFC 9420 §7.2).
func Extension(kind uint16, data []byte) []byte { return vector(u16(nil, kind), data) }

// Welcome is an MLSMessage that invites by these KeyPackageRefs (RFC 9420
// §12.4.3.1). Its ciphertexts are nothing.
func Welcome(refs ...[]byte) []byte {
	var secrets []byte
	for _, ref := range refs {
		secrets = vector(secrets, ref)
		secrets = vector(vector(secrets, make([]byte, 32)), make([]byte, 48))
	}
	b := u16(nil, 1, 3, 1)
	return vector(vector(b, secrets), make([]byte, 64))
}

// What a Private can hold (ContentType, RFC 9420 §6).
const (
	Application = byte(iota + 1)
	Proposal
	Commit
)

// Private is an MLSMessage with a PrivateMessage of a group (RFC 9420 §6.3). Nobody could decrypt it.
func Private(holds byte, group string, epoch uint64, ciphertext string) []byte {
	b := vector(u16(nil, 1, 2), []byte(group))
	b = append(binary.BigEndian.AppendUint64(b, epoch), holds)
	b = vector(vector(b, nil), []byte{'s'})
	return vector(b, []byte(ciphertext))
}

func u16(dst []byte, values ...uint16) []byte {
	for _, v := range values {
		dst = binary.BigEndian.AppendUint16(dst, v)
	}
	return dst
}

// vector writes RFC 9420 §2.1.2's variable-size vector.
func vector(dst, v []byte) []byte {
	switch n := len(v); {
	case n < 1<<6:
		dst = append(dst, byte(n))
	case n < 1<<14:
		dst = append(dst, 0x40|byte(n>>8), byte(n))
	default:
		dst = append(dst, 0x80|byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, v...)
}
