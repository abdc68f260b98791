package relay_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/relay"
)

// TestSaysOnce: a detail is its sentence and what the error adds to it; nothing is in it twice, which ask looks for in all others.
func TestSaysOnce(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	known := actorkey.New(actorkey.Options{Client: actorkey.NewClient(actorkey.ClientOptions{})}) // it is never asked: no signature gets so far
	t.Cleanup(known.Close)
	w := newWorld(t, memory(), policy.New(policy.Options{
		Domain: domain, Keys: known, Clock: func() time.Time { return now }, FailedSignatures: ratelimit.Rate{Max: 100, Every: time.Minute},
	}))
	const zeros = "SHA-256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	signed := func(covered, digest string, at time.Time) []string {
		return []string{
			"Date", at.UTC().Format(http.TimeFormat), "Digest", digest,
			"Signature", `keyId="` + zoe + `#main-key",algorithm="rsa-sha256",headers="` + covered + `",signature="AAAA"`,
		}
	}
	const all = "(request-target) host date digest"
	for want, header := range map[string][]string{
		"The HTTP signature does not cover enough of the request. (missing (request-target), digest)":                    signed("host date", zeros, now),
		"The digest does not match the body. (Digest SHA-256)":                                                           signed(all, zeros, now),
		"The digest does not match the body. (Digest has neither sha-256 nor sha-512)":                                   signed(all, "MD5=AAAA", now),
		"The HTTP signature's date is out of range: check the clock. (date is 48h0m0s old, at most 12h0m0s is accepted)": signed(all, zeros, now.Add(-48*time.Hour)),
		"The HTTP signature cannot be read. (the signature parameter is not base64)":                                     {"Signature", `keyId="x",headers="date",signature="%"`},
		"The HTTP signature uses something this server does not support. (signature \"sig1\": alg \"hmac-sha256\")":      {"Signature", "sig1=:AAAA:", "Signature-Input", `sig1=("@method");keyid="x";alg="hmac-sha256"`},
		"MLS messages must carry an HTTP signature of their sender.":                                                     nil,
		"The HTTP signature cannot be read. (signature \"sig1\": component @Method is not a name in lower case)":         {"Signature", "sig1=:AAAA:", "Signature-Input", `sig1=("@Method");keyid="x"`},
	} {
		detail(t, w.ask(t, http.MethodPost, "/users/alice/inbox", strings.NewReader(create("1", alice)), header...), want)
	}
	w = newWorld(t, memory(), gate{})
	broken := strings.Replace(create("1", alice), private(1), base64.StdEncoding.EncodeToString([]byte{0, 1, 0, 2, 1, 'g'}), 1)
	detail(t, w.deliver(t, "/users/alice/inbox", broken), "The MLS message in the activity cannot be read. (object 1: private_message.epoch at byte 6: the message ends here)")
	keys := newKeyWorld(t, gate{})
	detail(t, keys.post("/users/alice/outbox", ofAlice, activityOf("Announce", keyObject(keys.aliceDevice().Package(), "as:Public"))),
		`This activity cannot be understood. (key packages are published with Create, Add, Update, Remove and Delete, not "Announce")`)
}

// TestFaultsInTheLog: what somebody elsewhere is to blame for does not fill it, and what is in it names nobody.
func TestFaultsInTheLog(t *testing.T) {
	log := make(lines, 64)
	g := gate{err: fmt.Errorf("%w: Get %q: no such host", policy.ErrKeyUnavailable, zoe)}
	w := newWorldWith(t, memory(), g, func(o *relay.Options) { o.Log = slog.New(slog.NewTextHandler(log, nil)) })
	if got := w.deliver(t, "/users/alice/inbox", create("1", alice)); got.status != http.StatusServiceUnavailable {
		t.Errorf("a key that cannot be had: %+v", got)
	}
	note := strings.NewReader(`{"type":"Note","content":"hello"}`)
	if got := w.ask(t, http.MethodPost, "/users/alice/outbox", note, "Authorization", "Bearer of-alice"); got.status != http.StatusNotImplemented {
		t.Errorf("a note: %+v", got)
	}
	if len(log) > 0 {
		t.Errorf("the log says %s", <-log)
	}
	w.upstream.Close()
	if got := w.ask(t, http.MethodGet, "/e2ee/users/carol/keyPackages", nil); got.status != http.StatusServiceUnavailable {
		t.Errorf("without the instance: %+v", got)
	}
	if text := <-log; !strings.Contains(text, "connection refused") || strings.Contains(text, "carol") {
		t.Errorf("without the instance the log says %s", text)
	}
}

// lines are those of a log, as they are written.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func detail(t *testing.T, a answer, want string) {
	t.Helper()
	var p struct{ Detail string }
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Detail != want {
		t.Errorf("%d: %q, %v, want %q", a.status, p.Detail, err, want)
	}
}

// TestSaidTwice: ask would notice.
func TestSaidTwice(t *testing.T) {
	for detail, want := range map[string]string{
		"The form cannot be read. (the form cannot be read: it is cut short)":        "the form cannot be read",
		"This is somebody else's. (somebody else's: the actor is you)":               "somebody else's",
		"It cannot be read. (number 1: it ends here: it ends here)":                  "it ends here",
		"It cannot be read. (number 1: leaf signature is wrong: it does not verify)": "",
	} {
		text, err := json.Marshal(map[string]string{"detail": detail})
		if err != nil {
			t.Fatal(err)
		}
		a := answer{400, http.Header{"Content-Type": {"application/problem+json"}}, string(text)}
		if got := a.saidTwice(); got != want {
			t.Errorf("%s: %q is there twice, want %q", detail, got, want)
		}
	}
}
