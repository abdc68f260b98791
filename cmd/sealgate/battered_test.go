package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	runner "github.com/sealgate/sealgate/cmd/demo/gateway"
	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy/signature"
)

// soaking says whether faults are repeated hundreds of times: make soak.
func soaking() bool { return os.Getenv("SEALGATE_SOAK") != "" }

// battered is the built gateway as a process of its own, which faults hit, between an instance with alice and bob
// and another one whose people write to bob, read alice's mail and claim her key packages.
type battered struct {
	t       *testing.T
	process *runner.Process
	options runner.Options
	home    *instance.Instance
	alice   *instance.Person
	bob     *instance.Person
	away    *instance.Instance
	others  []*instance.Person
	tokens  map[*instance.Person]string
	client  *http.Client
	ledger  ledger
}

// ledger is what was acknowledged.
type ledger struct {
	mu      sync.Mutex
	took    map[string][]string // worker → ids answered 202, in order
	sent    []string            // ids answered 201, in order
	claimed map[string]string   // package → who has it
	twice   []string            // packages that two have
	reads   int
}

func (l *ledger) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.sent)
	for _, ids := range l.took {
		n += len(ids)
	}
	return n
}

const otherPeople = 6

func newBattered(t *testing.T) *battered {
	t.Helper()
	return newBatteredBehind(t, func(home http.Handler) http.Handler { return home })
}

// newBatteredBehind has what the gateway asks the instance go through front.
func newBatteredBehind(t *testing.T, front func(home http.Handler) http.Handler) *battered {
	t.Helper()
	return newBatteredAt(t, freeAddress(t), front)
}

func newBatteredAt(t *testing.T, listen string, front func(home http.Handler) http.Handler) *battered {
	t.Helper()
	t.Setenv("SEALGATE_POLICY_PRESET", "open") // what policy holds back is no loss, and not looked at here
	dir := t.TempDir()
	binary := buildGateway(t)
	b, upstream := neighbours(t, listen, front)
	b.writeKey(dir, b.alice)
	b.writeKey(dir, b.bob)
	b.options = runner.Options{Binary: binary, Directory: dir, Listen: listen, Upstream: upstream, Keys: dir}
	b.start()
	b.join()
	t.Cleanup(func() {
		if b.process != nil {
			_ = syscall.Kill(b.process.PID, syscall.SIGKILL)
		}
	})
	return b
}

// neighbours are the two instances and their people around a gateway that is to listen there, and does not run yet.
func neighbours(t *testing.T, listen string, front func(home http.Handler) http.Handler) (b *battered, upstream string) {
	t.Helper()
	b = &battered{t: t, tokens: map[*instance.Person]string{}}
	b.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}}
	b.ledger.took, b.ledger.claimed = map[string][]string{}, map[string]string{}
	b.home = instance.New(instance.Options{Origin: "http://" + listen, IDs: instance.Numeric})
	web := httptest.NewServer(front(b.home))
	t.Cleanup(web.Close)
	b.alice, b.bob = b.person(b.home, "alice"), b.person(b.home, "bob")

	server := httptest.NewUnstartedServer(nil)
	b.away = instance.New(instance.Options{Origin: "http://" + server.Listener.Addr().String()})
	server.Config.Handler = b.away
	server.Start()
	t.Cleanup(server.Close)
	for i := range otherPeople {
		b.others = append(b.others, b.person(b.away, fmt.Sprint("other", i)))
	}
	return b, web.URL
}

func (b *battered) person(i *instance.Instance, name string) *instance.Person {
	p, err := i.AddPerson(name)
	if err != nil {
		b.t.Fatal(err)
	}
	b.tokens[p] = i.Token(p, "read", "write")
	return p
}

// join has bob write in the group, so that nobody in it is a stranger to him: those have an allowance.
func (b *battered) join() {
	b.t.Helper()
	to := []string{b.alice.Actor}
	for _, p := range b.others {
		to = append(to, p.Actor)
	}
	body := fmt.Sprintf(`{"type":"PrivateMessage","mediaType":"message/mls","encoding":"base64","content":%q,"to":["%s"]}`,
		privateMessage(1), strings.Join(to, `","`))
	if status, _, answer := b.do(b.t.Context(), b.request(http.MethodPost, b.bob.Actor+"/outbox", b.tokens[b.bob], body)); status != http.StatusCreated {
		b.t.Fatalf("bob's outbox: %d %s", status, answer)
	}
}

