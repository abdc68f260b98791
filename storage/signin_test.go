package storage_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
)

func TestSignIns(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	until := time.Now().Add(time.Hour).UTC()
	code := oauth.Note{Hash: oauth.Hash{1}, Kind: oauth.KindCode, Until: until, Account: "42", Grant: &oauth.Grant{Login: "instance's"}}
	phone := oauth.Device{ID: "phone", Account: "42", Scopes: []string{"read"}, Login: "login-of-alice-in-the-clear", Access: oauth.Hash{2}, RefreshEnds: until}
	laptop := oauth.Device{ID: "laptop", Account: "42", RefreshEnds: until}
	other := oauth.Device{ID: "phone", Account: "4", RefreshEnds: until}
	err := s.Change(t.Context(), oauth.Change{Notes: []oauth.Note{code}, Devices: []oauth.Device{phone, laptop, other}})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	checkNotInFiles(t, o.Path, phone.Login)
	s = open(t, o)
	if got, err := s.Note(t.Context(), code.Hash); err != nil || !reflect.DeepEqual(got, code) {
		t.Errorf("the note: %+v %v", got, err)
	}
	if got, err := s.Device(t.Context(), "42", "phone"); err != nil || !reflect.DeepEqual(got, phone) {
		t.Errorf("the device: %+v %v", got, err)
	}
	if err := s.Change(t.Context(), oauth.Change{Removed: []oauth.Device{phone}}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Devices(t.Context(), "42"); err != nil || len(got) != 1 || got[0].ID != "laptop" {
		t.Errorf("after one was removed: %+v %v", got, err)
	}
	if got, err := s.Devices(t.Context(), "4"); err != nil || len(got) != 1 {
		t.Errorf("another's of the same name: %+v %v", got, err)
	}
	if _, err := s.Device(t.Context(), "42", "phone"); !errors.Is(err, oauth.ErrNone) {
		t.Errorf("the removed device: %v", err)
	}
	if _, err := s.Note(t.Context(), oauth.Hash{9}); !errors.Is(err, oauth.ErrNone) {
		t.Errorf("an unknown note: %v", err)
	}
}

// checkNotInFiles: what the store encrypts must not be readable in its files.
func checkNotInFiles(t *testing.T, dir, secret string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), secret) {
			t.Errorf("%s has the token in the clear", filepath.Base(file))
		}
	}
}

func TestApplication(t *testing.T) {
	s := open(t, options(t.TempDir()))
	if _, err := s.KeptApp(t.Context()); !errors.Is(err, mastodon.ErrNoApp) {
		t.Errorf("nothing kept: %v", err)
	}
	want := mastodon.App{ID: "id", Secret: "secret", Redirect: "https://social.example/cb", Scopes: []string{"profile"}}
	if err := s.KeepApp(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got, err := s.KeptApp(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
}
