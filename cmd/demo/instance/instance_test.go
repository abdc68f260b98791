package instance_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/cmd/demo/instance"
)

const origin = "https://social.example"

// ask sends one request to i and returns status, headers and body.
func ask(t *testing.T, i *instance.Instance, request string, header ...string) (int, http.Header, string) {
	t.Helper()
	method, target, _ := strings.Cut(request, " ")
	target, body, _ := strings.Cut(target, " ")
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "social.example"
	for n := 0; n+1 < len(header); n += 2 {
		if header[n] == "Host" {
			r.Host = header[n+1]
		}
		r.Header.Set(header[n], header[n+1])
	}
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	answer, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header(), string(answer)
}

func TestStatuses(t *testing.T) {
	i := instance.New(instance.Options{Origin: origin})
	alice, err := i.AddPerson("alice")
	if err != nil {
		t.Fatal(err)
	}
	read := "Bearer " + i.Token(alice, "read")
	write := "Bearer " + i.Token(alice, "write:statuses")
	revoked := i.Token(alice, "read")
	ask(t, i, "POST /oauth/revoke token="+revoked, "Content-Type", "application/x-www-form-urlencoded")
	const ap = "application/activity+json"

	f := func(want int, request string, header ...string) {
		t.Helper()
		if got, _, body := ask(t, i, request, header...); got != want {
			t.Errorf("%s: %d, want %d: %s", request, got, want, body)
		}
	}
	f(200, "GET /health", "Host", "elsewhere.example")
	f(403, "GET /users/alice", "Host", "elsewhere.example")
	f(200, "GET /users/alice", "Accept", ap)
	f(200, "GET /users/ALICE", "Accept", ap)
	f(200, "GET /ap/users/"+alice.Account, "Accept", ap)
	f(301, "GET /users/alice", "Accept", "*/*")
	f(200, "GET /@alice", "Accept", "text/html")
	f(404, "GET /users/nobody", "Accept", ap)
	f(404, "GET /alice", "Accept", ap)
	f(200, "GET /.well-known/webfinger?resource=acct:alice@social.example")
	f(200, "GET /.well-known/webfinger?resource="+alice.Actor)
	f(404, "GET /.well-known/webfinger?resource=acct:alice@elsewhere.example")
	f(200, "GET /api/v1/accounts/lookup?acct=alice")
	f(404, "GET /api/v1/accounts/lookup?acct=nobody")
	f(200, "GET /api/v1/accounts/"+alice.Account)
	f(404, "GET /api/v1/accounts/alice")
	f(404, "GET /api/v1/accounts/lookup?acct=alice@elsewhere.example")
	f(200, "GET /api/v1/accounts/verify_credentials", "Authorization", read)
	f(403, "GET /api/v1/accounts/verify_credentials", "Authorization", write)
	f(401, "GET /api/v1/accounts/verify_credentials", "Authorization", "Bearer "+revoked)
	f(401, "GET /api/v1/accounts/verify_credentials")
	f(200, "GET /oauth/token/info", "Authorization", write)
	f(401, "GET /oauth/token/info", "Authorization", "Bearer nonsense")
	f(200, "GET /nodeinfo/2.0")
	f(401, `POST /inbox {"type":"Create"}`)
	f(202, `POST /inbox {"type":"Delete"}`)
	f(202, `POST /users/alice/inbox {"type":"Create"}`, "Signature", "keyId=x")
	f(413, "POST /inbox "+strings.Repeat(" ", 1<<20+1), "Signature", "keyId=x")
	if _, err := i.AddPerson("Alice"); err == nil {
		t.Error("one name was given to two people")
	}
}

func TestDocumentsParse(t *testing.T) {
	for _, ids := range []instance.IDs{instance.Named, instance.Numeric} {
		i := instance.New(instance.Options{Origin: origin, IDs: ids})
		bob, err := i.AddPerson("bob")
		if err != nil {
			t.Fatal(err)
		}
		_, header, body := ask(t, i, "GET /users/bob", "Accept", "application/activity+json")
		var actor struct {
			ID, Inbox, PreferredUsername string
			PublicKey                    struct{ ID, Owner, PublicKeyPem string }
		}
		if err := json.Unmarshal([]byte(body), &actor); err != nil {
			t.Fatalf("%s: %v", ids, err)
		}
		if actor.ID != bob.Actor || actor.Inbox != bob.Inbox() || actor.PublicKey.ID != bob.KeyID {
			t.Errorf("%s: the document says %+v, the person %+v", ids, actor, bob)
		}
		if strings.ContainsAny(strings.Join([]string{actor.ID, actor.PublicKey.PublicKeyPem}, ""), "{}") {
			t.Errorf("%s: a placeholder was left: %+v", ids, actor)
		}
		status, _, _ := ask(t, i, "GET /users/bob", "Accept", "application/activity+json", "If-None-Match", header.Get("ETag"))
		if status != http.StatusNotModified {
			t.Errorf("%s: a matching ETag got %d", ids, status)
		}
	}
}

func TestAuthorizedFetchAndTLSEdge(t *testing.T) {
	i := instance.New(instance.Options{Origin: origin, Fetch: instance.AuthorizedFetch, Edge: instance.TLSEdge})
	if _, err := i.AddPerson("alice"); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := ask(t, i, "GET /users/alice"); status != http.StatusMovedPermanently {
		t.Errorf("without X-Forwarded-Proto: %d, want 301", status)
	}
	header := []string{"Accept", "application/activity+json", "X-Forwarded-Proto", "https"}
	if status, _, _ := ask(t, i, "GET /users/alice", header...); status != http.StatusUnauthorized {
		t.Errorf("unsigned: %d, want 401", status)
	}
	if status, _, _ := ask(t, i, "GET /users/alice", append(header, "Signature", "keyId=x")...); status != http.StatusOK {
		t.Errorf("signed: %d, want 200", status)
	}
}

func TestInboxRemembers(t *testing.T) {
	i := instance.New(instance.Options{Origin: origin})
	ask(t, i, `POST /inbox?x=1 {"type":"Note"}`, "Signature", "keyId=x")
	ask(t, i, `POST /inbox {"type":"Note"}`)
	got := i.Received()
	if len(got) != 1 {
		t.Fatalf("%d were kept, want the signed one", len(got))
	}
	if got[0].Target != "/inbox?x=1" || string(got[0].Body) != `{"type":"Note"}` || got[0].Header.Get("Signature") != "keyId=x" {
		t.Errorf("kept %+v", got[0])
	}
	if n := i.Asked("POST", "/inbox"); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
}
