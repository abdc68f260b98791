package forward

import (
	"io"
	"net"
	"sync"
)

// switchOver passes a 101 on and tunnels both directions until both have ended.
func (h *hop) switchOver(hd *head) error {
	h.status = hd.status
	if err := h.x.interim(hd); err != nil {
		return toClient(err)
	}
	if !h.settleUpload() {
		return errTruncated
	}
	h.x.of().aside(h.tunnel)
	return nil
}

func (h *hop) tunnel() {
	up, early := h.l.Conn, h.l.rd.buffered()
	client, ahead := h.x.hijack()
	h.x.attach(h.l)
	var both sync.WaitGroup
	both.Go(func() { oneWay(up, client, ahead) })
	oneWay(client, up, early)
	both.Wait()
	_ = client.Close() // both directions are over
	h.l.rd.consume(len(early))
	h.lose()
}

// oneWay copies one direction: the bytes read ahead, then the rest. At the end of src it closes the
// writing side of dst only; after an error it cuts both.
func oneWay(dst, src net.Conn, ahead []byte) {
	_, err := dst.Write(ahead)
	if err == nil {
		_, err = io.Copy(dst, src)
	}
	if err == nil {
		if w, ok := dst.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
			return
		}
	}
	_ = dst.Close()
	_ = src.Close()
}
