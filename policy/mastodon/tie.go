package mastodon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// tieRewritten is how old a tie on the shelf may grow before it is written again though nothing changed:
// well within the shelf's 90 days.
const tieRewritten = 30 * 24 * time.Hour

// tie is what the instance said about one local person and one actor.
type tie struct {
	At                  time.Time
	Following, Follower bool
	Blocking, Muting    bool
	DomainBlocked       bool
	Limited, Suspended  bool      // by the instance's moderators, this account alone
	Created             time.Time `json:",omitzero"` // when the instance first knew the actor
	isKnown             bool      // the instance knows the actor
}

// tieAnswer is a tie and until when it is not asked for again.
type tieAnswer struct {
	tie   tie
	until time.Time
}

// weighs says whether forgetting the tie would make a difference.
func (t tie) weighs() bool {
	return t.Following || t.Follower || t.Blocking || t.Muting || t.DomainBlocked || t.Suspended || t.Limited
}

// tie asks the instance, or gives its last answer; the zero tie when there never was one.
func (r *Relations) tie(ctx context.Context, account, actor string) tie {
	key := pair{account, actor}
	known, ok := r.ties.GetIfPresent(key)
	if ok && r.clock().Before(known.until) {
		return known.tie
	}
	if !ok {
		known.tie = r.keptTie(ctx, account, actor)
	}
	if r.isRefused() {
		return known.tie
	}
	ctx, cancel := context.WithTimeout(ctx, relationWait)
	defer cancel()
	found, err := once(ctx, r.Instance, "tie "+account+" "+actor, func(ctx context.Context) (tie, error) {
		t, err := r.askTie(ctx, account, actor)
		if err == nil {
			r.learnTie(ctx, key, known.tie, t)
		}
		return t, err
	})
	if err != nil {
		r.noteAway(err)
		r.logRefusal("relationship", err)
		r.ties.Set(key, tieAnswer{known.tie, r.clock().Add(relationRetry)})
		return known.tie
	}
	return found
}

// learnTie remembers a tie; the shelf only what weighs, and only when it changed.
func (r *Relations) learnTie(ctx context.Context, key pair, old, t tie) {
	r.ties.Set(key, tieAnswer{t, t.At.Add(relationFresh)})
	same := old
	same.At, same.isKnown = t.At, t.isKnown
	if same == t && (!t.weighs() || t.At.Sub(old.At) < tieRewritten) {
		return
	}
	var value []byte
	if t.weighs() {
		var err error
		if value, err = json.Marshal(t); err != nil {
			panic("bug: a tie is not JSON: " + err.Error())
		}
	}
	r.keep(ctx, key.account, key.actor, value)
}

func (r *Relations) keptTie(ctx context.Context, account, actor string) tie {
	var t tie
	if value := r.kept(ctx, account, actor); value != nil && json.Unmarshal(value, &t) == nil {
		t.isKnown = true
	}
	return t
}

// relationship is Mastodon's Relationship, as far as it matters.
type relationship struct {
	ID             string `json:"id"`
	Following      bool   `json:"following"`
	FollowedBy     bool   `json:"followed_by"`
	Blocking       bool   `json:"blocking"`
	Muting         bool   `json:"muting"`
	DomainBlocking bool   `json:"domain_blocking"`
}

// askTie asks with the person's own token. An actor whom the instance does not know is nobody to them.
func (r *Relations) askTie(ctx context.Context, account, actor string) (tie, error) {
	token, err := r.token(ctx, account)
	if err != nil {
		return tie{}, fmt.Errorf("no token to ask with: %w", err)
	}
	a, err := r.remote(ctx, actor, token)
	if errors.Is(err, ErrNoPerson) {
		return tie{At: r.clock()}, nil
	}
	if err != nil {
		return tie{}, err
	}
	reply, err := r.upstream.ask(ctx, question{
		path: "/api/v1/accounts/relationships", query: url.Values{"id[]": {a.ID}}, token: token,
	})
	if err != nil {
		return tie{}, err
	}
	if err := r.refusal(account, reply); err != nil {
		return tie{}, err
	}
	var list []relationship
	if err := reply.into(&list); err != nil {
		return tie{}, err
	}
	t := tie{At: r.clock(), Created: a.CreatedAt, Limited: a.Limited, Suspended: a.Suspended, isKnown: true}
	if len(list) == 1 && list[0].ID == a.ID {
		one := list[0]
		t.Following, t.Follower = one.Following, one.FollowedBy
		t.Blocking, t.Muting, t.DomainBlocked = one.Blocking, one.Muting, one.DomainBlocking
	}
	return t, nil
}

// refusal is what 401 and 403 mean: the token is over, or its scopes do not reach.
func (r *Relations) refusal(account string, reply answer) error {
	switch reply.status {
	case http.StatusUnauthorized:
		r.tokens.Invalidate(account)
		return ErrToken
	case http.StatusForbidden:
		return fmt.Errorf("%w: it answers 403", ErrScope)
	}
	return nil
}

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
	name := or(r.options.Name(actor), lastSegment(u.Path))
	if !username.MatchString(name) {
		return account{}, ErrNoPerson
	}
	for _, address := range r.addresses(u, name) {
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

// addresses are what somebody called name may be looked up as.
func (r *Relations) addresses(u *url.URL, name string) []string {
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
	q := question{path: "/api/v1/accounts/lookup", query: url.Values{"acct": {address}}}
	reply, err := r.upstream.ask(ctx, q)
	if err == nil && (reply.status == http.StatusUnauthorized || reply.status == http.StatusForbidden) {
		q.token = token
		reply, err = r.upstream.ask(ctx, q)
	}
	if err != nil {
		return account{}, err
	}
	if reply.gone() || reply.status == http.StatusUnprocessableEntity || reply.status == http.StatusBadRequest {
		return account{}, ErrNoPerson
	}
	var a account
	if err := reply.into(&a); err != nil {
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
