package actorkey

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
)

// Accept asks for ActivityPub and nothing else: an "*/*" at the end would get HTML from Mastodon.
const Accept = `application/activity+json, application/ld+json; profile="https://www.w3.org/ns/activitystreams"`

// Documents fetches other servers' documents. Everything but Client may be left out.
type Documents struct {
	Client   *http.Client              // from NewClient
	Sign     func(*http.Request) error // signs a request that was answered 401 or 403
	Accept   string                    // Accept
	MaxBytes int64                     // of one document, 1 MiB
}

// Answer is what a server said; there is a Body only when Status is 200.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

// Get fetches the document at url, unsigned at first: signing costs a private key, and most servers
// do not ask for it. ErrTooLarge when there is more than MaxBytes of it; no status is an error.
func (d Documents) Get(ctx context.Context, url string) (Answer, error) {
	a, err := d.get(ctx, d.Client, url)
	if d.Sign != nil && (a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden) {
		a, err = d.get(ctx, signing(d.Client, d.Sign), url)
	}
	return a, err
}

func (d Documents) get(ctx context.Context, client *http.Client, url string) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("Accept", cmp.Or(d.Accept, Accept))
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := Answer{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type")}
	if a.Status != http.StatusOK {
		return a, nil
	}
	most := cmp.Or(d.MaxBytes, maxDocument)
	a.Body, err = io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err == nil && int64(len(a.Body)) > most {
		err = ErrTooLarge
	}
	return a, err
}

// signing is a copy of client that has sign sign every request, redirected ones
// too, each for the URL it really goes to. sign gets a request of its own to change.
func signing(client *http.Client, sign func(*http.Request) error) *http.Client {
	signed := *client
	signed.Transport = signer{next: client.Transport, sign: sign}
	return &signed
}

type signer struct {
	next http.RoundTripper
	sign func(*http.Request) error
}

func (s signer) RoundTrip(req *http.Request) (*http.Response, error) {
	signed := req.Clone(req.Context())
	if err := s.sign(signed); err != nil {
		return nil, fmt.Errorf("sign the request: %w", err)
	}
	return s.next.RoundTrip(signed)
}
