package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/sealgate/sealgate/policy/actorkey"
)

// Bounds of what is fetched for others.
const (
	maxFetched        = 1 << 20
	maxClientDocument = 64 << 10
	maxFetchedURL     = 2048
)

// Why a document of another server is not there.
var (
	errNotThere = errors.New("relay: the other server has no such document")
	errOutside  = errors.New("relay: the document cannot be fetched")
)

// Outside fetches documents of other servers. Client must refuse what is not public
// (actorkey.NewClient); Sign, when not nil, signs a request that was answered 401 or 403.
type Outside struct {
	Client *http.Client
	Sign   func(*http.Request) error
}

// ClientDocument fetches the document of a client that wants to sign somebody in. It follows no
// redirect (Client ID Metadata Document, §4) and takes JSON alone.
func (o *Outside) ClientDocument(ctx context.Context, address string) ([]byte, error) {
	client := *o.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return fetch(ctx, &client, question{
		address: address, accept: "application/json, application/activity+json, application/ld+json", max: maxClientDocument,
	})
}

// document fetches an ActivityPub document.
func (o *Outside) document(ctx context.Context, address string) ([]byte, error) {
	q := question{address: address, accept: activityJSON + ", " + linkedJSON, max: maxFetched}
	body, err := fetch(ctx, o.Client, q)
	if errors.Is(err, errWhoAsks) && o.Sign != nil {
		body, err = fetch(ctx, actorkey.Signing(o.Client, o.Sign), q)
	}
	return body, err
}

// errWhoAsks is an errOutside that a signature may cure.
var errWhoAsks = fmt.Errorf("%w: the other server wants to know who asks", errOutside)

// question is one GET and how much of its answer is read.
type question struct {
	address, accept string
	max             int64
}

func fetch(ctx context.Context, client *http.Client, q question) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, q.address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOutside, err)
	}
	req.Header.Set("Accept", q.accept)
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOutside, withoutAddress(err))
	}
	defer func() { _ = resp.Body.Close() }()
	if err := checkFetched(resp); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, q.max+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOutside, err)
	}
	body = bytes.TrimSpace(body)
	if int64(len(body)) > q.max || len(body) == 0 || body[0] != '{' || !json.Valid(body) {
		return nil, fmt.Errorf("%w: it is not a JSON object of at most %d bytes", errOutside, q.max)
	}
	return body, nil
}

// withoutAddress takes the URL out of an error of net/http: it is known, or not to be repeated.
func withoutAddress(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

func checkFetched(resp *http.Response) error {
	switch code := resp.StatusCode; code {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return errWhoAsks
	case http.StatusNotFound, http.StatusGone:
		return errNotThere
	default:
		return fmt.Errorf("%w: status %d", errOutside, code)
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json") {
		return nil
	}
	return fmt.Errorf("%w: it is %.80q, not JSON", errOutside, media)
}
