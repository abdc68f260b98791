package configs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/sealgate/sealgate/configs"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	const value = "hunter2"
	config := configs.Default()
	config.Signing.Database = configs.NewSecret(value)
	hidden := struct{ inner configs.Secret }{configs.NewSecret(value)}
	var out bytes.Buffer
	for _, v := range []any{config, &config, config.Signing, config.Signing.Database, &config.Signing.Database, hidden, &hidden, []configs.Secret{config.Signing.Database}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T %v"} {
			fmt.Fprintf(&out, verb, v, v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		j, _ := json.Marshal(v)
		y, _ := yaml.Marshal(v)
		out.Write(append(j, y...))
	}
	for _, shown := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value), fmt.Sprint([]byte(value))} {
		if strings.Contains(out.String(), shown) {
			t.Errorf("%q is printed", shown)
		}
	}
	if !strings.Contains(out.String(), "[redacted]") || !strings.Contains(out.String(), "file:./data/store.key") {
		t.Errorf("nothing stands in its place: %s", out.String())
	}
}

func TestSecretReveal(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := func(written, want string) {
		t.Helper()
		if got, err := configs.NewSecret(written).Reveal(); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", written, got, err, want)
		}
	}
	write("lf", "abc\n")
	write("crlf", "abc\r\n")
	write("two", "abc\n\n")
	write("none", "\n")
	f("", "")
	f("abc", "abc")
	f("file:"+dir+"/lf", "abc")
	f("file:"+dir+"/crlf", "abc")
	f("file:"+dir+"/two", "abc\n")
	if _, err := configs.NewSecret("file:" + dir + "/missing").Reveal(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := configs.NewSecret("file:" + dir + "/none").Reveal(); err == nil {
		t.Error("an empty file is a secret")
	}
}

func TestSecretIsRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "s.yaml")
	text := "domain: a.example\nstorage: {encryption_key: file:k/key}\nlisten: unix:run/s.sock\nupstream: {web: unix:puma.sock}\nadmin: {socket: /abs/sock}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := configs.Load(file, none)
	if err != nil {
		t.Fatal(err)
	}
	path, _ := c.Storage.EncryptionKey.File()
	for got, want := range map[string]string{
		path: dir + "/k/key", string(c.Listen[0]): "unix:" + dir + "/run/s.sock", c.Upstream.Web: "unix:" + dir + "/puma.sock",
		c.Storage.Path: dir + "/data/store", c.Admin.Socket: "/abs/sock", c.TLS.Certificate: "",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if network, address := c.Listen[0].Split(); network != "unix" || address != dir+"/run/s.sock" {
		t.Errorf("Split() = %q, %q", network, address)
	}
}
