package storage

import (
	"bufio"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/dgraph-io/badger/v4"
	"github.com/minio/sio"
)

// A backup is a magic line, a salt, and an encrypted, authenticated stream (DARE 2.0)
// of rows, each key | value | expiry; a row without key ends it and counts the others.
const (
	backupMagic   = "sealgate backup 1\n"
	saltSize      = 32
	maxBackupKey  = 64 << 10 // Badger's bound
	maxBackupRow  = 4 << 20  // above what any row of ours holds
	progressEvery = 4 << 20
)

// ErrBackup is a backup that is cut short, was changed, is none, or opens with another key.
var ErrBackup = errors.New("storage: unusable backup")

// Amount is how much was written or read: rows, and bytes of their keys and values.
type Amount struct{ Rows, Bytes int64 }

// Progress is told now and then how far long work has come, by the goroutine that does it. May be nil.
type Progress func(Amount)

// Backup writes to w all that is durable at this moment, encrypted under the store's
// key, row by row. Reads and writes go on meanwhile. What w
// has got before an error is no backup, and Restore refuses it.
func (s *Store) Backup(ctx context.Context, w io.Writer, told Progress) (Amount, error) {
	out, err := newBackupWriter(w, s.key(), told)
	if err != nil {
		return Amount{}, fmt.Errorf("begin a backup: %w", err)
	}
	if err := s.scan(ctx, []byte{}, out.write); err != nil {
		return out.amount, fmt.Errorf("write a backup: %w", err)
	}
	if err := out.end(); err != nil {
		return out.amount, fmt.Errorf("end a backup: %w", err)
	}
	return out.amount, nil
}

type backupWriter struct {
	meter
	sealed io.WriteCloser
	out    *bufio.Writer
	row    []byte
}

func newBackupWriter(w io.Writer, key []byte, told Progress) (*backupWriter, error) {
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	if _, err := w.Write(append([]byte(backupMagic), salt...)); err != nil {
		return nil, err
	}
	config, err := backupCipher(key, salt)
	if err != nil {
		return nil, err
	}
	sealed, err := sio.EncryptWriter(struct{ io.Writer }{w}, config) // which would close w
	if err != nil {
		return nil, err
	}
	return &backupWriter{meter: meter{told: told}, sealed: sealed, out: bufio.NewWriterSize(sealed, 64<<10)}, nil
}

// backupCipher derives a key for one backup alone, so that no nonce can meet another's.
func backupCipher(key, salt []byte) (sio.Config, error) {
	derived, err := hkdf.Key(sha256.New, key, salt, backupMagic, KeySize)
	return sio.Config{MinVersion: sio.Version20, Key: derived}, err
}

func (b *backupWriter) write(one *badger.Entry) error {
	b.row = appendUints(appendBytes(appendBytes(b.row[:0], one.Key), one.Value), one.ExpiresAt)
	_, err := b.out.Write(b.row)
	b.count(len(one.Key) + len(one.Value))
	return err
}

func (b *backupWriter) end() error {
	_, err := b.out.Write(appendUints(nil, 0, uint64(b.amount.Rows)))
	if err == nil {
		err = b.out.Flush()
	}
	if err != nil {
		return err
	}
	return b.sealed.Close()
}

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
	m := meter{told: told}
	for {
		if err := ctx.Err(); err != nil {
			return m.amount, err
		}
		row, err := readRow(in)
		if err != nil {
			return m.amount, backupError(err)
		}
		if row == nil {
			return m.amount, endOfBackup(in, m.amount.Rows)
		}
		if err := keep(row); err != nil {
			return m.amount, err
		}
		m.count(len(row.Key) + len(row.Value))
	}
}

func openBackup(r io.Reader, key []byte) (*bufio.Reader, error) {
	head := make([]byte, len(backupMagic)+saltSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, backupError(err)
	}
	if string(head[:len(backupMagic)]) != backupMagic {
		return nil, fmt.Errorf("%w: the file is no backup of this version of Sealgate", ErrBackup)
	}
	config, err := backupCipher(key, head[len(backupMagic):])
	if err != nil {
		return nil, err
	}
	open, err := sio.DecryptReader(r, config)
	if err != nil {
		return nil, err
	}
	return bufio.NewReaderSize(open, 64<<10), nil
}

// readRow gives nil for the row that ends the backup.
func readRow(in *bufio.Reader) (*badger.Entry, error) {
	key, err := readPart(in, maxBackupKey)
	if err != nil || len(key) == 0 {
		return nil, err
	}
	value, err := readPart(in, maxBackupRow)
	if err != nil {
		return nil, err
	}
	expires, err := binary.ReadUvarint(in)
	return &badger.Entry{Key: key, Value: value, ExpiresAt: expires}, err
}

func readPart(in *bufio.Reader, most uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, err
	}
	if n > most {
		return nil, errRecord
	}
	part := make([]byte, n)
	_, err = io.ReadFull(in, part)
	return part, err
}

// endOfBackup holds the last row against what was read, and reads up to the stream's
// own end, which proves that nothing was cut off.
func endOfBackup(in *bufio.Reader, rows int64) error {
	want, err := binary.ReadUvarint(in)
	if err != nil {
		return backupError(err)
	}
	if want != uint64(rows) {
		return fmt.Errorf("%w: it has %d rows and says %d", ErrBackup, rows, want)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return backupError(err)
	}
	return nil
}

func backupError(cause error) error {
	return fmt.Errorf("%w: it is cut short, was changed, or was made with another storage.encryption_key (%w)", ErrBackup, errors.Join(cause, errRecord))
}
