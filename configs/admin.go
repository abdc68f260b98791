package configs

import (
	"net/url"
	"strings"
)

// admin checks how the operator reaches the gateway.
func (c *checker) admin() {
	a := c.config.Admin
	switch {
	case a.Socket == "":
		c.wrong("admin.socket", "is missing: the commands reach the running gateway through it")
	case len(a.Socket) > maxSocketPath:
		c.wrong("admin.socket", errSocket.Error())
	}
	if a.URL != "" && !isOrigin(a.URL) {
		c.wrong("admin.url", "is no address of a page: write https://host, without a path")
	}
}

// isOrigin tells whether s is http(s)://host[:port] and nothing else but a slash.
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && strings.TrimSuffix(s, "/") == u.Scheme+"://"+u.Host
}
