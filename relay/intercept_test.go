package relay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/signature"
)

func TestWhatIsNotMLSIsForwardedByteForByte(t *testing.T) {
	store := &broken{}
	w := newWorld(t, store, gate{err: errors.New("never asked")})
	bodies := []string{
		"", "garbage \x00\xff", `{"type":"Create","object":{"type":"Note","content":"message in a bottle"}}`, `{"type":"Cre`,
		"\xef\xbb\xbf{\"type\":\"Follow\"}", `{"a":1,"a":2}`, strings.Repeat("[", 10_000), strings.Repeat("x", 900_000),
		`{"type":"Delete","actor":"https://far.example/users/gone"}`,
	}
	for _, body := range bodies {
		for _, target := range []string{"/inbox", "/users/alice/inbox?x=%2F&y", "//inbox/.", "/%69nbox.json"} {
			got := w.ask(t, http.MethodPost, target, strings.NewReader(body), "Signature", "whatever", "Content-Type", "text/plain")
			posts := w.upstream.posts()
			last := posts[len(posts)-1]
			if got.status != http.StatusAccepted || got.header.Get("X-Upstream") != "yes" {
				t.Errorf("%.30q: %+v, want the upstream's answer", body, got)
			}
			if last.body != body || last.target != target || last.header.Get("Signature") != "whatever" {
				t.Errorf("%.30q to %s came as %.30q to %s", body, target, last.body, last.target)
			}
		}
	}
	if store.calls != 0 {
		t.Errorf("the store was asked %d times", store.calls)
	}
}

// chunks is a body without a length.
type chunks struct{ io.Reader }

func TestBodiesOfEveryFraming(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	note := `{"type":"Create","object":{"type":"Note"}}`
	w.ask(t, http.MethodPost, "/inbox", chunks{strings.NewReader(note)})
	w.ask(t, http.MethodPost, "/inbox", strings.NewReader(note), "Expect", "100-continue")
	if posts := w.upstream.posts(); len(posts) != 2 || posts[0].body != note || posts[1].body != note {
		t.Fatalf("the instance got %+v", posts)
	}
	for i, body := range []io.Reader{
		chunks{strings.NewReader(create("chunked", alice))}, strings.NewReader(create("expected", alice)),
	} {
		got := w.ask(t, http.MethodPost, "/inbox", body, "X-Signer", zoe, "Expect", "100-continue")
		if got.status != http.StatusAccepted || len(w.held(t, "1")) != i+1 {
			t.Errorf("%d: %+v, %d kept", i, got, len(w.held(t, "1")))
		}
	}
}

func TestMLSIsKeptAndNeverForwarded(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	for i, target := range []string{
		"/inbox", "/users/alice/inbox", "/ap/users/1/inbox", "/shared-inbox", "/INBOX/", "//inbox.json", "/%2569nbox?x", "/x/../inbox",
	} {
		body := create(strconv.Itoa(i), alice)
		got := w.deliver(t, target, body)
		entries := w.held(t, "1")
		if got.status != http.StatusAccepted || got.header.Get("Cache-Control") == "" || got.body != "" {
			t.Errorf("%s: %+v, want 202", target, got)
		}
		if len(entries) != i+1 || string(entries[i].Activity) != body || entries[i].Actor != zoe {
			t.Fatalf("%s: %d messages kept", target, len(entries))
		}
	}
	if posts := w.upstream.posts(); len(posts) != 0 {
		t.Errorf("the instance got %+v", posts)
	}
}

