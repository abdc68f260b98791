package outbox_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-fed/httpsig"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/relay/outbox"
)

// TestSubmit: an activity goes out with ids and without what is secret, and every
// other byte as it came.
func TestSubmit(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	w.run(t)
	odd := `"instrument" : {"id":"urn:uuid:1","x":[1.50,"\u00e9 \/"]},"mls:unknown":  1e2`
	posted := w.post(t, []byte(`{ "bto":"`+w.bob.Actor+`", "@context":"https://www.w3.org/ns/activitystreams","type":"Create","id":"urn:client:1",`+
		odd+`,"to":["`+p.actor("zoe")+`","`+w.alice.Actor+`"],"audience":{"id":"`+p.actor("yan")+`"},`+
		`"object":{"bcc":[],"type":["Object","PrivateMessage"],"id":"","mediaType":"message/mls","encoding":"base64","content":"`+private("g", 1)+`"}}`))
	got := p.await(t, 1)[0]
	if got.body != string(posted.Body) {
		t.Errorf("delivered %s, answered %s", got.body, posted.Body)
	}
	if !strings.Contains(got.body, odd) {
		t.Errorf("the unknown was changed: %s", got.body)
	}
	if strings.Contains(got.body, `"bto"`) || strings.Contains(got.body, `"bcc"`) || strings.Contains(got.body, "urn:client:1") {
		t.Errorf("it shows what it must not: %s", got.body)
	}
	if kind := got.header.Get("Content-Type"); got.path != "/inbox" || kind != "application/activity+json" {
		t.Errorf("two recipients of one host share %s, as %s", got.path, kind)
	}
	var a struct {
		ID, Actor string
		Object    struct{ ID, AttributedTo string }
	}
	if err := json.Unmarshal([]byte(got.body), &a); err != nil {
		t.Fatal(err)
	}
	if a.ID != posted.ID || a.Actor != w.alice.Actor || a.Object.AttributedTo != w.alice.Actor || !strings.Contains(a.Object.ID, "/e2ee/objects/") {
		t.Errorf("ids and author: %+v", a)
	}
	for _, owner := range []string{w.alice.Account, w.bob.Account} {
		kept, err := w.store.After(t.Context(), inbox.Owner(owner), 0, 10)
		if err != nil || len(kept) != 1 || !bytes.Equal(kept[0].Activity, posted.Body) {
			t.Errorf("%s has %v, %v", owner, kept, err)
		}
	}
	if again := w.post(t, message("g", 2, `"id":"urn:client:2",`, w.bob.Actor)); again.ID == posted.ID {
		t.Error("two messages have one id")
	}
}

// TestBlind: whom the activity does not name is in no shared inbox's reach, and gets it in their own.
func TestBlind(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	w.run(t)
	w.post(t, []byte(`{"type":"Create","to":["`+p.actor("zoe")+`","`+p.actor("yan")+`"],"bcc":["`+p.actor("una")+`","`+p.actor("ugo")+`"],`+
		`"object":{"cc":"`+p.actor("ida")+`","type":"PrivateMessage","mediaType":"message/mls","encoding":"base64","content":"`+private("g", 1)+`"}}`))
	paths := map[string]int{}
	for _, got := range p.await(t, 4) {
		paths[got.path]++
	}
	want := map[string]int{"/inbox": 1, "/users/una/inbox": 1, "/users/ugo/inbox": 1, "/users/ida/inbox": 1}
	if !maps.Equal(paths, want) {
		t.Errorf("it arrived at %v, want %v", paths, want)
	}
}

// TestPostAgain: the same bytes under a client's own id are kept once.
func TestPostAgain(t *testing.T) {
	w := newWorld(t, settings{})
	first := w.post(t, message("g", 1, `"id":"urn:client:1",`, w.bob.Actor))
	second := w.post(t, message("g", 1, `"id":"urn:client:1",`, w.bob.Actor))
	other := w.post(t, message("g", 2, `"id":"urn:client:1",`, w.bob.Actor))
	if first.ID != second.ID || !bytes.Equal(first.Body, second.Body) || other.ID == first.ID {
		t.Errorf("ids %s %s %s", first.ID, second.ID, other.ID)
	}
	if u, err := w.store.Usage(t.Context(), inbox.Owner(w.bob.Account)); err != nil || u.Total != 2 {
		t.Errorf("bob has %d, %v", u.Total, err)
	}
}

