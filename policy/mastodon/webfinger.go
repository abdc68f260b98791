package mastodon

import (
	"context"
	"net/url"
	"strings"
)

// finger is a WebFinger answer (RFC 7033 §4.4), as far as it matters here.
type finger struct {
	Subject string `json:"subject"`
	Links   []struct {
		Rel  string `json:"rel"`
		Type string `json:"type"`
		Href string `json:"href"`
	} `json:"links"`
}

// webFinger asks for a resource. ErrNoPerson when the instance has none.
func (i *Instance) webFinger(ctx context.Context, resource string) (finger, error) {
	reply, err := i.upstream.ask(ctx, question{
		path:  "/.well-known/webfinger",
		query: url.Values{"resource": {resource}},
	})
	if err != nil {
		return finger{}, err
	}
	if reply.nobody() {
		return finger{}, ErrNoPerson
	}
	var f finger
	err = reply.into(&f)
	return f, err
}

// webFingerActor gives the id of the actor with this name.
func (i *Instance) webFingerActor(ctx context.Context, name string) (string, error) {
	f, err := i.webFinger(ctx, "acct:"+name+"@"+i.domain)
	if err != nil {
		return "", err
	}
	for _, l := range f.Links {
		isActivity := strings.HasPrefix(l.Type, activityJSON) || strings.HasPrefix(l.Type, "application/ld+json")
		if u, err := url.Parse(l.Href); l.Rel == "self" && isActivity && err == nil && i.local(u) {
			return l.Href, nil
		}
	}
	return "", ErrNoPerson
}

// webFingerName gives the lower-case name behind any URL that WebFinger knows.
func (i *Instance) webFingerName(ctx context.Context, page string) (string, error) {
	f, err := i.webFinger(ctx, page)
	if err != nil {
		return "", err
	}
	account, isAcct := strings.CutPrefix(f.Subject, "acct:")
	name, _, _ := strings.Cut(account, "@") // the domain may be LOCAL_DOMAIN rather than ours
	if !isAcct || !username.MatchString(name) {
		return "", ErrNoPerson
	}
	return strings.ToLower(name), nil
}
