package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/sealgate/sealgate/policy/actorkey"
)

// Bounds of what is fetched for others.
const (
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
	return fetch(ctx, address, actorkey.Documents{
		Client: &client, Accept: "application/json, application/activity+json, application/ld+json", MaxBytes: maxClientDocument,
	})
}

// document fetches an ActivityPub document.
func (o *Outside) document(ctx context.Context, address string) ([]byte, error) {
	return fetch(ctx, address, actorkey.Documents{Client: o.Client, Sign: o.Sign})
}

func fetch(ctx context.Context, address string, from actorkey.Documents) ([]byte, error) {
	a, err := from.Get(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOutside, withoutAddress(err))
	}
	if err := checkFetched(a); err != nil {
		return nil, err
	}
	body := bytes.TrimSpace(a.Body)
	if len(body) == 0 || body[0] != '{' || !json.Valid(body) {
		return nil, fmt.Errorf("%w: it is not a JSON object", errOutside)
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

func checkFetched(a actorkey.Answer) error {
	switch a.Status {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return errNotThere
	default:
		return fmt.Errorf("%w: status %d", errOutside, a.Status)
	}
	media, _, _ := mime.ParseMediaType(a.ContentType)
	if media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json") {
		return nil
	}
	return fmt.Errorf("%w: it is %.80q, not JSON", errOutside, media)
}