// TestPostAgainMeanwhile: also those that a client posts while it waits for the first answer, here for its recipient's server.
func TestPostAgainMeanwhile(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	const clients = 8
	asked, reply := make(chan struct{}), make(chan struct{})
	p.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		close(asked) // one fetch of an actor is in flight
		<-reply
		p.ServeHTTP(rw, r)
	})
	body := message("g", 1, `"id":"urn:client:1",`, w.bob.Actor, p.actor("zoe"))
	ids := make(chan string, clients)
	post := func() {
		posted, err := w.Submit(t.Context(), w.from, "laptop", body)
		ids <- fmt.Sprint(posted.ID, err)
	}
	go post()
	<-asked
	for range clients - 1 {
		go post()
	}
	close(reply)
	first := <-ids
	for range clients - 1 {
		if other := <-ids; other != first {
			t.Errorf("one answer is %s, another %s", first, other)
		}
	}
	if u, err := w.store.Usage(t.Context(), inbox.Owner(w.bob.Account)); err != nil || u.Total != 1 {
		t.Errorf("bob has %d, %v", u.Total, err)
	}
}

// TestRefused: each mistake has its error, and nothing is kept.
func TestRefused(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	create := func(properties string) string {
		return `{"type":"Create",` + properties + `,"object":{"type":"PrivateMessage","mediaType":"message/mls","encoding":"base64","content":"` + private("g", 1) + `"}}`
	}
	for _, c := range []struct {
		body string
		want error
	}{
		{`{"type":"Note","content":"hi","to":"x"}`, activity.ErrNotMLS},
		{`[` + create(`"to":"`+w.bob.Actor+`"`) + `]`, outbox.ErrMalformed},
		{create(`"to":[]`), outbox.ErrMalformed},
		{create(`"to":"as:Public"`), outbox.ErrMalformed},
		{create(`"bto":"https://www.w3.org/ns/activitystreams#Public"`), outbox.ErrMalformed},
		{create(`"to":"` + w.alice.Actor + `/followers"`), outbox.ErrMalformed},
		{create(`"to":"` + p.URL + `/lists/1"`), outbox.ErrMalformed},
		{create(`"to":"` + strings.Replace(w.bob.Actor, "bob", "nobody", 1) + `"`), outbox.ErrMalformed},
		{create(`"to":"mailto:a@b.example"`), outbox.ErrMalformed},
		{create(`"to":"` + w.bob.Actor + `","actor":"` + w.bob.Actor + `"`), outbox.ErrForbidden},
		{create(`"to":"` + w.bob.Actor + `","to":"` + p.actor("zoe") + `"`), activity.ErrMalformed},
		{create(`"to":"` + w.bob.Actor + `","as:bto":{"@id":"` + p.actor("zoe") + `"},"@id":"x"`), nil},
		{strings.Replace(create(`"to":"`+w.bob.Actor+`"`), `"content":"`, `"content":"AAAA`, 1), inbox.ErrMalformed},
		{strings.Repeat(`{"object":`, 5000) + `{"mediaType":"message/mls"}` + strings.Repeat(`}`, 5000), outbox.ErrMalformed},
	} {
		_, err := w.Submit(t.Context(), w.from, "laptop", []byte(c.body))
		if !errors.Is(err, c.want) {
			t.Errorf("%.300s: %v, want %v", c.body, err, c.want)
		}
	}
}

// TestReceiveOnly: without a signing source local people can be written to and
// others not.
func TestReceiveOnly(t *testing.T) {
	w, p := newWorld(t, settings{none: true}), newPeer(t, nil)
	w.post(t, message("g", 1, "", w.bob.Actor))
	if _, err := w.Submit(t.Context(), w.from, "laptop", message("g", 2, "", w.bob.Actor, p.actor("zoe"))); !errors.Is(err, outbox.ErrReceiveOnly) {
		t.Errorf("to another server: %v", err)
	}
	if u, _ := w.store.Usage(t.Context(), inbox.Owner(w.bob.Account)); u.Total != 1 {
		t.Errorf("bob has %d messages: what is refused is refused for all", u.Total)
	}
}

