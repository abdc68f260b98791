package relay

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay/forward"
)

// heartbeatEvery is how often an idle stream says that it is alive, and asks
// whether its token still is.
const heartbeatEvery = 30 * time.Second

var errStreamsFull = errors.New("relay: too many event streams")

// stream is one client that listens to its owner's mailbox.
type stream struct {
	r      *Relay
	box    mailbox
	token  string
	person mastodon.Person
	at     inbox.Position // the last one sent

	live    *forward.Live
	watch   *inbox.Watch
	evicted chan struct{}
	verdict chan error // what became of the token; one question at a time
	asking  bool
	batch   int
	fill    filling
	keyNews keyNews
}

// events answers GET /e2ee/users/{name}/events with what happens in the mailbox
// from the client's cursor on: a Server-Sent Event for every message, until the
// client leaves or its token ends.
func (r *Relay) events(work context.Context, ctx *fasthttp.RequestCtx, name string) error {
	token, ok := r.streamToken(ctx)
	if !ok {
		return errNoToken
	}
	caller, err := r.ownerWith(work, token, name)
	if err != nil {
		return err
	}
	s := &stream{r: r, token: token, person: caller.Person}
	if s.box, err = r.opened(work, r.mailboxOf(caller.Person), token); err != nil {
		return err
	}
	if s.at, err = s.cursor(work, ctx); err != nil {
		return err
	}
	if r.streams.full() {
		r.metrics.streamsFull.Inc()
		return errStreamsFull
	}
	s.at = max(s.at, s.box.floor)
	h := &ctx.Response.Header
	h.SetContentType("text/event-stream")
	h.Set(fasthttp.HeaderCacheControl, "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	forward.GoLive(ctx, s.run)
	return nil
}

// streamToken is access_token in the query when there is no Bearer token (RFC 6750
// §2.3): a browser's EventSource cannot set a header.
func (r *Relay) streamToken(ctx *fasthttp.RequestCtx) (string, bool) {
	token := string(ctx.QueryArgs().Peek("access_token"))
	if token == "" || len(value(&ctx.Request.Header, fasthttp.HeaderAuthorization)) > 0 {
		return r.shown(ctx)
	}
	return token, true
}

// cursor is where the client stopped: the position in Last-Event-ID, or an
// activity id in after. A cursor this mailbox never gave means the oldest kept;
// none means now. It is read before the stream begins to watch, so everything
// accepted since then is sent.
func (s *stream) cursor(ctx context.Context, req *fasthttp.RequestCtx) (inbox.Position, error) {
	u, err := s.r.inbox.Usage(ctx, s.box.owner)
	if err != nil {
		return 0, err
	}
	last := string(value(&req.Request.Header, "Last-Event-ID"))
	switch {
	case last != "":
		p, err := strconv.ParseUint(last, 10, 63)
		if err != nil || inbox.Position(p) > u.Last {
			return 0, nil //nolint:nilerr // a forged cursor reads nothing but the caller's own mailbox
		}
		return inbox.Position(p), nil
	case req.QueryArgs().Has("after"):
		p, err := s.r.place(ctx, s.box, string(req.QueryArgs().Peek("after")))
		if errors.Is(err, inbox.ErrNotFound) {
			return 0, nil
		}
		return p, err
	}
	return u.Last, nil
}

// run writes the stream until it ends. It watches before it reads: what is
// accepted between the two wakes it, and what is read is asked for by position,
// so there is neither a gap nor a duplicate where the past meets the present.
func (s *stream) run(l *forward.Live) {
	s.live, s.evicted, s.verdict, s.batch = l, make(chan struct{}), make(chan error, 1), 1
	s.watch = s.r.inbox.Watch(s.box.owner)
	defer s.watch.Close()
	if !s.r.streams.enter(s) {
		s.comeBack(time.Second)
		return
	}
	defer s.r.streams.leave(s)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// An id without data dispatches nothing, but it is where the client resumes.
	if s.write([]byte("id: "+strconv.FormatUint(uint64(s.at), 10)+"\n\n")) != nil {
		return
	}
	s.serve(ctx)
}

func (s *stream) serve(ctx context.Context) {
	// Streams that began together do not beat together.
	beat := time.NewTimer(s.r.heartbeat - rand.N(s.r.heartbeat/4+1))
	defer beat.Stop()
	for {
		if err := s.catchUp(ctx); err != nil {
			s.r.log.Debug("event stream ended", "error", err)
			s.comeBack(5 * time.Second)
			return
		}
		select {
		case <-s.watch.Wake:
		case <-beat.C:
			beat.Reset(s.r.heartbeat)
			if s.write([]byte(":\n\n")) != nil {
				return
			}
			s.ask(ctx)
		case err := <-s.verdict:
			if s.asking = false; err != nil {
				return
			}
		case <-s.live.Gone():
			return
		case <-s.live.Closing():
			s.comeBack(time.Second)
			return
		case <-s.evicted:
			s.comeBack(time.Minute)
			return
		}
	}
}

// ask finds out whether the token still opens this mailbox. The stream goes on
// meanwhile: the instance may be slow.
func (s *stream) ask(ctx context.Context) {
	if s.asking {
		return
	}
	s.asking = true
	go func() { // ends with the stream's context; nobody needs to read the verdict
		ctx, cancel := context.WithTimeout(ctx, workTimeout)
		defer cancel()
		s.verdict <- s.r.stillOwner(ctx, s.token, s.person)
	}()
}

// comeBack tells an EventSource when to come back, no two at the same moment, as the last word of a
// stream: whether it arrives does not matter.
func (s *stream) comeBack(wait time.Duration) {
	wait += rand.N(4 * wait)
	_ = s.write([]byte("retry: " + strconv.FormatInt(wait.Milliseconds(), 10) + "\n\n"))
}

func (s *stream) write(p []byte) error { return s.live.Write(p) }
