package forward

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"unsafe"

	"github.com/valyala/fasthttp"
)

// via is the connection a request came on: who is at its other end and whether to believe them.
type via struct {
	peer    netip.Addr // invalid on unix sockets
	trusted bool
	proxies []netip.Prefix // the trusted ones
	proto   string         // http or https
	lines   []byte         // the forwarded headers of a request that brought none
}

func newVia(c net.Conn, trusted []netip.Prefix) *via {
	v := &via{proto: "http", proxies: trusted}
	if _, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
		v.proto = "https"
	}
	if t, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		v.peer = t.AddrPort().Addr().Unmap().WithZone("")
	}
	v.trusted = !v.peer.IsValid() || within(v.peer, trusted)
	if v.peer.IsValid() {
		v.lines = v.appendFor(v.lines)
		v.lines = v.appendProto(v.lines)
		v.lines = v.appendReal(v.lines, v.peer)
	}
	return v
}

func (v *via) appendFor(dst []byte) []byte {
	return append(v.peer.AppendTo(append(dst, "X-Forwarded-For: "...)), '\r', '\n')
}

func (v *via) appendProto(dst []byte) []byte {
	return append(append(append(dst, "X-Forwarded-Proto: "...), v.proto...), '\r', '\n')
}

func (v *via) appendReal(dst []byte, a netip.Addr) []byte {
	return append(a.AppendTo(append(dst, "X-Real-IP: "...)), '\r', '\n')
}

func within(a netip.Addr, networks []netip.Prefix) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// client returns the address of who sent h: the peer, or the nearest address in X-Forwarded-For that no
// trusted proxy has. On a unix socket without that header nobody is known and it is invalid.
func (v *via) client(h *head) netip.Addr {
	found := v.peer
	if !v.trusted {
		return found
	}
	for i := len(h.fields) - 1; i >= 0; i-- {
		if h.fields[i].kind != forwardedFor {
			continue
		}
		list := h.val(&h.fields[i])
		for len(list) > 0 {
			var last []byte
			list, last = cutLast(list)
			a, ok := parseHop(last)
			if !ok {
				return found
			}
			if found = a; !within(a, v.proxies) {
				return found
			}
		}
	}
	return found
}

// cutLast splits off the last element of a comma-separated list.
func cutLast(list []byte) (rest, last []byte) {
	for i, l := range slices.Backward(list) {
		if l == ',' {
			return list[:i], trim(list[i+1:])
		}
	}
	return nil, trim(list)
}

// parseHop reads an address, with or without a port.
func parseHop(b []byte) (netip.Addr, bool) {
	s := unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // nothing keeps it: a zone is copied, an error dropped
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	p, err := netip.ParseAddrPort(s)
	return p.Addr().Unmap().WithZone(""), err == nil
}

// addressed is a connection made by Server.
type addressed interface{ clientAddr() netip.Addr }

// ClientAddr returns the address of the client of ctx, behind trusted proxies the one they name. It is
// invalid when ctx came over a unix socket and no proxy named anybody.
func ClientAddr(ctx *fasthttp.RequestCtx) netip.Addr {
	if c, ok := ctx.Conn().(addressed); ok {
		return c.clientAddr()
	}
	return netip.Addr{}
}