// TestSignature: what arrives verifies with a verifier that is not ours, under the
// key id of the actor document, also where that takes a signature to read.
func TestSignature(t *testing.T) {
	for _, fetch := range []instance.Fetch{instance.OpenFetch, instance.AuthorizedFetch} {
		w, p := newWorld(t, settings{fetch: fetch}), newPeer(t, nil)
		w.run(t)
		w.post(t, message("g", 1, "", p.actor("zoe")))
		got := p.await(t, 1)[0]
		if got.path != "/users/zoe/inbox" {
			t.Errorf("one recipient's mail went to %s", got.path)
		}
		if err := verify(got, p, w.alice); err != nil {
			t.Error(err)
		}
	}
}

func verify(got arrived, p *peer, by *instance.Person) error {
	u, err := url.Parse(p.URL + got.path)
	if err != nil {
		return err
	}
	req := &http.Request{Method: http.MethodPost, URL: u, Host: u.Host, Header: got.header.Clone()}
	req.Header.Set("Host", u.Host)
	v, err := httpsig.NewVerifier(req)
	if err != nil {
		return err
	}
	if v.KeyId() != by.KeyID {
		return errors.New("signed by " + v.KeyId())
	}
	return v.Verify(crypto.PublicKey(&by.Key.PublicKey), httpsig.RSA_SHA256)
}

// TestOtherScheme: a peer that takes RFC 9421 only is knocked at twice, once.
func TestOtherScheme(t *testing.T) {
	var knocks []string
	w := newWorld(t, settings{})
	p := newPeer(t, func(r *http.Request, _ arrived) int { // one delivery at a time: one lane
		if r.Header.Get("Signature-Input") == "" {
			knocks = append(knocks, "cavage")
			return http.StatusUnauthorized
		}
		knocks = append(knocks, "rfc9421")
		return http.StatusAccepted
	})
	w.run(t)
	w.post(t, message("g", 1, "", p.actor("zoe")))
	p.await(t, 1)
	w.post(t, message("g", 2, "", p.actor("zoe")))
	p.await(t, 2)
	if got := strings.Join(knocks, " "); got != "cavage rfc9421 rfc9421" {
		t.Errorf("knocked %s", got)
	}
}

// TestOrder: a message that fails holds back those of its group and no others, and
// a Welcome is not overtaken by the messages of the group it invites to.
func TestOrder(t *testing.T) {
	w := newWorld(t, settings{})
	failures := 2
	p := newPeer(t, func(_ *http.Request, a arrived) int {
		if strings.Contains(a.body, private("slow", 1)) && failures > 0 {
			failures--
			return http.StatusBadGateway
		}
		return http.StatusAccepted
	})
	for n := uint64(1); n <= 3; n++ {
		w.post(t, message("slow", n, "", p.actor("zoe")))
	}
	w.run(t)
	got := p.await(t, 3)
	for i, a := range got {
		if !strings.Contains(a.body, private("slow", uint64(i+1))) {
			t.Errorf("%d. is %s", i+1, a.body)
		}
	}
}

// TestEnds: 404 ends a delivery after the actor was looked up anew, 400 ends it at
// once, and the next of the group goes on; the sender is told.
func TestEnds(t *testing.T) {
	w := newWorld(t, settings{})
	statuses := []int{http.StatusNotFound, http.StatusBadRequest, http.StatusGone, http.StatusOK}
	p := newPeer(t, func(*http.Request, arrived) int {
		next := statuses[0]
		statuses = statuses[1:]
		return next
	})
	watch := w.inbox.Watch(inbox.Owner(w.alice.Account))
	defer watch.Close()
	for n := uint64(1); n <= 4; n++ {
		w.post(t, message("g", n, "", p.actor("zoe")))
	}
	w.run(t)
	if got := p.await(t, 1)[0]; !strings.Contains(got.body, private("g", 4)) {
		t.Errorf("arrived: %s", got.body)
	}
	notices := watch.Notices()
	if len(notices) != 3 || notices[0].Kind != inbox.DeliveryFailed || notices[0].Host != strings.TrimPrefix(p.URL, "http://") || notices[0].Activity == "" {
		t.Errorf("notices %+v", notices)
	}
}

// TestRetryAfter: a host that says when is believed.
func TestRetryAfter(t *testing.T) {
	w := newWorld(t, settings{})
	var first time.Time
	p := newPeer(t, nil)
	p.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && first.IsZero() {
			first = time.Now()
			rw.Header().Set("Retry-After", "3")
			rw.WriteHeader(http.StatusTooManyRequests)
			return
		}
		p.ServeHTTP(rw, r)
	})
	w.run(t)
	w.post(t, message("g", 1, "", p.actor("zoe")))
	if got := p.await(t, 1)[0]; got.at.Sub(first) < 3*time.Second {
		t.Errorf("it came after %s", got.at.Sub(first))
	}
}

