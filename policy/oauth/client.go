package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

const (
	maxURL       = 512
	maxName      = 80
	maxRedirects = 32
)

// Client is an application that names itself by a URL. Host is the one thing it cannot lie about;
// Name is what it says of itself.
type Client struct {
	ID        string
	Host      string
	Name      string   `json:",omitempty"`
	Redirects []string `json:",omitempty"`
}

type knownClient struct {
	client Client
	at     time.Time
}

// IsClient tells whether a client id is a URL, and so ours to answer.
func IsClient(id string) bool {
	return hasPrefixFold(id, "https://") || hasPrefixFold(id, "http://")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// client fetches a client's document, or remembers it for five minutes, and checks that it is the
// client's own. Errors are ErrClient.
func (s *Server) client(ctx context.Context, id string) (Client, error) {
	if id == s.session() {
		return s.ownPage(), nil
	}
	if known, ok := s.clients.GetIfPresent(id); ok && s.clock().Sub(known.at) < clientFresh {
		return known.client, nil
	}
	u, err := s.clientURL(id)
	if err != nil {
		return Client{}, fmt.Errorf("%w: %w", ErrClient, err)
	}
	body, err := s.fetch(ctx, id)
	if err != nil {
		return Client{}, fmt.Errorf("%w: its document at %q cannot be fetched: %w", ErrClient, id, err)
	}
	c, err := readClient(id, body)
	if err != nil {
		return Client{}, fmt.Errorf("%w: its document at %q: %w", ErrClient, id, err)
	}
	c.Host = strings.ToLower(u.Host)
	s.clients.Set(id, knownClient{c, s.clock()})
	return c, nil
}

// clientURL is the rule for client ids of the Client ID Metadata Document draft, §3: https, a path,
// no dot segments, no fragment, no user.
func (s *Server) clientURL(id string) (*url.URL, error) {
	if len(id) > maxURL {
		return nil, fmt.Errorf("client_id of %d bytes is over %d", len(id), maxURL)
	}
	u, err := url.Parse(id)
	if err != nil || u.String() != id || !isASCII(id) {
		return nil, fmt.Errorf("client_id %q is not written as a URL should be", id)
	}
	isPlain := u.Scheme == "http" && s.plain
	if (u.Scheme != "https" && !isPlain) || u.Host == "" || u.User != nil || strings.Contains(id, "#") {
		return nil, fmt.Errorf("client_id %q is not an https URL without user and fragment", id)
	}
	segments := strings.Split(u.EscapedPath(), "/")
	if u.Path == "" || slices.Contains(segments, ".") || slices.Contains(segments, "..") {
		return nil, fmt.Errorf("client_id %q needs a path, without dot segments", id)
	}
	return u, nil
}

// clientDocument reads both kinds of documents, which share no member: a Client ID Metadata Document names
// itself client_id, an actor of FEP-d8c2 id.
type clientDocument struct {
	ClientID     string `json:"client_id"`
	ClientName   string `json:"client_name"`
	RedirectURIs texts  `json:"redirect_uris"`
	AuthMethod   string `json:"token_endpoint_auth_method"`
	Secret       any    `json:"client_secret"`

	ID          string `json:"id"`
	Name        string `json:"name"`
	RedirectURI texts  `json:"redirectURI"`
}

// texts are a string or a list of them.
type texts []string

// UnmarshalJSON takes both forms.
func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

func readClient(id string, body []byte) (Client, error) {
	var d clientDocument
	if err := json.Unmarshal(body, &d); err != nil {
		return Client{}, fmt.Errorf("not a client's: %w", err)
	}
	self, name, redirects := d.ClientID, d.ClientName, d.RedirectURIs
	if self == "" {
		self, name, redirects = d.ID, d.Name, d.RedirectURI
	}
	switch {
	case self != id:
		return Client{}, fmt.Errorf("it calls itself %q", self)
	case d.AuthMethod != "" && d.AuthMethod != "none" || d.Secret != nil:
		return Client{}, errors.New("only public clients can sign in here (token_endpoint_auth_method none)")
	case len(redirects) == 0 || len(redirects) > maxRedirects:
		return Client{}, fmt.Errorf("it has %d redirect addresses (redirect_uris, or redirectURI)", len(redirects))
	}
	for _, r := range redirects {
		if err := checkRedirect(r); err != nil {
			return Client{}, err
		}
	}
	return Client{ID: id, Name: plainName(name), Redirects: redirects}, nil
}

// checkRedirect admits https, http on loopback (RFC 8252 §7.3), and private-use schemes, which have
// a dot (§7.1). Everything else, such as javascript:, could run where it was sent.
func checkRedirect(r string) error {
	u, err := url.Parse(r)
	if err != nil || len(r) > maxURL || !isASCII(r) || strings.ContainsAny(r, "#\\\"'<>") || strings.ContainsAny(u.Host, ";,*") {
		return fmt.Errorf("redirect address %q is not a URL without fragment", r)
	}
	switch {
	case u.User != nil:
	case u.Scheme == "https" && u.Hostname() != "":
		return nil
	case u.Scheme == "http" && isLoopback(u):
		return nil
	case strings.Contains(u.Scheme, "."):
		return nil
	}
	return fmt.Errorf("redirect address %q is neither https, nor http on loopback, nor a scheme with a dot", r)
}

func isLoopback(u *url.URL) bool {
	a, err := netip.ParseAddr(u.Hostname())
	return err == nil && a.IsLoopback() || u.Hostname() == "localhost"
}

// allows is the exact match of OAuth 2.1 §2.3.1; only the port of a loopback address is free.
func (c Client) allows(redirect string) bool {
	if slices.Contains(c.Redirects, redirect) {
		return true
	}
	asked, err := url.Parse(redirect)
	if err != nil || checkRedirect(redirect) != nil || asked.Scheme != "http" {
		return false
	}
	return slices.ContainsFunc(c.Redirects, func(known string) bool {
		k, err := url.Parse(known)
		return err == nil && k.Scheme == "http" && isLoopback(k) && withoutPort(k, known) == withoutPort(asked, redirect)
	})
}

// withoutPort is the text of a URL with its port cut out; all else stays as written.
func withoutPort(u *url.URL, text string) string {
	rest := strings.TrimPrefix(text, u.Scheme+"://"+u.Host)
	if rest == text {
		return text
	}
	return u.Scheme + "://" + u.Hostname() + " " + rest
}

// plainName is a name that can be shown beside a host: printable, on one line, short, and without
// the characters that turn text around.
func plainName(name string) string {
	name = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' || r == '\t' {
			return r
		}
		return -1
	}, name)), " ")
	if letters := []rune(name); len(letters) > maxName {
		name = string(letters[:maxName]) + "…"
	}
	return name
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
