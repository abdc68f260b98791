package storage

import (
	"errors"
	"fmt"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// A store whose disk fills up becomes calm: the engine is opened anew without those
// workers that write tables whenever they like, so that nothing can be in the middle of
// a memory map when the last block goes. What makes room, removing and settling, is
// still written, into the log whose blocks are claimed; all else is refused. With room
// again the store is opened as usual.

const (
	// fastest is what no disk fills faster than, in bytes a nanosecond.
	fastest    = 8
	lookSoon   = 5 * time.Millisecond
	lookSeldom = time.Second
)

// look becomes calm or stops being so, and says when to look again: before the disk could
// be full.
func (s *Store) look() time.Duration {
	s.mustBeCalm()
	free, err := (*s.disk.free.Load())(s.opt.Path)
	if err != nil || s.calm {
		return lookSeldom
	}
	s.disk.hold()
	return untilFull(free - s.opt.Reserve)
}

// untilFull is how long it takes at least until so many bytes are written, within what is looked at.
func untilFull(bytes int64) time.Duration {
	return min(max(time.Duration(bytes/fastest), lookSoon), lookSeldom)
}

// mustBeCalm says whether there is too little room, and changes between the states if it has to. A little
// more than the reserve must be free to end the calm, or the two would take turns.
func (s *Store) mustBeCalm() bool {
	if s.broken.Load() != nil {
		return false // all is refused
	}
	want := s.disk.room() != nil
	if s.calm {
		want = s.disk.atLeast(s.opt.Reserve+s.opt.Reserve/8) != nil
	}
	if want != s.calm {
		s.become(want)
	}
	return want
}

func (s *Store) become(calm bool) {
	if err := s.disk.forOne(); err != nil {
		return // not even room to close the engine: it keeps still as long as nothing is written
	}
	err := s.reopen(func() error { s.calm = calm; return nil })
	switch {
	case err != nil:
		return // it was told
	case calm:
		s.opt.Log.Warn("disk is nearly full: new messages are refused, reading and removing go on",
			"path", s.opt.Path, "needed_mib", s.opt.Reserve>>20)
	default:
		s.disk.hold()
		s.opt.Log.Info("disk has room again: new messages are taken", "path", s.opt.Path)
	}
}

// reopen closes the engine, lets between change what it likes, and opens it. Reads wait meanwhile;
// the committer, who alone may call it, writes nothing.
func (s *Store) reopen(between func() error) error {
	s.life.Lock()
	defer s.life.Unlock()
	err := s.db.Close()
	s.db = nil
	if err == nil {
		err = between()
	}
	if again := s.start(); again != nil {
		s.db = nil
		return s.breakDown(errors.Join(err, again))
	}
	return err
}

// runCalm answers each request for itself.
func (s *Store) runCalm(group []*request) {
	for _, r := range group {
		if err := s.allowed(r); err != nil {
			r.done <- err
			continue
		}
		s.runTogether([]*request{r})
	}
}

// allowed refuses what would not fit into the log's claimed blocks. A log that has been used up is
// exchanged where there is room for its table.
func (s *Store) allowed(r *request) error {
	if r.alone() {
		return nil
	}
	if !r.relief || !s.calm {
		return fmt.Errorf("%w: %d MiB must be free under storage.path; free some space", inbox.ErrUnavailable, s.opt.Reserve*9/8>>20)
	}
	if s.left -= r.size(); s.left > 0 {
		return nil
	}
	if err := s.disk.forOne(); err != nil {
		return err
	}
	return s.reopen(func() error { return nil })
}
