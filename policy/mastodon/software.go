package mastodon

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// softwareName is what `upstream.software` says, or with auto what nodeinfo
// said, asked until it answers.
func (i *Instance) softwareName(ctx context.Context) (string, error) {
	if s := i.software.Load(); s != nil {
		return *s, nil
	}
	found, err := once(ctx, i, "software", i.Software)
	if err != nil {
		return "", fmt.Errorf("find out upstream.software: %w", err)
	}
	known := known(found)
	if i.software.CompareAndSwap(nil, &known) {
		i.log.Info("the upstream's software was detected", "software", known, "nodeinfo", fmt.Sprintf("%.64q", found))
	}
	return known, nil
}

// known maps a nodeinfo name to what this package can speak. Mastodon's rules
// are the strictest (scopes must be shown), so they hold for the unknown.
func known(nodeinfo string) string {
	switch strings.ToLower(nodeinfo) {
	case "snac", "snac2":
		return SoftwareSnac
	case "gotosocial":
		return SoftwareGoToSocial
	default:
		return SoftwareMastodon
	}
}

// Software asks the instance what it calls itself (nodeinfo), following the one link of the well-known document
// only to our own host. ErrUnavailable when it does not answer.
func (i *Instance) Software(ctx context.Context) (string, error) {
	reply, err := i.upstream.ask(ctx, question{path: "/.well-known/nodeinfo"})
	if err != nil {
		return "", err
	}
	var known struct {
		Links []struct {
			Rel  string `json:"rel"`
			Href string `json:"href"`
		} `json:"links"`
	}
	if err := reply.into(&known); err != nil {
		return "", err
	}
	for _, l := range known.Links {
		u, err := url.Parse(l.Href)
		if err != nil || !strings.Contains(l.Rel, "nodeinfo.diaspora.software/ns/schema/") {
			continue
		}
		return i.softwareAt(ctx, u)
	}
	return "", fmt.Errorf("%w: its nodeinfo has no link: set upstream.software", ErrUnavailable)
}

func (i *Instance) softwareAt(ctx context.Context, u *url.URL) (string, error) {
	reply, err := i.upstream.ask(ctx, question{path: u.EscapedPath(), query: u.Query()})
	if err != nil {
		return "", err
	}
	var info struct {
		Software struct {
			Name string `json:"name"`
		} `json:"software"`
	}
	if err := reply.into(&info); err != nil {
		return "", err
	}
	return info.Software.Name, nil
}