// TestRead: those who took part may read what was sent.
func TestRead(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	posted := w.post(t, message("g", 1, "", p.actor("zoe"), w.bob.Actor))
	id := posted.ID[strings.LastIndex(posted.ID, "/")+1:]
	for reader, may := range map[outbox.Reader]bool{
		{Owner: inbox.Owner(w.alice.Account), Actor: w.alice.Actor}: true,
		{Owner: inbox.Owner(w.bob.Account), Actor: w.bob.Actor}:     true,
		{Actor: p.actor("zoe")}:                                     true,
		{Actor: p.actor("eve")}:                                     false,
		{}:                                                          false,
	} {
		doc, err := w.Activity(t.Context(), id, reader)
		if may != (err == nil) || may && !bytes.Equal(doc, posted.Body) {
			t.Errorf("%+v: %v", reader, err)
		}
		object, err := w.Object(t.Context(), id, reader)
		if may != (err == nil) || may && (!json.Valid(object) || !bytes.Contains(posted.Body, object)) {
			t.Errorf("object for %+v: %s %v", reader, object, err)
		}
	}
	if _, err := w.Activity(t.Context(), w.alice.Account+" urn:client:1", outbox.Reader{Actor: w.alice.Actor}); !errors.Is(err, outbox.ErrNotSent) {
		t.Errorf("a client's id as the name in a URL: %v", err)
	}
}

// TestEveryObjectHasItsID: also the items of a collection, and in a Create that is spelt at length, and each is found by it.
func TestEveryObjectHasItsID(t *testing.T) {
	w := newWorld(t, settings{})
	one := `"type":"PrivateMessage","mediaType":"message/mls","encoding":"base64","content":"` + private("g", 1) + `"}`
	posted := w.post(t, []byte(`{"@type":["https://www.w3.org/ns/activitystreams#Create"],"to":"`+w.bob.Actor+`",`+
		`"object":{"type":"Collection","items":[{"id":"urn:client:1",`+one+`,{`+one+`]}}`))
	var a struct {
		Object struct {
			Items []struct{ ID, AttributedTo string }
		}
	}
	if err := json.Unmarshal(posted.Body, &a); err != nil || len(a.Object.Items) != 2 {
		t.Fatalf("%s: %v", posted.Body, err)
	}
	for _, item := range a.Object.Items {
		id, isOurs := strings.CutPrefix(item.ID, w.origin+"/e2ee/objects/")
		if !isOurs || item.AttributedTo != w.alice.Actor {
			t.Errorf("an item is %+v", item)
		}
		doc, err := w.Object(t.Context(), id, outbox.Reader{Owner: inbox.Owner(w.bob.Account)})
		if err != nil || !bytes.Contains(doc, []byte(private("g", 1))) {
			t.Errorf("%s: %s, %v", id, doc, err)
		}
	}
	if a.Object.Items[0].ID == a.Object.Items[1].ID {
		t.Errorf("two items have one id, %s", a.Object.Items[0].ID)
	}
}

// carrier is a courier who notes what they are given.
type carrier struct{ bodies []string }

func (c *carrier) Carry(_ context.Context, _ outbox.Sender, _ string, body []byte) error {
	c.bodies = append(c.bodies, string(body))
	return nil
}

// TestCourier: a courier gets what was posted, in order, also when the outbox stops as it reads it and begins again.
func TestCourier(t *testing.T) {
	c := &carrier{}
	w, p := newWorld(t, settings{hand: c}), newPeer(t, nil)
	var want []string
	for n := range uint64(3) {
		want = append(want, string(w.post(t, message("g", n+1, "", p.actor("zoe"))).Body))
	}
	w.ForgetBodies()
	ctx, stop := context.WithCancel(t.Context())
	w.reads = stop
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if c.bodies != nil {
		t.Errorf("while it stopped it carried %q", c.bodies)
	}
	w.reads = nil
	w.ahead.Add(int64(time.Minute))
	w.run(t)
	until(t, func() bool { return w.metric(t, "sealgate_delivery_queue").GetGauge().GetValue() == 0 })
	if !slices.Equal(c.bodies, want) {
		t.Errorf("carried %q, want %q", c.bodies, want)
	}
}
