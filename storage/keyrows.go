package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/mls"
)

func (k keyring) pool(o inbox.Owner) hashed { return k.hash(poolKey, string(o)) }

func (k keyring) trace(name string) hashed { return k.hash(traceKey, name) }

// named is the key of one thing of whom h stands for.
func (h hashed) named(kind byte, id string) []byte { return append(h.key(kind), id...) }

func logKeyOf(box hashed, n uint64) []byte {
	return binary.BigEndian.AppendUint64(box.key(logKey), n)
}

const (
	isLastResort = 1 << iota
	isVerified
	isHeld
)

func encodePackage(p *inbox.Package) []byte {
	var flags uint64
	if p.LastResort {
		flags |= isLastResort
	}
	if p.Verified {
		flags |= isVerified
	}
	if p.Hold.By != "" {
		flags |= isHeld
	}
	b := make([]byte, 0, 256)
	b = appendUints(b, p.N, uint64(p.Suite), flags, uint64(p.Published.Unix()), uint64(p.NotAfter.Unix()), uint64(p.Size))
	b = appendBytes(b, string(p.State))
	b = appendBytes(b, p.Device)
	b = appendBytes(b, p.Activity)
	b = appendBytes(b, p.Ref)
	b = append(b, p.Signer[:]...)
	b = appendTexts(b, p.Aliases)
	if flags&isHeld != 0 {
		b = appendUints(appendBytes(b, p.Hold.By), uint64(p.Hold.Until.Unix()))
	}
	return b
}

func decodePackage(id string, value []byte) (inbox.Package, error) {
	d := decoder{rest: value}
	p := inbox.Package{ID: id, N: d.uint(), Suite: mls.Suite(d.uint())}
	flags := d.uint()
	p.LastResort, p.Verified = flags&isLastResort != 0, flags&isVerified != 0
	p.Published, p.NotAfter, p.Size = d.time(), d.time(), int(d.uint())
	p.State = inbox.State(d.bytes())
	p.Device, p.Activity = string(d.bytes()), string(d.bytes())
	p.Ref = cloneOf(d.bytes())
	p.Signer = d.hash()
	p.Aliases = d.texts()
	if flags&isHeld != 0 {
		p.Hold = inbox.Hold{By: string(d.bytes()), Until: d.time()}
	}
	return p, d.end()
}

func encodeHead(p *inbox.Pool, version uint64) []byte {
	b := append(appendUints(nil, version, p.Log.Count), p.Log.Hash[:]...)
	b = appendUints(b, uint64(len(p.Devices)))
	for _, one := range p.Devices {
		b = appendBytes(appendBytes(b, one.ID), one.Name)
		b = appendUints(b, uint64(one.First.Unix()), uint64(len(one.Keys)))
		for _, k := range one.Keys {
			b = appendBytes(b, k)
		}
	}
	b = appendUints(b, uint64(len(p.Notices)))
	for _, n := range p.Notices {
		b = appendUints(appendBytes(b, string(n.Kind)), uint64(n.At.Unix()))
		b = appendBytes(appendBytes(appendBytes(b, n.Device), n.Name), n.Package)
		b = appendTexts(b, n.Others)
	}
	return b
}

func decodeHead(value []byte, p *inbox.Pool) (version uint64, err error) {
	d := decoder{rest: value}
	version = d.uint()
	p.Log.Count = d.uint()
	p.Log.Hash = d.hash()
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		one := inbox.Device{ID: string(d.bytes()), Name: string(d.bytes()), First: d.time()}
		for k := d.uint(); k > 0 && d.err == nil; k-- {
			one.Keys = append(one.Keys, cloneOf(d.bytes()))
		}
		p.Devices = append(p.Devices, one)
	}
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		one := inbox.Notice{Kind: inbox.Kind(d.bytes()), At: d.time()}
		one.Device, one.Name, one.Package = string(d.bytes()), string(d.bytes()), string(d.bytes())
		one.Others = d.texts()
		p.Notices = append(p.Notices, one)
	}
	return version, d.end()
}

func encodeEntry(e *inbox.LogEntry) []byte {
	b := make([]byte, 0, 320)
	b = appendUints(b, e.N, uint64(e.Time.Unix()), uint64(e.Suite))
	b = append(append(b, e.Previous[:]...), e.SignatureKey[:]...)
	b = appendBytes(b, string(e.Action))
	b = appendBytes(appendBytes(b, e.Package), e.Device)
	return appendBytes(appendBytes(b, e.Ref), e.Signature)
}

func decodeEntry(value []byte) (inbox.LogEntry, error) {
	d := decoder{rest: value}
	e := inbox.LogEntry{N: d.uint(), Time: d.time(), Suite: mls.Suite(d.uint())}
	e.Previous = d.hash()
	e.SignatureKey = d.hash()
	e.Action = inbox.Action(d.bytes())
	e.Package, e.Device = string(d.bytes()), string(d.bytes())
	e.Ref, e.Signature = cloneOf(d.bytes()), cloneOf(d.bytes())
	return e, d.end()
}

func encodeTrace(t *inbox.Trace) []byte {
	return appendUints(appendBytes(appendBytes(nil, string(t.Owner)), t.Device), uint64(t.Until.Unix()))
}

func decodeTrace(name string, value []byte) (inbox.Trace, error) {
	d := decoder{rest: value}
	t := inbox.Trace{Name: name, Owner: inbox.Owner(d.bytes()), Device: string(d.bytes()), Until: d.time()}
	return t, d.end()
}

// time is a moment in whole seconds.
func (d *decoder) time() time.Time { return time.Unix(d.int(), 0).UTC() }

// hash reads a SHA-256, which has no length before it.
func (d *decoder) hash() (h [sha256.Size]byte) {
	n := copy(h[:], d.rest)
	if d.rest = d.rest[n:]; n < len(h) {
		d.err = errRecord
	}
	return h
}

func (d *decoder) texts() (out []string) {
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		out = append(out, string(d.bytes()))
	}
	return out
}

func appendTexts(dst []byte, list []string) []byte {
	dst = appendUints(dst, uint64(len(list)))
	for _, s := range list {
		dst = appendBytes(dst, s)
	}
	return dst
}

func cloneOf(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}
