package mastodon

import (
	"cmp"
	"context"
	"crypto/md5" //nolint:gosec // see snacAccount
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// remoteAnswer is what the instance calls an actor; without an id it does not know them.
type remoteAnswer struct {
	account account
	at      time.Time
}

// remote is an actor as the instance knows them: by their name at their host, or at the domain above it,
// where WEB_DOMAIN and LOCAL_DOMAIN differ. ErrNoPerson when it does not.
func (r *Relations) remote(ctx context.Context, actor, token string) (account, error) {
	if known, ok := r.remotes.GetIfPresent(actor); ok && r.clock().Sub(known.at) < relationFresh {
		return known.account, known.result()
	}
	a, err := r.findRemote(ctx, actor, token)
	if err != nil && !errors.Is(err, ErrNoPerson) {
		return account{}, err
	}
	r.remotes.Set(actor, remoteAnswer{a, r.clock()})
	return a, err
}

func (a remoteAnswer) result() error {
	if a.account.ID == "" {
		return ErrNoPerson
	}
	return nil
}

func (r *Relations) findRemote(ctx context.Context, actor, token string) (account, error) {
	u, err := url.Parse(actor)
	if err != nil {
		return account{}, ErrNoPerson
	}
	software, err := r.softwareName(ctx)
	if err != nil {
		return account{}, err
	}
	if software == SoftwareSnac {
		return r.snacAccount(ctx, actor, token)
	}
	for _, address := range r.addresses(u, actor) {
		a, err := r.lookupRemote(ctx, address, token)
		if err == nil && (a.URI == actor || a.URI == "" && (a.URL == actor || strings.EqualFold(a.Acct, address))) {
			return a, nil
		}
		if err != nil && !errors.Is(err, ErrNoPerson) {
			return account{}, err
		}
	}
	return account{}, ErrNoPerson
}

// snacAccount: snac looks up its own people only, but calls everybody by the MD5 of their id.
func (r *Relations) snacAccount(ctx context.Context, actor, token string) (account, error) {
	sum := md5.Sum([]byte(actor)) //nolint:gosec // a name that snac gives; it protects nothing
	var a account
	err := r.askOne(ctx, "", question{path: "/api/v1/accounts/" + hex.EncodeToString(sum[:]), token: token}, &a)
	if errors.Is(err, errNotHere) || err == nil && a.URI != actor {
		return account{}, ErrNoPerson
	}
	return a, err
}

// addresses are what an actor may be looked up as.
func (r *Relations) addresses(u *url.URL, actor string) []string {
	name := cmp.Or(r.options.Name(actor), lastSegment(u.Path))
	if !username.MatchString(name) {
		return nil
	}
	if r.local(u) {
		return []string{name}
	}
	host := strings.ToLower(u.Host)
	list := []string{name + "@" + host}
	if _, above, ok := strings.Cut(host, "."); ok && strings.Contains(above, ".") && strings.Trim(host, "0123456789.:") != "" {
		list = append(list, name+"@"+above)
	}
	return list
}

// lookupRemote asks without a token, as anybody may on Mastodon, and with it where that is not enough
// (GoToSocial, an instance of limited federation).
func (r *Relations) lookupRemote(ctx context.Context, address, token string) (account, error) {
	reply, err := r.upstream.askOpenly(ctx, question{path: "/api/v1/accounts/lookup", query: url.Values{"acct": {address}}, token: token})
	if err != nil {
		return account{}, err
	}
	if reply.nobody() {
		return account{}, ErrNoPerson
	}
	var a account
	if err := r.decode("", reply, &a); err != nil {
		return account{}, fmt.Errorf("look up an account: %w", err)
	}
	if a.ID == "" {
		return account{}, ErrNoPerson
	}
	return a, nil
}

func lastSegment(path string) string {
	path = strings.TrimSuffix(path, "/")
	return strings.TrimPrefix(path[strings.LastIndexByte(path, '/')+1:], "@")
}
