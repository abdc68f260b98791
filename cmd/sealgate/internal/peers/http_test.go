package peers_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

type reply struct {
	status int
	header http.Header
	body   []byte
}

// get asks without following redirects; token may be empty.
func get(t *testing.T, address, token string) reply {
	t.Helper()
	return do(t, request(t, http.MethodGet, address, nil), token)
}

// getActor asks for the ActivityPub reading of an address.
func getActor(t *testing.T, address string) reply {
	t.Helper()
	r := request(t, http.MethodGet, address, nil)
	r.Header.Set("Accept", "application/activity+json")
	return do(t, r, "")
}

func postForm(t *testing.T, address, token string, form url.Values) reply {
	t.Helper()
	r := request(t, http.MethodPost, address, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return do(t, r, token)
}

func request(t *testing.T, method, address string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func do(t *testing.T, r *http.Request, token string) reply {
	t.Helper()
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return reply{answer.StatusCode, answer.Header, body}
}

// collection is an OrderedCollection or one of its pages.
type collection struct {
	First        string      `json:"first"`
	Next         string      `json:"next"`
	OrderedItems []jsonBytes `json:"orderedItems"`
}

// jsonBytes are the bytes of a value as they stand in the document.
type jsonBytes []byte

func (j *jsonBytes) UnmarshalJSON(b []byte) error {
	*j = bytes.Clone(b)
	return nil
}

// messages are the activities kept for a person, newest first.
func messages(t *testing.T, base, name, token string) []jsonBytes {
	t.Helper()
	whole := page(t, base+"/e2ee/users/"+name+"/messages", token)
	kept, next := whole.OrderedItems, whole.Next
	if len(kept) == 0 {
		next = whole.First
	}
	for next != "" {
		p := page(t, next, token)
		kept, next = append(kept, p.OrderedItems...), p.Next
	}
	return kept
}

func page(t *testing.T, address, token string) collection {
	t.Helper()
	answer := get(t, address, token)
	if answer.status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", address, answer.status, answer.body)
	}
	var c collection
	decode(t, answer.body, &c)
	return c
}
