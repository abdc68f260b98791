package forward

import (
	"io"
	"net"
)

// exchange is the client's side of one request, whatever protocol carries it. The forwarder sees nothing
// else of the client, so that HTTP/1.1 and HTTP/2 share it.
type exchange interface {
	// of is the task that answers it; nil: a goroutine does.
	of() *task
	asker
	answerer
	// attach names what to close when the client is cut; nil: nothing.
	attach(c io.Closer)
	// listens has what attach named closed when the client leaves, even if nothing is written to it; stop ends that.
	listens() (stop func())
	// left reports whether the client has gone, so that what failed is not the upstream's fault.
	left() bool
	// hijack hands over the connection after a 101 was flushed, with the bytes read ahead.
	hijack() (net.Conn, []byte)
}

// asker is what the client wants.
type asker interface {
	request() *head // valid until the exchange ends
	upload() upload // the request body
	via() *via      // who sends it
	modern() bool   // knows interim replies and chunks: HTTP/1.1 and later
}

// upload is the request body.
type upload interface {
	source
	// peek returns what whole would, and leaves it there.
	peek() ([]byte, bool)
	// whole returns the rest of the body if all of it is there without waiting; true with nil: no body.
	whole() ([]byte, bool)
	// done reports whether all of the body has been taken from the client.
	done() bool
	// cancel makes a waiting next return with an error.
	cancel()
}

// answerer takes the reply. After an error of any method nothing but abort makes sense.
type answerer interface {
	interim(h *head) error        // a 1xx head
	start(h *head, f framing)     // the final head
	write(p []byte) error         // body bytes, borrowed; may be kept until flush
	flush() error                 // everything so far is on its way
	finish(trailers []byte) error // the end, flushed
	// abort ends the reply so that the client cannot take it for a whole one.
	abort()
}
