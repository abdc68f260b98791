package instance

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// firstAccount is a snowflake as Mastodon hands them out.
const firstAccount = 115390000000000001

// Person is an account of the instance with the key that signs for it.
type Person struct {
	Account string // Account is the numeric id as the API prints it.
	Name    string // Name is the username, without host.
	Actor   string // Actor is the id of the actor document.
	KeyID   string // KeyID names Key in signatures.
	Key     *rsa.PrivateKey

	public string // PEM
	user   int    // what /oauth/token/info calls resource_owner_id

	role           Role
	ties           []tied // oldest first
	blockedDomains []string
	notify         map[string]string
	notices        []Notice // oldest first
	requests       []*Remote
}

// Inbox returns the person's own inbox.
func (p *Person) Inbox() string { return p.Actor + "/inbox" }

// grant is what a token allows.
type grant struct {
	person *Person
	scopes []string
}

// AddPerson opens an account with a fresh RSA-2048 key.
func (i *Instance) AddPerson(name string) (*Person, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make a key for %q: %w", name, err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encode the key of %q: %w", name, err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.find(name) != nil {
		return nil, fmt.Errorf("add %q: the name is taken", name)
	}
	p := &Person{Name: name, Key: key, user: len(i.people) + 1}
	p.Account = strconv.Itoa(firstAccount + len(i.people))
	p.public = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	p.Actor = i.options.Origin + "/users/" + name
	if i.options.IDs == Numeric {
		p.Actor = i.options.Origin + "/ap/users/" + p.Account
	}
	p.KeyID = p.Actor + "#main-key"
	i.people = append(i.people, p)
	return p, nil
}

// Token hands out an access token of p with scopes ("read", "write"). Like
// Mastodon's it never expires.
func (i *Instance) Token(p *Person, scopes ...string) string {
	token := rand.Text()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tokens[token] = grant{person: p, scopes: slices.Clone(scopes)}
	return token
}

// Revoke makes token worthless.
func (i *Instance) Revoke(token string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.tokens, token)
}

// find returns who is called name or has that account id, or nil. The caller
// holds the lock. Names are case-insensitive, as on Mastodon.
func (i *Instance) find(name string) *Person {
	for _, p := range i.people {
		if strings.EqualFold(p.Name, name) || p.Account == name {
			return p
		}
	}
	return nil
}

func (i *Instance) person(name string) *Person {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.find(name)
}

func (i *Instance) grant(token string) (grant, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	g, ok := i.tokens[token]
	return g, ok
}
