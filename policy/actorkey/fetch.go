package actorkey

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// fetcher gets documents and settles who owns a key.
type fetcher struct{ documents Documents }

func newFetcher(o Options) *fetcher {
	c := *o.Client
	next := c.CheckRedirect
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if !sameOrigin(req.URL, via[0].URL) {
			return fmt.Errorf("%w: redirected from %q to another host, %q", ErrRefused, via[0].URL.Host, req.URL.Host)
		}
		if next != nil {
			return next(req, via)
		}
		return nil
	}
	return &fetcher{Documents{Client: &c, Sign: o.Sign}}
}

// key fetches the document that a key id leads to and, if that is not the
// actor's own, the actor's.
func (f *fetcher) key(ctx context.Context, id string) (Key, error) {
	url, err := documentURL(id)
	if err != nil {
		return Key{}, err
	}
	first, err := f.document(ctx, url.String())
	if err != nil {
		return Key{}, err
	}
	if first.id == url.String() && first.actorLike() {
		return first.owned(id, document{})
	}
	actor := first.claims(id)
	if actor == "" {
		return Key{}, fmt.Errorf("%w: %q names no actor for %q", ErrNoKey, url, id)
	}
	if err := sameHost(actor, id); err != nil {
		return Key{}, err
	}
	own, err := f.document(ctx, actor)
	if err != nil {
		return Key{}, err
	}
	if own.id != actor {
		return Key{}, fmt.Errorf("%w: the document at %q calls itself %q", ErrNoKey, actor, own.id)
	}
	return own.owned(id, first)
}

func (f *fetcher) document(ctx context.Context, url string) (document, error) {
	a, err := f.documents.Get(ctx, url)
	if err != nil {
		return document{}, classify(err)
	}
	if err := checkAnswer(a); err != nil {
		return document{}, err
	}
	return readDocument(a.Body)
}

// checkAnswer sorts statuses and media types.
func checkAnswer(a Answer) error {
	switch code := a.Status; {
	case code == http.StatusOK:
	case code == http.StatusUnauthorized, code == http.StatusForbidden, // it wants to know who asks
		code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		return fmt.Errorf("%w: status %d", ErrUnavailable, code)
	default:
		return fmt.Errorf("%w: status %d", ErrNoKey, code)
	}
	media, _, err := mime.ParseMediaType(a.ContentType)
	if err == nil {
		switch media {
		case "application/activity+json", "application/ld+json", "application/json":
			return nil
		}
	}
	return fmt.Errorf("%w: content type %.80q", ErrNoKey, a.ContentType)
}

// classify tells what can never work from what may work later.
func classify(err error) error {
	if errors.Is(err, ErrRefused) || errors.Is(err, ErrTooLarge) {
		return fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// brief cuts an error short.
func brief(err error) error {
	if err == nil || len(err.Error()) <= maxError {
		return err
	}
	kind := ErrNoKey
	if errors.Is(err, ErrUnavailable) {
		kind = ErrUnavailable
	}
	return fmt.Errorf("%.*s… (%w)", maxError, err, kind)
}

// documentURL is where the document of a key or actor id is: the id without its
// fragment. A host has one spelling, so that what is decided about it holds.
func documentURL(id string) (*url.URL, error) {
	if len(id) > maxKeyID {
		return nil, fmt.Errorf("%w: id of %d bytes", ErrNoKey, len(id))
	}
	u, err := url.Parse(id)
	if err != nil {
		return nil, fmt.Errorf("%w: %.200q is not a URL", ErrNoKey, id)
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.Opaque != "" {
		return nil, fmt.Errorf("%w: %.200q is not an https URL", ErrNoKey, id)
	}
	u.Fragment, u.RawFragment = "", ""
	isOdd := strings.HasSuffix(u.Hostname(), ".") || strings.HasSuffix(u.Host, ":") || strings.HasPrefix(u.Port(), "0")
	if before, _, _ := strings.Cut(id, "#"); isOdd || u.String() != before {
		return nil, fmt.Errorf("%w: %.200q is not written as a URL should be", ErrNoKey, id)
	}
	return u, nil
}

// sameHost refuses ids that would let one host speak for another.
func sameHost(actor, key string) error {
	a, err := documentURL(actor)
	if err != nil {
		return err
	}
	k, err := documentURL(key)
	if err != nil {
		return err
	}
	if !sameOrigin(a, k) {
		return fmt.Errorf("%w: %q claims to be a key of %q, on another host", ErrNoKey, key, actor)
	}
	return nil
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host)
}
