package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStory tells the whole story once with the gateway built from this tree.
func TestStory(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "sealgate")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../sealgate")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the gateway: %v\n%s", err, out)
	}
	var out strings.Builder
	if err := run(t.Context(), []string{"--gateway", binary, "--once"}, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"Welcome", "201 Created", "the gateway kept", `wrote: "` + secretText, `wrote: "` + answerText} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not say %q:\n%s", want, out.String())
		}
	}
}

func TestMissingGatewayIsExplained(t *testing.T) {
	err := run(t.Context(), []string{"--gateway", filepath.Join(t.TempDir(), "nothing")}, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("a missing binary gives %v, want what to do", err)
	}
}

func TestDevices(t *testing.T) {
	ctx := t.Context()
	alice, err := newDevice("https://a.example/users/alice")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := newDevice("https://b.example/users/bob")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := bob.decrypt(ctx, []byte{0}); err == nil {
		t.Error("a device decrypted before it joined")
	}
	keyPackage, err := bob.keyPackage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	welcome, err := alice.invite(ctx, keyPackage)
	if err != nil {
		t.Fatal(err)
	}
	message, err := alice.encrypt(ctx, "hello")
	if err != nil {
		t.Fatal(err)
	}
	if err := bob.join(ctx, welcome); err != nil {
		t.Fatal(err)
	}
	text, sender, err := bob.decrypt(ctx, message)
	if err != nil || text != "hello" || sender != "https://a.example/users/alice" {
		t.Errorf("got %q from %q, %v", text, sender, err)
	}
	if strings.Contains(string(message), "hello") {
		t.Error("the ciphertext holds the text")
	}
}
