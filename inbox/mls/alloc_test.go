package mls_test

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

func BenchmarkParsePrivateMessage(b *testing.B) {
	message := vec(private()[:len(private())-11], make([]byte, 4096)) // its ciphertext made longer
	for b.Loop() {
		if _, err := mls.Parse(message); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckKeyPackage(b *testing.B) {
	for suite := mls.Suite(1); suite <= 7; suite++ {
		encoded := newDraft(b, suite).bytes(b)
		b.Run(suite.String(), func(b *testing.B) {
			for b.Loop() {
				o := mls.CheckOptions{Identity: bob, Now: start, MaxLifetime: 400 * 24 * time.Hour}
				if _, err := parse(b, encoded).KeyPackage.Check(o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What stands on the way of every message: the Message, its body, and the reader.
func TestParsePrivateMessageAllocates(t *testing.T) {
	b := private()
	if n := testing.AllocsPerRun(100, func() { _, _ = mls.Parse(b) }); n > 3 {
		t.Errorf("%v allocations, want at most 3", n)
	}
	m, dst := parse(t, b), make([]byte, 0, len(b))
	if n := testing.AllocsPerRun(100, func() { m.AppendTo(dst) }); n != 0 {
		t.Errorf("re-encoding into room enough allocates %v times", n)
	}
}

// Lists of a hundred thousand items cost no memory and, checked, no more than linear time.
func TestHostileListsCostNothing(t *testing.T) {
	const size = 1 << 18
	for name, b := range hostileLists(t, size) {
		if grown := allocated(func() { _, _ = mls.Parse(b) }); grown > 4<<10 {
			t.Errorf("%s: parsing %d bytes allocates %d", name, len(b), grown)
		}
		m := parse(t, b)
		if !bytes.Equal(m.AppendTo(nil), b) {
			t.Errorf("%s: not re-encoded", name)
		}
		began := time.Now()
		if m.KeyPackage != nil {
			_, _ = m.KeyPackage.Check(mls.CheckOptions{Identity: bob, Now: start, MaxLifetime: time.Hour})
			_ = m.KeyPackage.LastResort()
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: checked in %s", name, took)
		}
		if refs := allocated(func() { _ = m.WelcomeRefs() }); refs > 10*uint64(len(b)) {
			t.Errorf("%s: the refs of %d bytes take %d", name, len(b), refs)
		}
	}
}

func hostileLists(t *testing.T, size int) map[string][]byte {
	t.Helper()
	d := newDraft(t, 1)
	d.extensions = bytes.Repeat(extension(0x0a0a), size/3)
	extensions := d.bytes(t)
	d = newDraft(t, 1)
	d.extensionTypes = make([]uint16, size/2)
	d.leafExtensions = nil
	for i := range 1 << 15 {
		d.leafExtensions = append(d.leafExtensions, extension(uint16(i))...)
	}
	capabilities := d.bytes(t)
	d = newDraft(t, 1)
	d.credential = x509Chain(make([][]byte, size)...)
	chain := d.bytes(t)
	update := append([]byte{1, 0, 2}, make([]byte, 2)...) // a proposal to update, in 16 bytes
	update = append(update, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0)
	return map[string][]byte{
		"extensions":   extensions,
		"capabilities": capabilities,
		"certificates": chain,
		"references":   commit(bytes.Repeat([]byte{2, 0}, size/2)...),
		"updates":      commit(bytes.Repeat(update, size/16)...),
		"welcome refs": vec(vec(u16(nil, 1, 3, 1), make([]byte, size/3*3)), nil),
	}
}

// allocated counts the bytes that f takes from the heap: the least of a few runs, for the
// runtime allocates at times of its own.
func allocated(f func()) uint64 {
	return min(allocatedOnce(f), allocatedOnce(f), allocatedOnce(f))
}

func allocatedOnce(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
