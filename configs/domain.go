package configs

import (
	"net"
	"net/netip"
	"strings"
)

// domain checks the host of the actors' ids: a lower-case name with a dot, without scheme, port or path.
// On loopback, for tests and demonstrations, any host with or without a port will do.
func (c *checker) domain() {
	d := c.config.Domain
	if reason := domainProblem(d); reason != "" {
		c.wrong("domain", reason)
	}
}

func domainProblem(d string) string {
	host, port, err := net.SplitHostPort(d)
	if err != nil {
		host = d
	}
	switch {
	case d == "":
		return "is missing: it is the host in your actors' ids (Mastodon: WEB_DOMAIN)"
	case strings.Contains(d, "://"):
		return "begins with a scheme: write the host alone"
	case strings.ContainsAny(d, "/@?# "):
		return "is no host: write the name alone, without path or user"
	case isLoopback(host) && (err != nil || isPort(port)):
		return ""
	case err == nil:
		return "has a port, which only loopback may have"
	case d != strings.ToLower(d):
		return "has upper-case letters: write " + strings.ToLower(d)
	}
	return nameProblem(host)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost") && nameProblem(host) == ""
}

// nameProblem checks a host name: labels of letters, digits and hyphens (RFC 1123 §2.1), at least two.
func nameProblem(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return "is an address: actors need a name"
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		switch {
		case label == "":
			return "has a dot too many"
		case len(label) > 63 || len(host) > 253:
			return "is longer than a host name can be"
		case strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
			return "has letters that host names do not have: write international names as xn--…"
		case strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-"):
			return "has a hyphen at the end of a label"
		}
	}
	if len(labels) < 2 {
		return "has no dot: write the whole name"
	}
	return ""
}