func (b *battered) writeKey(dir string, p *instance.Person) {
	key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(p.Key)})
	if err := os.WriteFile(filepath.Join(dir, p.Name+".pem"), key, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *battered) start() {
	b.t.Helper()
	p, err := runner.Start(b.t.Context(), b.options)
	if err != nil {
		b.t.Fatal(err)
	}
	b.process = p
}

// kill is kill -9, and waits until the process is gone.
func (b *battered) kill() {
	if err := syscall.Kill(b.process.PID, syscall.SIGKILL); err != nil {
		b.t.Error(err)
	}
	_ = b.process.Stop() // it ended badly, of course
}

func privateMessage(epoch uint64) string {
	return base64.StdEncoding.EncodeToString(inboxtest.Private(inboxtest.Application, "g", epoch, "cccc"))
}

// do sends a request and gives the answer; status 0 when there was none.
func (b *battered) do(ctx context.Context, r *http.Request) (status int, header http.Header, body []byte) {
	resp, err := b.client.Do(r.WithContext(ctx))
	if err != nil {
		return 0, nil, nil
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return 0, nil, nil // a torn answer acknowledges nothing
	}
	return resp.StatusCode, resp.Header, body
}

func (b *battered) request(method, url, token, body string) *http.Request {
	r, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", "application/activity+json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// signed is a request signed by somebody of the other instance.
func (b *battered) signed(from *instance.Person, method, path, body string) *http.Request {
	r := b.request(method, b.process.URL+path, "", body)
	var signedBody []byte
	if body != "" {
		signedBody = []byte(body)
	}
	if err := signature.SignHTTP(r, signedBody, signature.Signer{KeyID: from.KeyID, Key: from.Key}, time.Now()); err != nil {
		panic(err)
	}
	return r
}

// post is one activity to bob's inbox.
func (b *battered) post(ctx context.Context, from *instance.Person, worker string) (id string, status int) {
	id = from.Actor + "/activities/" + rand.Text()
	body, err := json.Marshal(map[string]any{
		"@context": "https://www.w3.org/ns/activitystreams", "type": "Create", "id": id, "actor": from.Actor, "to": b.bob.Actor,
		"object": map[string]any{
			"type": "PrivateMessage", "id": id + "/object", "attributedTo": from.Actor, "to": b.bob.Actor,
			"mediaType": "message/mls", "encoding": "base64", "content": privateMessage(1),
		},
	})
	if err != nil {
		panic(err)
	}
	status, _, _ = b.do(ctx, b.signed(from, http.MethodPost, "/inbox", string(body)))
	if status == http.StatusAccepted {
		b.ledger.note(func() { b.ledger.took[worker] = append(b.ledger.took[worker], id) })
	}
	return id, status
}

// send is one message of alice's to bob and to somebody elsewhere.
func (b *battered) send(ctx context.Context) (status int) {
	body := fmt.Sprintf(`{"type":"PrivateMessage","mediaType":"message/mls","encoding":"base64","content":%q,"to":[%q,%q]}`,
		privateMessage(1), b.bob.Actor, b.others[0].Actor)
	status, header, _ := b.do(ctx, b.request(http.MethodPost, b.alice.Actor+"/outbox", b.tokens[b.alice], body))
	if status == http.StatusCreated {
		b.ledger.note(func() { b.ledger.sent = append(b.ledger.sent, header.Get("X-Activity-Id")) })
	}
	return status
}

// publish offers n key packages of one device of alice's.
func (b *battered) publish(n int) {
	b.t.Helper()
	device := inboxtest.NewClient(b.alice.Actor, time.Now())
	for range n {
		body := fmt.Sprintf(`{"@context":"https://www.w3.org/ns/activitystreams","type":"Create","actor":%[1]q,"to":"as:Public","object":`+
			`{"type":"KeyPackage","to":"as:Public","attributedTo":%[1]q,"mediaType":"message/mls","encoding":"base64","content":%[2]q}}`,
			b.alice.Actor, base64.StdEncoding.EncodeToString(device.Package()))
		status, _, answer := b.do(b.t.Context(), b.request(http.MethodPost, b.alice.Actor+"/outbox", b.tokens[b.alice], body))
		if status != http.StatusCreated {
			b.t.Fatalf("publish: %d %s", status, answer)
		}
	}
}

// claim takes alice's package for one inviter, who must always get the same.
func (b *battered) claim(ctx context.Context, by *instance.Person) {
	status, _, body := b.do(ctx, b.signed(by, http.MethodGet, "/e2ee/users/alice/keyPackages", ""))
	var c struct {
		Items []string `json:"items"`
	}
	if status != http.StatusOK || json.Unmarshal(body, &c) != nil || len(c.Items) != 1 {
		return
	}
	b.ledger.note(func() {
		got := c.Items[0]
		if other, known := b.ledger.claimed[got]; known && other != by.Actor {
			b.ledger.twice = append(b.ledger.twice, got)
		}
		b.ledger.claimed[got] = by.Actor
	})
}

// read follows bob's mailbox from a position on, as a client does.
func (b *battered) read(ctx context.Context, from string) (ids []string, next string, err error) {
	for url := from; url != ""; url = next {
		status, _, body := b.do(ctx, b.request(http.MethodGet, url, b.tokens[b.bob], ""))
		var page struct {
			OrderedItems []struct{ ID string } `json:"orderedItems"`
			First        string                `json:"first"` // of a mailbox with more than a page
			Next         string                `json:"next"`
		}
		if status != http.StatusOK {
			return ids, url, fmt.Errorf("read: %d", status)
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return ids, url, fmt.Errorf("read %s: %w", body, err)
		}
		for _, one := range page.OrderedItems {
			ids = append(ids, one.ID)
		}
		b.ledger.note(func() { b.ledger.reads++ })
		if next = page.Next; len(page.OrderedItems) == 0 {
			next = page.First
		}
		if next == "" {
			return ids, url, nil
		}
	}
	return ids, from, errors.New("bug: no page to begin with")
}

func (b *battered) firstPage() string { return b.process.URL + "/e2ee/users/bob/messages?after=0" }

// load keeps everything busy until ctx ends, and returns when all is calm.
func (b *battered) load(ctx context.Context) *sync.WaitGroup {
	var workers sync.WaitGroup
	again := func(f func()) {
		workers.Go(func() {
			for ctx.Err() == nil {
				f()
			}
		})
	}
	for i := range 4 {
		again(func() { b.post(ctx, b.others[i], fmt.Sprint(i)) })
	}
	again(func() { b.send(ctx) })
	for i := range 2 {
		n := i
		again(func() { b.claim(ctx, b.others[n%otherPeople]); n++ })
	}
	again(func() { _, _, _ = b.read(ctx, b.firstPage()) })
	return &workers
}

// awaitCount waits until the ledger has n entries more.
func (b *battered) awaitCount(n int) {
	b.t.Helper()
	goal := b.ledger.count() + n
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for b.ledger.count() < goal {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("only %d of %d acknowledgements came", b.ledger.count(), goal)
		}
	}
}

