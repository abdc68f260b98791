package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

// logFile is an exported log of n entries, in pages of two.
func logFile(t *testing.T, n int) (pages []inbox.LogFile) {
	t.Helper()
	const bob = "https://social.example/users/bob"
	d := inboxtest.NewDirectory(&inboxtest.KeyMemory{}, time.Now)
	inboxtest.Fill(t, d, "2", inboxtest.NewClient(bob, time.Now()), n)
	entries, err := d.History(t.Context(), "2", 0, n)
	if err != nil {
		t.Fatal(err)
	}
	for len(entries) > 0 {
		page := min(2, len(entries))
		pages = append(pages, inbox.LogFile{Actor: bob, PublicKey: d.PublicKey(), Total: uint64(n), Entries: entries[:page]})
		entries = entries[page:]
	}
	return pages
}

func verify(t *testing.T, pages []inbox.LogFile, flags ...string) (code int, out, errs string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log.json")
	var text bytes.Buffer
	for _, p := range pages {
		if err := json.NewEncoder(&text).Encode(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = execute(t.Context(), append([]string{"keys", "verify", file}, flags...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestKeysVerify(t *testing.T) {
	pages := logFile(t, 5)
	key := base64.StdEncoding.EncodeToString(pages[0].PublicKey)
	code, out, errs := verify(t, pages, "--key", key)
	if code != exitOK || !strings.HasPrefix(out, "5 entries of https://social.example/users/bob are unbroken") || strings.Contains(out, "--key") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	code, out, _ = verify(t, pages[:2])
	if code != exitOK || !strings.Contains(out, "not the whole log") || !strings.Contains(out, "--key") {
		t.Errorf("half of it: %d %q", code, out)
	}
	code, out, _ = verify(t, pages, "--json")
	var v verified
	if err := json.Unmarshal([]byte(out), &v); code != exitOK || err != nil || v.Entries != 5 || !v.Complete || v.Pinned || v.Key != key {
		t.Errorf("%d %v %+v", code, err, v)
	}
}

// TestKeysVerifyFindsARewrittenLog: behind the log that somebody kept, what the gateway tells since must continue it. One that was
// written anew meanwhile, with the same key and unbroken in itself, does not.
func TestKeysVerifyFindsARewrittenLog(t *testing.T) {
	kept, rewritten := logFile(t, 4), logFile(t, 6)
	if code, _, errs := verify(t, rewritten); code != exitOK {
		t.Fatalf("in itself: %d %q", code, errs)
	}
	code, _, errs := verify(t, append(kept, rewritten[2:]...))
	if code != exitFailure || !strings.Contains(errs, "entry 5 does not continue entry 4") {
		t.Errorf("behind the one that was kept: %d %q", code, errs)
	}
}

func TestKeysVerifyRefuses(t *testing.T) {
	other := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for name, c := range map[string]struct {
		change func([]inbox.LogFile) []inbox.LogFile
		flags  []string
		code   int
		says   string
	}{
		"a page left out": {func(ps []inbox.LogFile) []inbox.LogFile { return []inbox.LogFile{ps[0], ps[2]} }, nil, exitFailure, "entry 5 stands where 3 belongs"},
		"a changed entry": {func(ps []inbox.LogFile) []inbox.LogFile { ps[1].Entries[1].Device = "x"; return ps }, nil, exitFailure, "entry 4 was changed"},
		"another actor":   {func(ps []inbox.LogFile) []inbox.LogFile { ps[1].Actor = "https://social.example/users/eve"; return ps }, nil, exitFailure, "two people"},
		"another key":     {func(ps []inbox.LogFile) []inbox.LogFile { return ps }, []string{"--key", other}, exitFailure, "--key"},
		"no key":          {func(ps []inbox.LogFile) []inbox.LogFile { ps[0].PublicKey = nil; return ps }, nil, exitFailure, "no key log"},
		"nothing":         {func([]inbox.LogFile) []inbox.LogFile { return nil }, nil, exitFailure, "empty"},
		"not base64":      {func(ps []inbox.LogFile) []inbox.LogFile { return ps }, []string{"--key", "?"}, exitUsage, "base64"},
		"two files":       {func(ps []inbox.LogFile) []inbox.LogFile { return ps }, []string{"another"}, exitUsage, "one file"},
	} {
		code, _, errs := verify(t, c.change(logFile(t, 5)), c.flags...)
		if code != c.code || !strings.Contains(errs, c.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: %d %q", name, code, errs)
		}
	}
}

func TestLogKeyIsMadeOnce(t *testing.T) {
	config := configs.Default()
	config.Storage.Path = filepath.Join(t.TempDir(), "data", "store")
	path := logKey().path(config)
	first, err := logKey().loadOrMake(config)
	if err != nil {
		t.Fatal(err)
	}
	again, err := logKey().loadOrMake(config)
	if err != nil || !first.Equal(again) {
		t.Errorf("another key: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := logKey().loadOrMake(config); err == nil {
		t.Error("garbage is a key")
	}
}
