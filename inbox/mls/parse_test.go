package mls_test

import (
	"encoding/hex"
	"testing"

	"github.com/sealgate/sealgate/inbox/mls"
)

func parse(t testing.TB, b []byte) *mls.Message {
	t.Helper()
	m, err := mls.Parse(b)
	if err != nil {
		t.Fatalf("%x: %v", b[:min(len(b), 40)], err)
	}
	return m
}

func unhex(t testing.TB, v any) []byte {
	t.Helper()
	s, _ := v.(string)
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
