package relay_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/forward"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/storage"
)

// recorded is where the samples were made: actor ids and credentials name it.
const recorded = "127.0.0.1:4702"

// replay is a gateway that answers as that host, with alice and bob.
type replay struct {
	*http.Client
	t       *testing.T
	metrics *prometheus.Registry
	crowd   *crowd
	token   map[string]string // by name
}

func newReplay(t *testing.T, at time.Time) *replay {
	t.Helper()
	metrics := prometheus.NewRegistry()
	double := instance.New(instance.Options{Origin: "http://" + recorded, IDs: instance.Named})
	token := map[string]string{}
	for _, name := range []string{"alice", "bob"} {
		person, err := double.AddPerson(name)
		if err != nil {
			t.Fatal(err)
		}
		token[name] = double.Token(person, "read", "write")
		token[name+", narrow"] = double.Token(person, "read")
	}
	everybody := &crowd{Handler: double}
	up := httptest.NewServer(everybody)
	t.Cleanup(up.Close)
	people, err := mastodon.New(mastodon.Options{Domain: recorded, Web: up.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(people.Close)
	web, err := forward.NewUpstream(forward.UpstreamOptions{URL: up.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = web.Close() })
	clock := func() time.Time { return at }
	store, err := storage.Open(storage.Options{Path: t.TempDir(), Key: make([]byte, storage.KeySize), Retention: time.Hour, Quota: 1 << 30, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	away := actorkey.NewClient(actorkey.ClientOptions{Timeout: time.Minute, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	box, limits := inbox.New(inbox.Options{Store: store}), activity.Limits{Depth: 32, Keys: 1000}
	r, err := relay.New(relay.Options{
		Domain: recorded, Base: "http://" + recorded, Web: web, Gate: gate{}, People: people, Clock: clock, Inbox: box, Limits: limits, Metrics: metrics,
		Keys: inboxtest.NewDirectory(&inboxtest.KeyMemory{Clock: clock}, clock), Outside: &relay.Outside{Client: away},
		Outbox: outbox.New(outbox.Options{
			Base: "http://" + recorded, Store: store, Inbox: box, People: people, Client: away, Limits: limits,
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	client, _ := serve(t, r)
	return &replay{Client: client, t: t, metrics: metrics, crowd: everybody, token: token}
}

// ask is alice who posts, or anybody who reads.
func (p *replay) ask(method, target, body string) answer {
	p.t.Helper()
	who := ""
	if method == http.MethodPost {
		who = "alice"
	}
	return p.send(who, method, target, body)
}

// send asks with a person's token; header are names and values.
func (p *replay) send(who, method, target, body string, header ...string) answer {
	p.t.Helper()
	res := p.open(who, method, target, body, header...)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

func (p *replay) open(who, method, target, body string, header ...string) *http.Response {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, "http://"+recorded+target, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for ; len(header) > 1; header = header[2:] {
		req.Header.Set(header[0], header[1])
	}
	if who != "" {
		req.Header.Set("Authorization", "Bearer "+p.token[who])
	}
	res, err := p.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	return res
}

// request is one that Emissary's client made.
type request struct {
	Method string `json:"m"`
	URL    string `json:"u"`
	Me     string `json:"me"`
	Accept string `json:"accept"`
	Type   string `json:"ct"`
	Body   string `json:"b"`
}

// conversations reads shared/samples, beside the repository or at $SEALGATE_SAMPLES.
func conversations(t *testing.T) (out []request) {
	t.Helper()
	dir := os.Getenv("SEALGATE_SAMPLES")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "samples")
	}
	f, err := os.Open(filepath.Join(dir, "conversations-requests.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("NOT TESTED: the recorded requests are not at %s (SEALGATE_SAMPLES)", dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}
