package edge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Inherited are the listening sockets that whoever started the program opened for it (sd_listen_fds(3)),
// so that a restart refuses nobody. Not safe for concurrent use.
type Inherited struct{ sockets []socket }

type socket struct {
	name string
	net.Listener
}

const firstDescriptor = 3 // SD_LISTEN_FDS_START

var (
	errInherited  = errors.New("inherited sockets (LISTEN_FDS)")
	errNoListener = errors.New("nothing that listens; systemd passes what does with ListenStream= and without Accept=yes")
)

// Inherit takes the sockets that LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES describe for the process pid;
// none when they are not set or meant for another process. lookup is os.LookupEnv. Call it once.
func Inherit(pid int, lookup func(string) (string, bool)) (*Inherited, error) {
	in := &Inherited{}
	count, ok := lookup("LISTEN_FDS")
	if whose, _ := lookup("LISTEN_PID"); !ok || whose != strconv.Itoa(pid) {
		return in, nil
	}
	n, err := strconv.ParseUint(count, 10, 10)
	if err != nil {
		return nil, fmt.Errorf("%w: LISTEN_FDS is %q", errInherited, count)
	}
	listed, _ := lookup("LISTEN_FDNAMES")
	names := strings.Split(listed, ":")
	for i := range int(n) {
		l, err := listenerOf(firstDescriptor + i)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%w: descriptor %d: %w", errInherited, firstDescriptor+i, err), in.Close())
		}
		s := socket{Listener: l}
		if i < len(names) {
			s.name = names[i]
		}
		in.sockets = append(in.sockets, s)
	}
	return in, nil
}

// listenerOf makes a listener of a descriptor, which is closed: the listener has its own.
func listenerOf(fd int) (net.Listener, error) {
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "inherited")
	if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
		return nil, errors.Join(errNoListener, err, f.Close())
	}
	l, err := net.FileListener(f)
	return l, errors.Join(err, f.Close())
}

// Take returns the socket for one configured address: one with that address, or one that has key as its name
// and was not taken yet. False: there is none.
func (in *Inherited) Take(key, address string) (net.Listener, bool) {
	for i, s := range in.sockets {
		if same(s.Addr(), address) {
			return in.take(i), true
		}
	}
	for i, s := range in.sockets {
		if s.name == key {
			return in.take(i), true
		}
	}
	return nil, false
}

// Next returns the first socket not taken, for configured addresses that match none.
func (in *Inherited) Next() (net.Listener, bool) {
	if len(in.sockets) == 0 {
		return nil, false
	}
	return in.take(0), true
}

func (in *Inherited) take(i int) net.Listener {
	l := in.sockets[i].Listener
	in.sockets = append(in.sockets[:i:i], in.sockets[i+1:]...)
	return l
}

// Left returns an error that names the sockets nobody took.
func (in *Inherited) Left() error {
	if len(in.sockets) == 0 {
		return nil
	}
	var left []string
	for _, s := range in.sockets {
		left = append(left, s.Addr().String())
	}
	return fmt.Errorf("%w: no listener is configured for %s (listen)", errInherited, strings.Join(left, ", "))
}

// Close closes what nobody took.
func (in *Inherited) Close() error {
	var errs []error
	for _, s := range in.sockets {
		errs = append(errs, s.Close())
	}
	in.sockets = nil
	return errors.Join(errs...)
}

// same reports whether a is the configured address: host:port or unix:/path.
func same(a net.Addr, address string) bool {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return a.Network() == "unix" && a.String() == path
	}
	host, port, err := net.SplitHostPort(address)
	t, ok := a.(*net.TCPAddr)
	if err != nil || !ok || strconv.Itoa(t.Port) != port {
		return false
	}
	have, want := t.AddrPort().Addr().Unmap(), netip.IPv6Unspecified()
	if host == "localhost" {
		return have.IsLoopback()
	}
	if host != "" {
		if want, err = netip.ParseAddr(host); err != nil {
			return false
		}
	}
	return have == want.Unmap() || have.IsUnspecified() && want.IsUnspecified()
}
