package relay_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/relay"
)

func TestActorDocumentThroughTheGateway(t *testing.T) {
	w := newWorld(t, &broken{}, gate{})
	original, err := os.ReadFile("testdata/mastodon-4.5-actor-named.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, accept := range []string{"application/activity+json", `application/ld+json; profile="https://www.w3.org/ns/activitystreams"`} {
		got := w.ask(t, http.MethodGet, "/users/alice", nil, "Accept", accept, "Accept-Encoding", "gzip")
		head, tail, _ := strings.Cut(string(original), `}],"id":`) // the end of the context
		if !strings.HasPrefix(got.body, head+"},{") || !strings.Contains(got.body, `}],"id":`+strings.TrimSuffix(strings.TrimSpace(tail), "}")+`,"keyPackages"`) {
			t.Errorf("the instance's bytes are not all there:\n%s", got.body)
		}
		var doc struct{ KeyPackages, Messages string }
		if err := json.Unmarshal([]byte(got.body), &doc); err != nil {
			t.Fatalf("%v in %s", err, got.body)
		}
		if doc.Messages != mailboxURL || doc.KeyPackages != "https://social.example/e2ee/users/alice/keyPackages" {
			t.Errorf("%+v", doc)
		}
		if got.header.Get("Cache-Control") != "max-age=180, public" || got.header.Get("ETag") == `W/"upstream"` {
			t.Errorf("%v", got.header)
		}
		noBody := w.ask(t, http.MethodHead, "/users/alice", nil, "Accept", accept)
		if noBody.status != http.StatusOK || noBody.body != "" || noBody.header.Get("ETag") != got.header.Get("ETag") {
			t.Errorf("HEAD: %+v", noBody)
		}
	}
	if got := w.ask(t, http.MethodGet, "/users/bob", nil, "Accept", "application/activity+json"); got.status != http.StatusUnauthorized ||
		got.body != `{"error":"Request not signed"}` {
		t.Errorf("authorized fetch: %+v", got)
	}
	if got := w.ask(t, http.MethodGet, "/@alice", nil, "Accept", "text/html, */*"); got.body != "<html>alice" {
		t.Errorf("the page: %+v", got)
	}
}

func TestKeyPackagesAreHonestlyEmpty(t *testing.T) {
	w := newWorld(t, &broken{}, gate{})
	for _, name := range []string{"alice", "ALICE", "%61lice"} {
		got := w.ask(t, http.MethodGet, "/e2ee/users/"+name+"/keyPackages", nil)
		var c struct {
			ID, Type   string
			TotalItems int
			Items      []string
		}
		if err := json.Unmarshal([]byte(got.body), &c); err != nil {
			t.Fatalf("%v in %s", err, got.body)
		}
		if c.ID != "https://social.example/e2ee/users/alice/keyPackages" || c.Type != "Collection" || c.Items == nil || len(c.Items) != 0 {
			t.Errorf("%s", got.body)
		}
		if got.header.Get("Access-Control-Allow-Origin") != "*" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", got.header)
		}
	}
	got := w.ask(t, http.MethodGet, "/e2ee/users/carol/keyPackages", nil)
	if got.status != http.StatusNotFound {
		t.Errorf("%+v, want 404", got)
	}
	checkProblem(t, "carol", got)
}

func TestOwnActor(t *testing.T) {
	w := newWorld(t, &broken{}, gate{})
	got := w.ask(t, http.MethodGet, "/e2ee/actor", nil, "Accept", "application/activity+json")
	var doc struct {
		ID, Type, PreferredUsername, Inbox string
		PublicKey                          struct{ ID, Owner, PublicKeyPem string }
	}
	if err := json.Unmarshal([]byte(got.body), &doc); err != nil {
		t.Fatalf("%v in %s", err, got.body)
	}
	const base = "https://social.example"
	if doc.ID != relay.OwnActor(base) || doc.Type != "Application" || doc.PublicKey.ID != relay.OwnKeyID(base) || doc.PublicKey.Owner != doc.ID {
		t.Errorf("%+v", doc)
	}
	block, _ := pem.Decode([]byte(doc.PublicKey.PublicKeyPem))
	if block == nil {
		t.Fatal("no key")
	}
	if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		t.Error(err)
	}
	for _, resource := range []string{
		"acct:sealgate.social.example@social.example", "acct%3ASealgate.social.example%40social.example", "https://social.example/e2ee/actor",
	} {
		got := w.ask(t, http.MethodGet, "/.well-known/webfinger?resource="+resource, nil)
		if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/jrd+json" || !strings.Contains(got.body, doc.ID) {
			t.Errorf("%s: %+v", resource, got)
		}
	}
	for _, query := range []string{"?resource=acct:alice@social.example", "", "?resource=acct:sealgate.social.example@far.example"} {
		if got := w.ask(t, http.MethodGet, "/.well-known/webfinger"+query, nil); got.body != "404 page not found\n" {
			t.Errorf("%s: %+v, want the upstream's answer", query, got)
		}
	}
}

func TestWhatIsNotOursIsTheUpstreams(t *testing.T) {
	w := newWorld(t, &broken{}, gate{})
	for _, target := range []string{
		"/", "/about", "/e2ee", "/e2ee/", "/e2ee/policy", "/e2ee/users/alice", "/e2ee/users/alice/messages/", "/users/alice/inbox", "/api/v1/streaming",
	} {
		got := w.ask(t, http.MethodGet, target, nil)
		if got.body != "the upstream's "+target || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %+v", target, got)
		}
	}
	w.awaitCount(t, "sealgate_http_requests_total", 9) // the last is counted after its answer is out
}

func TestOptionsAreChecked(t *testing.T) {
	if _, err := relay.New(relay.Options{}); err == nil || !strings.Contains(err.Error(), "domain") {
		t.Errorf("%v; want the key that is missing", err)
	}
}

// TestWhatReachesTheGatewayIsToldAnywhere: an OPTIONS that asks for nothing else is not the instance's.
func TestWhatReachesTheGatewayIsToldAnywhere(t *testing.T) {
	w := newWorld(t, &broken{}, gate{})
	for _, path := range append(relay.Needs(), "/", "/api/v1/statuses") {
		got := w.ask(t, http.MethodOptions, path, nil, relay.SeenHeader, "?")
		seen, err := relay.ParseSeen(got.header.Get(relay.SeenHeader))
		if got.status != http.StatusNoContent || err != nil || seen.Host != "social.example" {
			t.Errorf("%s: %+v %+v %v", path, got, seen, err)
		}
	}
}
