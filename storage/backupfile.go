package storage

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// A backup is a head (a magic line, a salt and the moment) and segments, each a length and so many bytes of AES-256-GCM
// with a random nonce, under a key derived for this backup alone; what it authenticates besides is the tag of the segment
// before, so that none can be left out, moved or exchanged. A segment holds whole rows, each key | value | expiry;
// a row without key is the last, and counts the others.
const (
	backupMagic   = "sealgate backup 2\n"
	saltSize      = 32
	headSize      = len(backupMagic) + saltSize + 8
	segmentBytes  = 1 << 20
	sealOverhead  = 12 + tagSize
	tagSize       = 16
	maxBackupKey  = 64 << 10 // Badger's bound
	maxBackupRow  = 4 << 20  // above what any row of ours holds
	maxSegment    = segmentBytes + maxBackupKey + maxBackupRow + 64 + sealOverhead
	progressEvery = 4 << 20
)

// Amount is how much was written or read: rows, and bytes of their keys and values.
type Amount struct{ Rows, Bytes int64 }

// Progress is told now and then how far long work has come, by the goroutine that does it. May be nil.
type Progress func(Amount)

// meter counts rows and tells about it every few megabytes.
type meter struct {
	told   Progress
	amount Amount
	next   int64
}

func (m *meter) count(bytes int) {
	m.amount.Rows++
	m.amount.Bytes += int64(bytes)
	if m.told != nil && m.amount.Bytes >= m.next {
		m.told(m.amount)
		m.next = m.amount.Bytes + progressEvery
	}
}

func backupHead(salt []byte, moment uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(backupMagic), salt...), moment)
}

func backupCipher(key, head []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, string(head), KeySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// backupWriter gathers rows until they make a segment.
type backupWriter struct {
	meter
	w     io.Writer
	seal  cipher.AEAD
	chain []byte
	rows  []byte
}

func newBackupWriter(w io.Writer, key []byte, from Spot, told Progress) (*backupWriter, error) {
	head := backupHead(from.Salt, from.Moment)
	seal, err := backupCipher(key, head)
	if err == nil && from.Offset == 0 {
		_, err = w.Write(head)
	}
	return &backupWriter{meter: meter{told: told, amount: from.Amount}, w: w, seal: seal, chain: from.Chain}, err
}

func (b *backupWriter) write(one *badger.Entry) error {
	if string(one.Key) == momentKey {
		return nil // of another store, once it is restored
	}
	b.rows = appendUints(appendBytes(appendBytes(b.rows, one.Key), one.Value), one.ExpiresAt)
	b.count(len(one.Key) + len(one.Value))
	if len(b.rows) < segmentBytes {
		return nil
	}
	return b.segment()
}

func (b *backupWriter) end() error {
	b.rows = appendUints(b.rows, 0, uint64(b.amount.Rows))
	return b.segment()
}

func (b *backupWriter) segment() error {
	sealed := b.seal.Seal(make([]byte, 4, 4+len(b.rows)+sealOverhead), nil, b.rows, b.chain) //nolint:gosec // it makes its nonces itself
	binary.BigEndian.PutUint32(sealed, uint32(len(sealed)-4))
	b.chain, b.rows = bytes.Clone(sealed[len(sealed)-tagSize:]), b.rows[:0]
	_, err := b.w.Write(sealed)
	return err
}

// VerifyBackup reads a whole backup and says how much is in it, or why it is of no
// use (ErrBackup).
func VerifyBackup(ctx context.Context, key []byte, r io.Reader, told Progress) (Amount, error) {
	return readBackup(ctx, key, r, told, func(*badger.Entry) error { return nil })
}

// readBackup hands every row to keep, which owns it. What it handed on before an
// error is authentic, and not all.
func readBackup(ctx context.Context, key []byte, r io.Reader, told Progress, keep func(*badger.Entry) error) (Amount, error) {
	in, err := openBackup(r, key)
	if err != nil {
		return Amount{}, err
	}
	in.told = told
	for !in.spot.Whole {
		if err := errors.Join(ctx.Err(), in.segment(keep)); err != nil {
			return in.amount, err
		}
	}
	switch err := in.read(make([]byte, 1)); {
	case err == nil:
		return in.amount, fmt.Errorf("%w: something stands behind its end", ErrBackup)
	case !errors.Is(err, errCut):
		return in.amount, err
	}
	return in.amount, nil
}

// FindSpot reads what there is of a backup, and says where another call of Store.Backup goes on. A file of which no
// segment is whole is begun anew, unless it is no backup or has another key.
func FindSpot(ctx context.Context, key []byte, r io.Reader, told Progress) (Spot, error) {
	in, err := openBackup(r, key)
	if errors.Is(err, errCut) {
		return Spot{}, nil
	}
	if err != nil {
		return Spot{}, err
	}
	in.told = told
	for good := (Spot{}); ; good = in.spot {
		err := errors.Join(ctx.Err(), in.segment(func(*badger.Entry) error { return nil }))
		switch {
		case err == nil && in.spot.Whole:
			return in.spot, nil
		case errors.Is(err, errCut), errors.Is(err, ErrBackup) && good.Offset > 0:
			return good, nil // it is where the whole part ends
		case err != nil:
			return Spot{}, err
		}
	}
}

// backupReader reads segment by segment.
type backupReader struct {
	meter
	in   io.Reader
	open cipher.AEAD
	spot Spot // behind the last whole segment
	buf  []byte
}

func openBackup(r io.Reader, key []byte) (*backupReader, error) {
	b, head := &backupReader{in: r}, make([]byte, headSize)
	if err := b.read(head); err != nil {
		return nil, err
	}
	if string(head[:len(backupMagic)]) != backupMagic {
		return nil, foreign(head)
	}
	b.spot = Spot{Offset: int64(headSize), Salt: head[len(backupMagic) : headSize-8], Moment: binary.BigEndian.Uint64(head[headSize-8:])}
	var err error
	b.open, err = backupCipher(key, head)
	return b, err
}

// errCut is an ErrBackup: the file ends too early. Another error of a file that cannot be read says nothing about the backup.
var errCut = fmt.Errorf("%w: it ends too early: it is cut short, or was changed", ErrBackup)

func (b *backupReader) read(into []byte) error {
	_, err := io.ReadFull(b.in, into)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	}
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	return nil
}

