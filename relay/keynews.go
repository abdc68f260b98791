package relay

import (
	"context"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// keyNewsEvery is how often a stream looks for notices that only the clock makes.
const keyNewsEvery = time.Hour

// keyNews is what one stream has told of the owner's key packages.
type keyNews struct {
	told map[toldNotice]bool
	next time.Time // when to look again
}

// toldNotice is what makes two notices about key packages the same one.
type toldNotice struct {
	kind         inbox.Kind
	device, item string
	at           int64
}

func toldAs(n inbox.Notice) toldNotice {
	return toldNotice{n.Kind, n.Device, n.Package, n.At.Unix()}
}

// tellNotices sends what is new: what was told just now, and of key packages also what
// is kept for who comes later, and what has begun to expire. A stream tells of a thing
// once; the next stream tells of it again, until its owner has done something about it.
func (s *stream) tellNotices(ctx context.Context) error {
	notices := s.watch.Notices()
	kept, err := s.keptNotices(ctx)
	if err != nil {
		return err
	}
	for _, n := range append(kept, notices...) {
		if n.Device != "" {
			if s.keyNews.told[toldAs(n)] {
				continue
			}
			s.keyNews.told[toldAs(n)] = true
		}
		if err := s.write(appendNotice(nil, n)); err != nil {
			return err
		}
	}
	return nil
}

// keptNotices reads the pool when the stream begins and every keyNewsEvery after that.
func (s *stream) keptNotices(ctx context.Context) ([]inbox.Notice, error) {
	if s.keyNews.told == nil {
		s.keyNews.told = map[toldNotice]bool{}
	}
	if s.r.keys == nil {
		return nil, nil
	}
	now := s.r.keys.Now()
	if now.Before(s.keyNews.next) {
		return nil, nil
	}
	pool, err := s.r.keys.Pool(ctx, s.box.owner)
	if err != nil {
		return nil, err
	}
	s.keyNews.next = now.Add(keyNewsEvery)
	return s.keyNews.renew(pool.News(now)), nil
}

// renew forgets what is no longer true, and gives what was not told yet.
func (k *keyNews) renew(all []inbox.Notice) (fresh []inbox.Notice) {
	told := map[toldNotice]bool{}
	for _, n := range all {
		if k.told[toldAs(n)] {
			told[toldAs(n)] = true
			continue
		}
		fresh = append(fresh, n)
	}
	k.told = told
	return fresh
}
