package configs

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

var (
	errAddress  = errors.New("is no address to listen on: write host:port or unix:/path")
	errUpstream = errors.New("is no upstream: write http://host:port without a path, or unix:/path")
	errTLSHop   = errors.New("would be TLS on the way to the instance, which is not supported: write http:// or unix:/path")
	errPrefix   = errors.New("is no network: write an address, or a network as 10.0.0.0/8")
	errHostBits = errors.New("has bits set beyond its length: write")
	errSocket   = errors.New("is longer than 107 bytes, which no unix socket's path may be")
)

// maxSocketPath is what fits into a sockaddr_un with the byte that ends it.
const maxSocketPath = 107

// Address is where to listen: host:port or unix:/path. The host may be empty, the port 0.
type Address string

// Split returns what net.Listen takes: "tcp" or "unix", and the address.
func (a Address) Split() (network, address string) {
	if path, ok := strings.CutPrefix(string(a), "unix:"); ok {
		return "unix", path
	}
	return "tcp", string(a)
}

// UnmarshalText reads an address and checks its form.
func (a *Address) UnmarshalText(b []byte) error {
	if err := Address(b).check(); err != nil {
		return err
	}
	*a = Address(b)
	return nil
}

func (a Address) check() error {
	network, address := a.Split()
	switch {
	case network == "unix" && address == "":
		return errAddress
	case len(address) > maxSocketPath && network == "unix":
		return errSocket
	case network == "unix":
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || !isPort(port) || strings.ContainsAny(host, "/ ") {
		return errAddress
	}
	return nil
}

// answers tells whether a request to the upstream would come back to a listener at a.
func (a Address) answers(upstream string) bool {
	network, address := a.Split()
	if network == "unix" {
		return upstream == string(a)
	}
	u, err := url.Parse(upstream)
	if err != nil {
		return false
	}
	own, port, _ := net.SplitHostPort(strings.Replace(address, "localhost:", "127.0.0.1:", 1))
	to := strings.Replace(u.Hostname(), "localhost", "127.0.0.1", 1)
	every := own == "" || own == "0.0.0.0" || own == "::"
	return port == cmp.Or(u.Port(), "80") && (own == to || every && isLoopback(to))
}

func (a Address) in(dir string) Address {
	return Address(unixIn(string(a), dir))
}

// unixIn takes the relative path of a unix: address from dir.
func unixIn(s, dir string) string {
	path, ok := strings.CutPrefix(s, "unix:")
	if !ok || path == "" || strings.HasPrefix(path, "@") || filepath.IsAbs(path) {
		return s
	}
	return "unix:" + filepath.Join(dir, path)
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}

// checkUpstream checks http://host[:port] and unix:/path.
func checkUpstream(s string) error {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return errUpstream
		}
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return errUpstream
	case u.Scheme == "https":
		return errTLSHop
	case u.Scheme != "http" || u.Hostname() == "" || u.Host != s[len("http://"):]:
		return errUpstream
	case strings.HasSuffix(u.Host, ":") || u.Port() != "" && !isPort(u.Port()):
		return errUpstream
	}
	return nil
}

// parsePrefix reads a network, or one address as a network of its own.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errPrefix
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%w %v", errHostBits, p.Masked())
	}
	return p, nil
}