// audit holds the ledger against what is there: bob's mailbox, alice's key packages, and, when all is delivered, what
// the other instance got.
func (b *battered) audit() {
	b.t.Helper()
	ids, _, err := b.read(b.t.Context(), b.firstPage())
	if err != nil {
		b.t.Fatal(err)
	}
	at := map[string]int{}
	for i, id := range ids {
		if _, twice := at[id]; twice {
			b.t.Errorf("%s is in the mailbox twice", id)
		}
		at[id] = i
	}
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	orders := append([][]string{b.ledger.sent}, mapValues(b.ledger.took)...)
	for _, order := range orders {
		last := -1
		for _, id := range order {
			i, there := at[id]
			if !there {
				b.t.Fatalf("%s was acknowledged and is gone", id)
			}
			if i <= last {
				b.t.Fatalf("%s came before what was acknowledged before it", id)
			}
			last = i
		}
	}
	if len(b.ledger.twice) > 0 {
		b.t.Errorf("two inviters got %q", b.ledger.twice)
	}
}

func mapValues(m map[string][]string) (out [][]string) {
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// auditDeliveries waits until everything alice was told is sent has arrived elsewhere, in the order of its
// first arrivals.
func (b *battered) auditDeliveries() {
	b.t.Helper()
	deadline := time.After(60 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		arrived := map[string]bool{}
		var order []string
		for _, r := range b.away.Received() {
			var a struct{ ID string }
			if json.Unmarshal(r.Body, &a) == nil && !arrived[a.ID] {
				arrived[a.ID] = true
				order = append(order, a.ID)
			}
		}
		missing, next := 0, 0
		for _, id := range b.ledger.sent {
			if !arrived[id] {
				missing++
			}
		}
		for _, id := range order { // what was acknowledged is in it in that order
			if next < len(b.ledger.sent) && id == b.ledger.sent[next] {
				next++
			}
		}
		if missing == 0 && next == len(b.ledger.sent) {
			b.t.Logf("%d activities arrived elsewhere", len(order))
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("%d of %d sent activities have not arrived, %d in order", missing, len(b.ledger.sent), next)
		}
	}
}