func TestRecipients(t *testing.T) {
	for name, c := range map[string]struct {
		target     string
		to         []string
		alice, bob int
	}{
		"one":                           {"/inbox", []string{alice}, 1, 0},
		"both, one twice":               {"/inbox", []string{alice, bob, "https://social.example/@Alice"}, 1, 1},
		"the owner of the inbox":        {"/users/alice/inbox", []string{zoe}, 1, 0},
		"the owner though others named": {"/users/ALICE/inbox.json", []string{bob}, 1, 1},
		"the owner named too":           {"/users/alice/inbox", []string{alice}, 1, 0},
		"nobody":                        {"/inbox", []string{zoe}, 0, 0},
		"unknown":                       {"/users/carol/inbox", []string{"https://social.example/users/dave"}, 0, 0},
		"collections":                   {"/inbox", []string{alice + "/followers", "as:Public"}, 0, 0},
		"the instance actor's inbox":    {"/actor/inbox", []string{bob}, 0, 1},
	} {
		w := newWorld(t, memory(), gate{})
		got := w.deliver(t, c.target, create("1", c.to...))
		if got.status != http.StatusAccepted {
			t.Errorf("%s: %+v, want 202", name, got)
		}
		if a, b := len(w.held(t, "1")), len(w.held(t, "2")); a != c.alice || b != c.bob {
			t.Errorf("%s: alice has %d, bob %d; want %d, %d", name, a, b, c.alice, c.bob)
		}
		if dropped := w.count(t, "sealgate_mls_unaddressed_total"); dropped != float64(max(1-c.alice-c.bob, 0)) {
			t.Errorf("%s: %v counted as dropped", name, dropped)
		}
	}
}

// TestRecipientsInOtherPlaces: what is addressed by audience, or in its object alone, is found behind a shared inbox too.
func TestRecipientsInOtherPlaces(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	for i, body := range []string{
		strings.Replace(create("1", alice, bob), `"to":`, `"audience":`, 1),
		strings.Replace(create("2", zoe), `"object":{`, `"object":{"to":["`+alice+`"],"cc":{"id":"`+bob+`"},`, 1),
	} {
		if got := w.deliver(t, "/inbox", body); got.status != http.StatusAccepted {
			t.Errorf("%+v, want 202", got)
		}
		if a, b := len(w.held(t, "1")), len(w.held(t, "2")); a != i+1 || b != i+1 {
			t.Errorf("after %s alice has %d, bob %d; want %d", body, a, b, i+1)
		}
	}
}

func TestRedeliveryIsAcceptedAndKeptOnce(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	for range 3 {
		if got := w.deliver(t, "/inbox", create("1", alice)); got.status != http.StatusAccepted {
			t.Errorf("%+v, want 202", got)
		}
	}
	if n := len(w.held(t, "1")); n != 1 {
		t.Errorf("%d copies", n)
	}
}

func TestRecipientsCommitSeparately(t *testing.T) {
	full := &inboxtest.Memory{Quota: int64(len(create("1", alice)) + 100)}
	w := newWorld(t, full, gate{})
	w.deliver(t, "/inbox", create("1", alice))
	got := w.deliver(t, "/inbox", create("2", alice, bob))
	wait, err := strconv.Atoi(got.header.Get("Retry-After"))
	if got.status != http.StatusTooManyRequests || err != nil || wait < 1 || !strings.Contains(got.body, "mailbox.quota") {
		t.Errorf("%+v, want 429 with Retry-After naming mailbox.quota", got)
	}
	if n := len(w.held(t, "2")); n != 1 {
		t.Errorf("bob has %d messages, want his one: only alice's mailbox is full", n)
	}
}

func TestAPeersActivityAsksAboutSoManyPeople(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	strangers := people(150)
	got := w.deliver(t, "/inbox", create("1", append(strangers, alice)...))
	if got.status != http.StatusTooManyRequests || !strings.Contains(got.body, "remembered") {
		t.Errorf("%+v, want 429", got)
	}
	if got := w.deliver(t, "/inbox", create("2", append([]string{alice}, strangers[:99]...)...)); got.status != http.StatusAccepted {
		t.Errorf("%+v, want 202", got)
	}
}

