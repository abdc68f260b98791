package authority_test

import (
	"testing"

	"github.com/sealgate/sealgate/authority"
)

func TestOf(t *testing.T) {
	f := func(want, id string) {
		t.Helper()
		if got := authority.Of(id); got != want {
			t.Errorf("%q is on %q, want %q", id, got, want)
		}
	}
	f("social.example", "https://social.example/users/alice")
	f("social.example", "HTTPS://Social.Example:443/users/alice#main-key")
	f("social.example", "http://social.example:80/")
	f("social.example:80", "https://social.example:80/")
	f("social.example:443", "http://social.example:443/")
	f("[::1]:3000", "http://[::1]:3000/users/alice")
	f("", "https://alice@social.example/")
	f("", "https:social.example")
	f("", "https://%zz/")
	f("", "ftp://social.example/")
	f("", "urn:uuid:0b3a")
	f("", "")
}