// changed is what is wrong with a segment that is there and not as it was written.
func (b *backupReader) changed() error {
	if b.spot.Chain != nil { // the key opened what is before
		return fmt.Errorf("%w: it was changed", ErrBackup)
	}
	return fmt.Errorf("%w: it was made with another storage.encryption_key, or was changed", ErrBackup)
}

// segment reads one, and moves spot behind it.
func (b *backupReader) segment(keep func(*badger.Entry) error) error {
	sealed, err := b.sealed()
	if err != nil {
		return err
	}
	rows, err := b.open.Open(nil, nil, sealed, b.spot.Chain)
	if err != nil {
		return b.changed()
	}
	d := decoder{rest: rows}
	for len(d.rest) > 0 && !b.spot.Whole {
		if err := b.row(&d, keep); err != nil {
			return err
		}
	}
	if d.end() != nil {
		return b.changed()
	}
	b.spot.Chain = bytes.Clone(sealed[len(sealed)-tagSize:])
	b.spot.Offset += 4 + int64(len(sealed))
	b.spot.Amount = b.amount
	return nil
}

func (b *backupReader) sealed() ([]byte, error) {
	var length [4]byte
	if err := b.read(length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n < sealOverhead || n > uint32(maxSegment) {
		return nil, b.changed()
	}
	if cap(b.buf) < int(n) {
		b.buf = make([]byte, n)
	}
	return b.buf[:n], b.read(b.buf[:n])
}

func (b *backupReader) row(d *decoder, keep func(*badger.Entry) error) error {
	key := d.bytes()
	if d.err == nil && len(key) == 0 {
		b.spot.Whole = true
		if n := d.int(); d.err == nil && n != b.amount.Rows {
			return fmt.Errorf("%w: it has %d rows and says %d", ErrBackup, b.amount.Rows, n)
		}
		return nil
	}
	one := &badger.Entry{Key: key, Value: d.bytes(), ExpiresAt: d.uint()}
	if d.err != nil {
		return b.changed()
	}
	b.spot.After = one.Key
	if err := keep(one); err != nil {
		return err
	}
	b.count(len(one.Key) + len(one.Value))
	return nil
}

// foreign says of a head that is not ours whose it is. Of all formats the magic line ends in its number.
func foreign(head []byte) error {
	name, ours, _ := strings.Cut(strings.TrimSpace(backupMagic), "backup ")
	line, _, _ := strings.Cut(string(head), "\n")
	if theirs, ok := strings.CutPrefix(line, name+"backup "); ok && isNumber(theirs) {
		return fmt.Errorf("%w: it has format %s, this program reads %s; use the version that made it", ErrBackup, theirs, ours)
	}
	return fmt.Errorf("%w: the file is no backup made by sealgate backup", ErrBackup)
}

func isNumber(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }
