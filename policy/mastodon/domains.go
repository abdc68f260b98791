package mastodon

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"time"
)

const (
	maxDomains     = 100_000 // of the instance's lists together: 1.6 MB
	maxDomainPages = 250     // an admin's token may ask 300 times in five minutes
	domainsWait    = 3 * time.Minute
)

// severity is what the instance does to a domain.
type severity string

const (
	untouched severity = ""
	silenced  severity = "silence"
	suspended severity = "suspend"
)

// domains is what the instance said of other servers. A block holds for every domain below it, unless
// one that is closer is allowed.
type domains struct {
	At                           time.Time
	Suspended, Silenced, Allowed marks
	OnlyAllowed                  bool // limited federation: who is not allowed is suspended
}

// of says what the instance does to a domain. The nil domains know nothing.
func (d *domains) of(domain string) severity {
	if d == nil {
		return untouched
	}
	for part := domain; part != ""; _, part, _ = strings.Cut(part, ".") {
		switch m := markOf(part); {
		case d.Allowed.has(m):
			return untouched
		case d.Suspended.has(m):
			return suspended
		case d.Silenced.has(m):
			return silenced
		}
	}
	if d.OnlyAllowed {
		return suspended
	}
	return untouched
}

// refreshDomains asks which domains the instance blocks, and says when to ask again.
func (r *Relations) refreshDomains(ctx context.Context) time.Duration {
	old := r.domains.Load()
	if old == nil {
		old = r.keptDomains(ctx)
		r.domains.Store(old)
	}
	ctx, cancel := context.WithTimeout(ctx, domainsWait)
	defer cancel()
	next, err := r.askDomains(ctx)
	r.noteUnread(err)
	if err != nil {
		return relationRetry
	}
	next.At = r.clock()
	r.domains.Store(next)
	if !next.same(old) {
		r.keepDomains(ctx, next)
	}
	return relationFresh
}

// noteUnread says when the domains begin to be unreadable, and when that ends.
func (r *Relations) noteUnread(err error) {
	switch {
	case err != nil && !r.isUnread:
		r.log.Warn("the instance's domain blocks cannot be read: the last known hold", "error", err)
	case err == nil && r.isUnread:
		r.log.Info("the instance's domain blocks can be read again")
	}
	r.isUnread = err != nil
}

// same is false, too, for what has not been written for a day.
func (d *domains) same(old *domains) bool {
	return old != nil && d.At.Sub(old.At) < selfRewrite && bytes.Equal(d.Suspended, old.Suspended) &&
		bytes.Equal(d.Silenced, old.Silenced) && bytes.Equal(d.Allowed, old.Allowed) && d.OnlyAllowed == old.OnlyAllowed
}

// askDomains asks with the admin's token where there is one, else for the list that everybody may see. An
// instance that shows none has none to inherit.
func (r *Relations) askDomains(ctx context.Context) (*domains, error) {
	token, err := r.options.AdminToken()
	if err != nil {
		return nil, err
	}
	g := gathered{left: maxDomains}
	defer r.noteTooMany(&g)
	if token == "" {
		err = r.gather(ctx, question{path: "/api/v1/instance/domain_blocks", most: maxListAnswer}, &g)
		if errors.Is(err, errNotHere) || errors.Is(err, ErrToken) {
			err = nil // hidden by the admin, or not a feature
		}
		return g.domains(), err
	}
	if err := r.gather(ctx, question{path: "/api/v1/admin/domain_blocks", query: url.Values{"limit": {"200"}}, token: token}, &g); err != nil {
		return nil, err
	}
	g.isAllow = true
	err = r.gather(ctx, question{path: "/api/v1/admin/domain_allows", query: url.Values{"limit": {"200"}}, token: token}, &g)
	if err != nil && !errors.Is(err, errNotHere) {
		return nil, err
	}
	d := g.domains()
	d.OnlyAllowed, err = r.isLimitedFederation(ctx)
	return d, err
}

// isLimitedFederation is Mastodon's LIMITED_FEDERATION_MODE, which later versions tell.
func (r *Relations) isLimitedFederation(ctx context.Context) (bool, error) {
	var about struct {
		Configuration struct {
			LimitedFederation bool `json:"limited_federation"`
		} `json:"configuration"`
	}
	err := r.askOne(ctx, "", question{path: "/api/v2/instance"}, &about)
	if errors.Is(err, errNotHere) || errors.Is(err, ErrToken) {
		return false, nil
	}
	return about.Configuration.LimitedFederation, err
}

// gathered collects the instance's lists.
type gathered struct {
	suspended, silenced, allowed []mark
	left                         int
	isAllow, isCut               bool // isCut: there were more than we take
}

func (r *Relations) noteTooMany(g *gathered) {
	if g.isCut {
		r.log.Warn("the instance blocks more domains than are taken over: the newest count", "taken", maxDomains-g.left)
	}
}

func (g *gathered) domains() *domains {
	return &domains{
		Suspended: newMarks(g.suspended, maxDomains), Silenced: newMarks(g.silenced, maxDomains), Allowed: newMarks(g.allowed, maxDomains),
	}
}

// domainBlock is Mastodon's DomainBlock and Admin::DomainBlock. The public list hides letters of a name and
// gives its SHA-256; GoToSocial's has no severity and always suspends.
type domainBlock struct {
	Domain   string `json:"domain"`
	Digest   string `json:"digest"`
	Severity string `json:"severity"`
}

func (b domainBlock) mark() (mark, bool) {
	if !strings.Contains(b.Domain, "*") {
		return markOfHost(b.Domain), b.Domain != ""
	}
	digest, err := hex.DecodeString(b.Digest)
	if err != nil || len(digest) != 32 {
		return mark{}, false
	}
	return mark(digest[:16]), true
}

func (r *Relations) gather(ctx context.Context, q question, g *gathered) error {
	isAll, err := r.upstream.pages(ctx, q, maxDomainPages, func(reply answer) error {
		var list []domainBlock
		if err := r.decode("", reply, &list); err != nil {
			return err
		}
		for _, b := range list {
			g.add(b)
		}
		return nil
	})
	g.isCut = g.isCut || err == nil && !isAll
	return err
}

func (g *gathered) add(b domainBlock) {
	m, ok := b.mark()
	if !ok {
		return
	}
	if g.left == 0 {
		g.isCut = true
		return
	}
	switch {
	case g.isAllow:
		g.allowed = append(g.allowed, m)
	case b.Severity == "suspend" || b.Severity == "":
		g.suspended = append(g.suspended, m)
	case b.Severity == "silence":
		g.silenced = append(g.silenced, m)
	default: // noop: media and reports only
		return
	}
	g.left--
}
