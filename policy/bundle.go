package policy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// bundle is a policy with the files of its lists, as it was loaded. Short lacks lists that it had.
type bundle struct {
	Text  []byte
	Files map[string][]byte
	Short bool
}

const (
	maxBundleBytes   = 400 << 10 // packed: what every change may take
	maxLongBytes     = 32 << 20  // packed: what the policy in force may take
	maxUnpackedBytes = 256 << 20
	bundledPolicy    = "policy"
	bundledList      = "list/" // and its path
	bundledShort     = "short"
)

var errTooLong = fmt.Errorf("a policy and its lists have over %d MiB together", maxUnpackedBytes>>20)

var errLongLists = errors.New("policy: lists are too long to keep")

// pack compresses a bundle. When it is too long to be kept with every change, packed has the policy alone, and
// long has all of it, unless that is errLongLists.
func (b bundle) pack() (packed, long []byte, err error) {
	if long, err = b.packed(); err != nil || len(long) <= maxBundleBytes {
		return long, nil, err
	}
	packed, err = bundle{Text: b.Text, Short: true}.packed()
	switch {
	case err != nil:
		return nil, nil, err
	case len(packed) > maxBundleBytes:
		return nil, nil, fmt.Errorf("a policy of %d bytes is too long to keep", len(b.Text))
	case len(long) > maxLongBytes:
		return packed, nil, fmt.Errorf("%w: %d bytes compressed, %d are possible", errLongLists, len(long), maxLongBytes)
	}
	return packed, long, nil
}

// packed is a tar file, compressed quickly: lists are long.
func (b bundle) packed() ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	t := tar.NewWriter(z)
	err = put(t, bundledPolicy, b.Text)
	if b.Short {
		err = errors.Join(err, put(t, bundledShort, nil))
	}
	for _, path := range slices.Sorted(maps.Keys(b.Files)) {
		err = errors.Join(err, put(t, bundledList+path, b.Files[path]))
	}
	err = errors.Join(err, t.Close(), z.Close())
	return out.Bytes(), err
}

func put(t *tar.Writer, name string, content []byte) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := t.Write(content)
	return err
}

// unpack reads what packed wrote, as it comes: only what is in it is held.
func unpack(packed io.Reader) (bundle, error) {
	b := bundle{Files: map[string][]byte{}}
	z, err := gzip.NewReader(packed)
	if err != nil {
		return b, fmt.Errorf("read a packed policy: %w", err)
	}
	t, left := tar.NewReader(z), int64(maxUnpackedBytes)
	for {
		head, content, err := next(t, left)
		if errors.Is(err, io.EOF) {
			return b, whole(z)
		}
		if err != nil {
			return b, fmt.Errorf("read a packed policy: %w", err)
		}
		left -= head.Size
		b.take(head.Name, content)
	}
}

// next reads one file of at most so many bytes; io.EOF is after the last.
func next(t *tar.Reader, left int64) (*tar.Header, []byte, error) {
	head, err := t.Next()
	if err != nil {
		return nil, nil, err
	}
	if head.Size > left {
		return nil, nil, errTooLong
	}
	content := make([]byte, head.Size)
	if _, err := io.ReadFull(t, content); err != nil {
		return nil, nil, fmt.Errorf("%s is cut off", head.Name)
	}
	return head, content, nil
}

// whole reads the checksum, behind which there is nothing.
func whole(z *gzip.Reader) error {
	if _, err := z.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return errors.New("read a packed policy: it is damaged")
	}
	return nil
}

func (b *bundle) take(name string, content []byte) {
	path, isList := strings.CutPrefix(name, bundledList)
	switch {
	case isList:
		b.Files[path] = content
	case name == bundledShort:
		b.Short = true
	default:
		b.Text = content
	}
}

// open reads a list as it was then.
func (b bundle) open(path string) ([]byte, error) {
	if text, ok := b.Files[path]; ok {
		return text, nil
	}
	return nil, fmt.Errorf("%s was not kept", path)
}
