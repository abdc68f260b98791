package policy_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/policy"
)

// TestPack: a policy goes to another process as it is, with its lists, whatever their paths.
func TestPack(t *testing.T) {
	c := policy.Candidate{Name: "next.yaml", Text: []byte("version: 1\n"), Files: map[string][]byte{
		"wave.csv": []byte("a.example\n"), "/etc/" + strings.Repeat("long/", 60) + "list": {0xff, 0}, "policy": {}, "../ünter uns": []byte("x"),
	}}
	packed, err := c.Pack()
	if err != nil {
		t.Fatal(err)
	}
	got, err := policy.Unpack(c.Name, bytes.NewReader(packed))
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("%q, %v", got, err)
	}
	for _, n := range []int{1, len(packed) / 2, len(packed) - 1} {
		if _, err := policy.Unpack(c.Name, bytes.NewReader(packed[:n])); err == nil {
			t.Errorf("%d of %d bytes are a policy", n, len(packed))
		}
	}
	if got, err := policy.Unpack(".", strings.NewReader("")); err != nil || got.Text != nil || got.Name != "" {
		t.Errorf("of nothing comes %+v, %v", got, err)
	}
}

// TestPackIsBounded: lists that are too long together are told of on both sides, and no memory is set aside for what a
// header only claims to bring beyond that.
func TestPackIsBounded(t *testing.T) {
	const want = "over 256 MiB together"
	list, files := make([]byte, 64<<20), map[string][]byte{}
	for n := range 4 {
		files[fmt.Sprint(n)] = list
	}
	c := policy.Candidate{Text: []byte("version: 1\n"), Files: files}
	if _, err := c.Pack(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("packed: %v", err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: "list/a", Mode: 0o600, Size: 1 << 40}); err != nil {
		t.Fatal(err)
	}
	_ = w.Flush() // it misses the content
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := policy.Unpack("", &out); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("unpacked: %v", err)
	}
}
