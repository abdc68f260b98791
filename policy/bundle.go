package policy

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// bundle is a policy with the files of its lists, as it was loaded.
type bundle struct {
	Text  []byte            `json:"text"`
	Files map[string][]byte `json:"files,omitempty"`
}

const (
	maxBundleBytes   = 400 << 10 // packed: what a row of the journal takes
	maxUnpackedBytes = 64 << 20
)

// pack compresses a bundle; lists too long to keep are left out.
func (b bundle) pack() ([]byte, error) {
	out, err := b.packed()
	if err == nil && len(out) > maxBundleBytes {
		b.Files = nil
		out, err = b.packed()
	}
	if err == nil && len(out) > maxBundleBytes {
		err = fmt.Errorf("a policy of %d bytes is too long to keep", len(b.Text))
	}
	return out, err
}

func (b bundle) packed() ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	err := errors.Join(json.NewEncoder(z).Encode(b), z.Close())
	return out.Bytes(), err
}

func unpack(packed []byte) (bundle, error) {
	var b bundle
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err == nil {
		err = json.NewDecoder(io.LimitReader(z, maxUnpackedBytes)).Decode(&b)
	}
	if err != nil {
		return b, fmt.Errorf("read a policy that was loaded before: %w", err)
	}
	return b, nil
}

// open reads a list as it was then.
func (b bundle) open(path string) ([]byte, error) {
	if text, ok := b.Files[path]; ok {
		return text, nil
	}
	return nil, fmt.Errorf("%s was not kept", path)
}