func TestInstanceAway(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	w.deliver(t, "/inbox", create("1", alice))
	w.upstream.away()
	got := w.deliver(t, "/inbox", create("2", alice, bob))
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("%+v, want 503: nobody can say whether bob is here", got)
	}
	if n := len(w.held(t, "1")); n != 2 {
		t.Errorf("alice has %d messages, want 2: she is known", n)
	}
	if got := w.deliver(t, "/inbox", create("3", alice)); got.status != http.StatusAccepted {
		t.Errorf("%+v, want 202: intake goes on without the instance", got)
	}
}

func TestStoreOnFire(t *testing.T) {
	w := newWorld(t, &broken{}, gate{})
	got := w.deliver(t, "/inbox", create("1", alice))
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("%+v, want 503 with Retry-After", got)
	}
	if got := w.ask(t, http.MethodGet, "/api/v1/timelines/public", nil); got.body != "the upstream's /api/v1/timelines/public" {
		t.Errorf("%+v: ordinary requests need no store", got)
	}
	if posts := w.upstream.posts(); len(posts) != 0 {
		t.Errorf("the instance got %+v", posts)
	}
}

func TestBadInput(t *testing.T) {
	good := create("1", alice)
	change := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	content := private(1)
	cases := []struct {
		name, body string
		status     int
	}{
		{"escaped slash", change("message/mls", `message\/mls`), 202},
		{"unicode escapes", change("message/mls", `\u006dessage\u002Fmls`), 202},
		{"media type of any case with parameters", change("message/mls", "Message/MLS; charset=x"), 202},
		{"a type that is also a Note", change(`"PrivateMessage"`, `["Note","PrivateMessage"]`), 202},
		{"full IRI", change(`"PrivateMessage"`, `"https://purl.archive.org/socialweb/mls#PrivateMessage"`), 202},
		{"unpadded base64", change(content, strings.TrimRight(content, "=")), 202},
		{"truncated JSON", good[:len(good)-2], 400},
		{"depth 10,000", change(`"type":"Create"`, `"x":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)+`,"type":"Create"`), 400},
		{"2,000 keys", change(`"type":"Create"`, keys(2000)+`,"type":"Create"`), 400},
		{"duplicate actor", change(`"type":"Create"`, `"actor":"https://far.example/users/other","type":"Create"`), 400},
		{"2,000 recipients", create("1", people(2000)...), 400},
		{"invalid base64", change(content, "!!!!"), 400},
		{"another encoding", change(`"base64"`, `"hex"`), 400},
		{"truncated MLS", change(content, content[:12]), 400},
		{"trailing MLS", change(content, content[:len(content)-4]+"AAAAAAAA"), 400},
		{"no content", change(`,"content":"`+content+`"`, ""), 400},
		{"no actor", change(`"actor":"`+zoe+`",`, ""), 400},
		{"another actor", change(`"actor":"`+zoe+`"`, `"actor":"https://far.example/users/eve"`), 403},
		{"another author", change(`"attributedTo":"`+zoe+`"`, `"attributedTo":"https://far.example/users/eve"`), 403},
		{"an id of another host", change("https://far.example/a/1", "https://near.example/a/1"), 403},
		{"over max_activity", change(content, strings.Repeat("A", 1<<20)), 413},
		{"10 MiB", strings.Repeat(" ", 10<<20) + good, 413},
	}
	for _, c := range cases {
		w := newWorld(t, memory(), gate{})
		got := w.deliver(t, "/inbox", c.body)
		if got.status != c.status {
			t.Errorf("%s: %+v, want %d", c.name, got, c.status)
		}
		if c.status >= 400 {
			checkProblem(t, c.name, got)
			if n := len(w.held(t, "1")); n != 0 {
				t.Errorf("%s: %d messages kept", c.name, n)
			}
		}
		if posts := w.upstream.posts(); len(posts) != 0 {
			t.Errorf("%s reached the instance", c.name)
		}
	}
}

func keys(n int) string {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `"k%d":0,`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func people(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("https://social.example/users/u%d", i))
	}
	return list
}

// checkProblem: an error is RFC 9457 with a sentence, and no cache keeps it.
func checkProblem(t *testing.T, name string, a answer) {
	t.Helper()
	var p struct {
		Title, Detail string
		Status        int
	}
	err := json.Unmarshal([]byte(a.body), &p)
	if err != nil || p.Status != a.status || p.Title == "" || len(p.Detail) < 20 ||
		a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: not a problem a person can act on: %+v (%v)", name, a, err)
	}
}

func TestContentCodedIsRefusedUnread(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	for _, coding := range []string{"gzip", "br", "identity, gzip", "GZIP"} {
		got := w.ask(t, http.MethodPost, "/inbox", strings.NewReader(create("1", alice)), "Content-Encoding", coding, "X-Signer", zoe)
		if got.status != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %+v, want 415", coding, got)
		}
		checkProblem(t, coding, got)
	}
	got := w.ask(t, http.MethodPost, "/inbox", strings.NewReader(create("1", alice)), "Content-Encoding", "identity", "X-Signer", zoe)
	if got.status != http.StatusAccepted {
		t.Errorf("identity: %+v, want 202", got)
	}
}

func TestTheGatesErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		says   string
	}{
		{fmt.Errorf("check: %w", signature.ErrDigest), 401, "digest"},
		{signature.ErrUnsigned, 401, "signature"},
		{signature.ErrMalformed, 401, ""},
		{signature.ErrCoverage, 401, ""},
		{signature.ErrHost, 401, "another host"},
		{signature.ErrStale, 401, "clock"},
		{signature.ErrUnsupported, 401, ""},
		{signature.ErrMismatch, 401, ""},
		{fmt.Errorf("%w: dial tcp 10.1.2.3:443: refused", actorkey.ErrNoKey), 401, ""},
		{fmt.Errorf("%w: dial tcp 10.1.2.3:443: timeout", policy.ErrKeyUnavailable), 503, ""},
		{&policy.LimitError{RetryAfter: 90 * time.Second, Key: "limits.failed_signatures", Rate: ratelimit.Rate{Max: 10, Every: time.Minute}, Reason: policy.ErrTooMany}, 429, "limits.failed_signatures"},
		{&policy.LimitError{RetryAfter: 2 * time.Second, Reason: policy.ErrBusy}, 503, "more to do"},
		{fmt.Errorf("%w: %w", policy.ErrSignature, signature.ErrStale), 401, "clock"},
		{policy.ErrSignature, 401, ""},
		{fmt.Errorf("%w after %w", policy.ErrKeyUnavailable, signature.ErrMismatch), 503, "cannot be fetched"},
		{errors.New("nobody foresaw this: secret"), 503, ""},
	} {
		w := newWorld(t, memory(), gate{err: c.err})
		got := w.deliver(t, "/inbox", create("1", alice))
		if got.status != c.status || !strings.Contains(got.body, c.says) {
			t.Errorf("%v: %+v, want %d saying %q", c.err, got, c.status, c.says)
		}
		checkProblem(t, c.err.Error(), got)
		if quota := got.header.Get("RateLimit-Policy"); quota != map[bool]string{true: `"limits.failed_signatures";q=10;w=60`}[got.status == 429] {
			t.Errorf("%v: the quota is said to be %s", c.err, quota)
		}
		if strings.Contains(got.body, "10.1.2.3") || strings.Contains(got.body, "secret") {
			t.Errorf("%v: the answer tells what is inside: %s", c.err, got.body)
		}
		wait, _ := strconv.Atoi(got.header.Get("Retry-After"))
		if retry := c.status == 429 || c.status == 503; retry != (wait > 0) || c.status == 429 && (wait < 90 || wait > 137) {
			t.Errorf("%v: Retry-After %d", c.err, wait)
		}
		if (c.status == 401) != (got.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%v: %v", c.err, got.header)
		}
		if posts, kept := w.upstream.posts(), w.held(t, "1"); len(posts) != 0 || len(kept) != 0 {
			t.Errorf("%v: %d forwarded, %d kept", c.err, len(posts), len(kept))
		}
	}
}
