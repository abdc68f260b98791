package simulation_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/inbox/mls"
)

// person has one client. What the client knows survives everything.
type person struct {
	host, name, account string
	key                 ed25519.PrivateKey
	client              *inboxtest.Client

	published [][]byte                  // every KeyPackage ever made
	claimed   map[*person]claim         // what somebody's directory gave last
	seen      []inbox.Entry             // the mailbox as it became readable
	had       map[string]inbox.Position // by activity id
	ordered   map[string]int            // the last order seen, by origin and group
	accepted  map[string]bool           // actors whose request was accepted once
	cursor    string                    // the last activity id the client has read
}

// claim is a key package that was handed out.
type claim struct {
	id  string // its URL
	ref []byte
	at  time.Time

	ends time.Time // of its lifetime
}

func newPerson(host, name string, account int, seed byte) *person {
	p := &person{
		host: host, name: name, account: fmt.Sprint(account), key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)),
		claimed: map[*person]claim{}, had: map[string]inbox.Position{}, ordered: map[string]int{}, accepted: map[string]bool{},
	}
	p.client = &inboxtest.Client{
		Actor: p.actor(),
		Key:   ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed + 100}, ed25519.SeedSize)),
	}
	return p
}

func (p *person) actor() string      { return "https://" + p.host + "/users/" + p.name }
func (p *person) token() string      { return "token-of-" + p.name + "-at-" + p.host }
func (p *person) owner() inbox.Owner { return inbox.Owner(p.account) }
func (p *person) String() string     { return p.name + "@" + p.host }

// ask makes a request of the person's client to their own gateway.
func (p *person) ask(w *world, method, target string, body []byte) *answer {
	r, err := http.NewRequest(method, "https://"+p.host+target, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Authorization", "Bearer "+p.token())
	return w.serve(r, body)
}

// serve is a request that the world's network does not touch; status 0 is a host that is down.
func (w *world) serve(r *http.Request, body []byte) *answer {
	h := w.net.hosts[r.URL.Host]
	if h.relay == nil {
		return &answer{}
	}
	return h.serve(r, body)
}

// post posts to the person's outbox.
func (p *person) post(w *world, activity map[string]any) (status int, id string) {
	activity["actor"] = p.actor()
	body, err := json.Marshal(activity)
	if err != nil {
		panic(err)
	}
	a := p.ask(w, http.MethodPost, "/users/"+p.name+"/outbox", body)
	return a.status, a.header.Get("X-Activity-Id")
}

// publish offers a new key package; the last one made is the last resort.
func (p *person) publish(w *world) int {
	p.client.LastResort = len(p.published)%3 == 2
	p.client.Begins = time.Now().Add(-2 * farthest)
	p.client.Lifetime = 2*farthest + []time.Duration{6 * time.Hour, 60 * 24 * time.Hour}[w.random.IntN(2)]
	made := p.client.Package()
	status, _ := p.post(w, map[string]any{"type": "Create", "to": []string{p.actor()}, "object": map[string]any{
		"type": "KeyPackage", "to": "as:Public", "attributedTo": p.actor(), "mediaType": "message/mls", "encoding": "base64",
		"content": base64.StdEncoding.EncodeToString(made),
	}})
	if status == http.StatusCreated {
		p.published = append(p.published, made)
	}
	return status
}

// fetch reads another's key packages, signed, as an inviter does.
func (p *person) fetch(w *world, of *person) ([]claim, int) {
	var collection struct{ Items []string }
	status := p.get(w, "https://"+of.host+"/e2ee/users/"+of.name+"/keyPackages", &collection)
	var out []claim
	for _, url := range collection.Items {
		var item struct{ Content string }
		if p.get(w, url, &item) != http.StatusOK {
			continue
		}
		content, err := base64.StdEncoding.DecodeString(item.Content)
		if err != nil {
			panic(err)
		}
		m, err := mls.Parse(content)
		if err != nil {
			panic(err)
		}
		ref, err := m.KeyPackage.Ref()
		if err != nil {
			panic(err)
		}
		out = append(out, claim{id: url, ref: ref, at: time.Now(), ends: time.Unix(int64(m.KeyPackage.Leaf.Lifetime.NotAfter), 0)})
	}
	return out, status
}

// get reads a document as the person signs it. 0 is a host that cannot be reached.
func (p *person) get(w *world, url string, v any) int {
	r, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		panic(err)
	}
	r.Header.Set("Accept", "application/activity+json")
	p.sign(r, nil)
	if w.net.apart[link(p.host, r.URL.Host)] {
		return 0
	}
	a := w.serve(r, nil)
	if a.status == http.StatusOK {
		if err := json.Unmarshal(a.body, v); err != nil {
			panic(err)
		}
	}
	return a.status
}

// read follows the mailbox behind the cursor and, when done is set, gives back what was read.
func (p *person) read(w *world) (ids []string) {
	target := "/e2ee/users/" + p.name + "/messages?after=" + p.cursor
	for target != "" {
		var page struct {
			OrderedItems []struct{ ID string }
			First, Next  string
		}
		a := p.ask(w, http.MethodGet, target, nil)
		if a.status != http.StatusOK {
			return ids
		}
		if err := json.Unmarshal(a.body, &page); err != nil {
			panic(err)
		}
		for _, item := range page.OrderedItems {
			ids = append(ids, item.ID)
			p.cursor = item.ID
		}
		target = strings.TrimPrefix(page.Next+page.First, "https://"+p.host)
	}
	return ids
}

// giveBack deletes what was read.
func (p *person) giveBack(w *world) int {
	return p.ask(w, http.MethodDelete, "/e2ee/users/"+p.name+"/messages?through="+p.cursor, nil).status
}

// group is what its members think it is; nobody but them knows.
type group struct {
	id      string
	members []*person
	epoch   uint64

	welcomes map[*person]string // by whom they are for; the first member has none
}

// joined says whether p can speak there: they have their Welcome.
func (g *group) joined(p *person) bool {
	welcome := g.welcomes[p]
	return slices.Contains(g.members, p) && (welcome == "" || p.had[welcome] > 0)
}

func (g *group) context() string { return "uri:uuid:context-of-" + g.id }

// framed is an MLS PrivateMessage (RFC 9420 §6.3) of this group, whose ciphertext is marker.
func (g *group) framed(kind byte, epoch uint64, marker string) string {
	return base64.StdEncoding.EncodeToString(inboxtest.Private(kind, g.id, epoch, marker))
}

func create(g *group, id, kind, content string, to []*person) map[string]any {
	var ids []string
	for _, p := range to {
		ids = append(ids, p.actor())
	}
	return map[string]any{
		"@context": "https://www.w3.org/ns/activitystreams", "id": "uri:uuid:" + id, "type": "Create", "to": ids, "context": g.context(),
		"object": map[string]any{"type": kind, "mediaType": "message/mls", "encoding": "base64", "content": content},
	}
}
