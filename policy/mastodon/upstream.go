package mastodon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// What is read of one answer at most. Mastodon's largest but one, an account with a long biography, is a
// few KiB; its public list of domain blocks comes in one piece.
const (
	maxAnswer     = 1 << 20
	maxListAnswer = 32 << 20
)

// upstream asks the instance over its internal address, as the public front
// would: Rails answers 403 to an unknown Host and redirects what is not https.
type upstream struct {
	client *http.Client
	base   string // http://host:port, or http://unix for a socket
	domain string
}

// question is one request: a GET, or with a form a POST. All but path may be empty.
type question struct {
	path   string
	query  url.Values
	token  string
	accept string                    // "": JSON
	most   int64                     // bytes of the answer; at least maxAnswer
	form   url.Values                // nil: a GET
	sign   func(*http.Request) error // nil: unsigned
}

// answer is status and body of one reply, whatever the status. next is the query of the page that
// follows (RFC 8288), nil on the last.
type answer struct {
	status int
	body   []byte
	next   url.Values
}

func newUpstream(web, domain string) (*upstream, error) {
	if domain == "" {
		return nil, fmt.Errorf("mastodon: domain is empty: set it to the host in your actors' ids")
	}
	dialer := &net.Dialer{Timeout: askTimeout}
	transport := &http.Transport{
		DialContext:         dialer.DialContext,
		MaxConnsPerHost:     32,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     15 * time.Second, // Puma closes idle connections after 20 s
	}
	base := strings.TrimSuffix(web, "/")
	if path, isSocket := strings.CutPrefix(web, "unix:"); isSocket {
		base = "http://unix"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
	} else if u, err := url.Parse(web); err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("mastodon: upstream.web is %q: use http://127.0.0.1:3000 or unix:/path", web)
	}
	return &upstream{
		base:   base,
		domain: domain,
		client: &http.Client{
			Transport: transport,
			Timeout:   askTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse // never carry a token elsewhere
			},
		},
	}, nil
}

// ask sends one question. Its error is ErrUnavailable: no answer was had.
func (u *upstream) ask(ctx context.Context, q question) (answer, error) {
	req, err := u.request(ctx, q)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return u.send(req, max(q.most, maxAnswer))
}

// askOpenly asks q as nobody, and as q has it, with a token or signed, where the instance wants to know who asks.
func (u *upstream) askOpenly(ctx context.Context, q question) (answer, error) {
	open := q
	open.token, open.sign = "", nil
	reply, err := u.ask(ctx, open)
	if err == nil && reply.refused() && (q.token != "" || q.sign != nil) {
		reply, err = u.ask(ctx, q)
	}
	return reply, err
}

func (u *upstream) request(ctx context.Context, q question) (*http.Request, error) {
	method, target := http.MethodGet, u.base+q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	var body io.Reader = http.NoBody
	if q.form != nil {
		method, body = http.MethodPost, strings.NewReader(q.form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	req.Host = u.domain
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("User-Agent", "Sealgate")
	req.Header.Set("Accept", cmp.Or(q.accept, "application/json"))
	if q.form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	switch {
	case q.token != "":
		req.Header.Set("Authorization", "Bearer "+q.token)
	case q.form != nil:
		// What is posted without a token can be posted twice. This says so to net/http, and is not sent: it goes on a
		// fresh connection when the instance has closed the kept one without a word, as snac does.
		req.Header["Idempotency-Key"] = []string{}
	}
	if q.sign != nil {
		err = q.sign(req)
	}
	return req, err
}

func (u *upstream) send(req *http.Request, most int64) (answer, error) {
	res, err := u.client.Do(req)
	if asked, ok := errors.AsType[*url.Error](err); ok {
		err = asked.Err // without the URL, which may name people
	}
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if int64(len(body)) > most {
		return answer{}, fmt.Errorf("%w: its answer is over %d MiB", ErrUnavailable, most>>20)
	}
	return answer{status: res.StatusCode, body: body, next: nextPage(res.Header)}, nil
}

// into decodes a 200. Any other status, or what is not JSON, is ErrUnavailable:
// the instance is there but says nothing that can be used.
func (a answer) into(v any) error {
	if a.status != http.StatusOK {
		return fmt.Errorf("%w: it answers %d", ErrUnavailable, a.status)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("%w: its answer is not the JSON expected: %w", ErrUnavailable, err)
	}
	return nil
}

// gone tells whether the instance said that what was asked for does not exist.
func (a answer) gone() bool {
	return a.status == http.StatusNotFound || a.status == http.StatusGone
}

// nobody tells whether the instance said that nobody has the name asked for, or that it is no name.
func (a answer) nobody() bool {
	return a.gone() || a.status == http.StatusBadRequest || a.status == http.StatusUnprocessableEntity
}

// refused tells whether the instance wants to know who asks, or does not like who does.
func (a answer) refused() bool {
	return a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
}

// pages asks for a list page by page, at most so many of them, and gives each to do; isAll says whether
// there was no more. Of the link to the next page only the query counts: path and host stay ours.
func (u *upstream) pages(ctx context.Context, q question, most int, do func(answer) error) (isAll bool, err error) {
	for range most {
		reply, err := u.ask(ctx, q)
		if err != nil {
			return false, err
		}
		if err := do(reply); err != nil {
			return false, err
		}
		if reply.next == nil || reply.next.Encode() == q.query.Encode() {
			return true, nil
		}
		q.query = reply.next
	}
	return false, nil
}

// nextPage is the query of the link with rel="next".
func nextPage(h http.Header) url.Values {
	for link := range strings.SplitSeq(strings.Join(h.Values("Link"), ","), ",") {
		target, parameters, _ := strings.Cut(link, ";")
		if !strings.Contains(parameters, `rel="next"`) {
			continue
		}
		u, err := url.Parse(strings.Trim(strings.TrimSpace(target), "<>"))
		if err == nil && u.RawQuery != "" {
			return u.Query()
		}
	}
	return nil
}
