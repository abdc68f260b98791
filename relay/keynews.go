package relay

import (
	"context"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// keyNewsEvery is how often a stream looks for notices that only the clock makes.
const keyNewsEvery = time.Hour

// keyNews is what one stream has told of the owner's key packages and deliveries.
type keyNews struct {
	told map[toldNotice]bool
	next time.Time // when to look again
}

// toldNotice is what makes two notices about key packages, or about deliveries (host
// and activity), the same one.
type toldNotice struct {
	kind         inbox.Kind
	device, item string
	at           int64
}

func toldAs(n inbox.Notice) toldNotice {
	if n.Activity != "" {
		return toldNotice{n.Kind, n.Host, n.Activity, n.At.Unix()}
	}
	return toldNotice{n.Kind, n.Device, n.Package, n.At.Unix()}
}

// tellNotices sends what is new: what was told just now, what is kept of key
// packages and deliveries for who comes later, and what has begun to expire. A
// stream tells of a thing once; the next stream tells of it again, until its owner
// has done something about it.
func (s *stream) tellNotices(ctx context.Context) error {
	notices := s.watch.Notices()
	kept, err := s.keptNotices(ctx)
	if err != nil {
		return err
	}
	for _, n := range append(kept, notices...) {
		if n.Device != "" || n.Activity != "" {
			if s.keyNews.told[toldAs(n)] {
				continue
			}
			s.keyNews.told[toldAs(n)] = true
		}
		if err := s.write(s.r.noticeOf(n).event()); err != nil {
			return err
		}
	}
	return nil
}

// keptNotices reads the reports and the pool when the stream begins and every keyNewsEvery after that.
func (s *stream) keptNotices(ctx context.Context) ([]inbox.Notice, error) {
	if s.keyNews.told == nil {
		s.keyNews.told = map[toldNotice]bool{}
	}
	now := s.r.clock()
	if s.r.keys != nil {
		now = s.r.keys.Now()
	}
	if now.Before(s.keyNews.next) {
		return nil, nil
	}
	all, err := s.r.inbox.Reports(ctx, s.box.owner)
	if err != nil {
		return nil, err
	}
	if s.r.keys != nil {
		pool, err := s.r.keys.Pool(ctx, s.box.owner)
		if err != nil {
			return nil, err
		}
		all = append(all, pool.News(now)...)
	}
	s.keyNews.next = now.Add(keyNewsEvery)
	return s.keyNews.renew(all), nil
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
