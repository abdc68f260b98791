// Package authority says whose host an id is on. inbox and policy know nothing of one another and must say the same.
package authority

import (
	"net/url"
	"strings"
)

// Of is the authority of an http or https id: host and port as Normal has them. It is "" for every other id, for what is
// no URL, and for a URL with a user in it, who could be taken for the host.
func Of(id string) string {
	u, err := url.Parse(id)
	if err != nil {
		return ""
	}
	return OfURL(u)
}

// OfURL is Of of what was parsed.
func OfURL(u *url.URL) string {
	if (u.Scheme != "https" && u.Scheme != "http") || u.User != nil {
		return ""
	}
	return Normal(u.Host, u.Scheme)
}

// Normal is the host in lower case without the default port of the scheme, which is in lower case (RFC 9421 §2.2.3).
func Normal(host, scheme string) string {
	host = strings.ToLower(host)
	switch scheme {
	case "https":
		return strings.TrimSuffix(host, ":443")
	case "http":
		return strings.TrimSuffix(host, ":80")
	default:
		return host
	}
}
