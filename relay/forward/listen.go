package forward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"
	"golang.org/x/sys/unix"
)

// Listen opens host:port or unix:/path. A socket left behind by a program that is gone is replaced; who may
// connect to it is up to the permissions of its directory.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var c net.ListenConfig
	c.SetMultipathTCP(false) // it knows no TCP_USER_TIMEOUT: see LoseSilent
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return c.Listen(ctx, "tcp", address)
	}
	l, err := ListenPrivately(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil { //nolint:gosec // a web server of another user connects
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// ListenPrivately is Listen of a socket to which nobody but its owner can connect, at any moment.
func ListenPrivately(ctx context.Context, path string) (net.Listener, error) {
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	c := net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) (err error) {
		asked := socket.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }) // bind gives the file this mode
		return cmp.Or(asked, err)
	}}
	return c.Listen(ctx, "unix", path)
}

// removeStale removes a socket nobody listens on.
func removeStale(ctx context.Context, path string) error {
	i, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if i.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("listen on %q: it exists and is not a socket", path)
	}
	var d net.Dialer
	if c, err := d.DialContext(ctx, "unix", path); err == nil {
		return errors.Join(fmt.Errorf("listen on %q: somebody listens there", path), c.Close())
	}
	return os.Remove(path)
}

// proxyHeaderTimeout bounds the wait for a PROXY protocol header.
const proxyHeaderTimeout = 5 * time.Second

// ProxyProtocol wraps l: connections from trusted peers must begin with a PROXY protocol header (v1 or v2)
// that names the client; others must not have one, and theirs is read as a request, which it is not.
func ProxyProtocol(l net.Listener, trusted []netip.Prefix) net.Listener {
	return &proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: proxyHeaderTimeout,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			t, ok := o.Upstream.(*net.TCPAddr)
			if !ok || within(t.AddrPort().Addr().Unmap(), trusted) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
	}
}
