package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// Keeper is what a Store must offer besides, so that devices can say what they are
// done with.
type Keeper interface {
	// Trim removes o's messages up to and including position through, durably: they
	// leave reads, Find and Usage and give back their quota. Positions go on as
	// before, and what was removed is still known as a duplicate.
	Trim(ctx context.Context, o Owner, through Position) error

	// Keep keeps a small value durably under name, over any earlier one.
	Keep(ctx context.Context, name string, value []byte) error

	// Kept gives the value kept under name, or an error that is ErrNotFound.
	Kept(ctx context.Context, name string) ([]byte, error)
}

const (
	maxReaders  = 64                  // of one person; the one unseen longest is forgotten first
	deviceFresh = 24 * time.Hour      // how exactly it is known when a device was last seen
	deviceGone  = 30 * 24 * time.Hour // a device unseen for so long no longer holds messages back
)

// device is what a mailbox knows of one of its readers.
type device struct {
	Done Position  `json:"done"`
	Seen time.Time `json:"seen"`
}

// marks guards the changes of devices: one at a time for one owner.
type marks struct {
	seed  maphash.Seed
	locks [64]sync.Mutex
}

func (m *marks) lock(o Owner) *sync.Mutex {
	l := &m.locks[maphash.String(m.seed, string(o))%uint64(len(m.locks))]
	l.Lock()
	return l
}

// Meet says that the device called name (any text that stays the same) reads o's
// mailbox, and gives the position through which it is done. From then on messages
// stay until this device, too, is done with them.
func (in *Inbox) Meet(ctx context.Context, o Owner, name string) (Position, error) {
	known, err := in.devices(ctx, o)
	if err != nil {
		return 0, err
	}
	if d, ok := known[name]; ok && in.clock().Sub(d.Seen) < deviceFresh {
		return d.Done, nil
	}
	defer in.marks.lock(o).Unlock()
	_, done, err := in.changeDevice(ctx, o, name, 0)
	return done, err
}

// Done says that a device needs nothing up to position through any more. What all
// devices of o are done with is removed; a device not seen for thirty days does not
// count. Without a Keeper it is ErrUnavailable.
func (in *Inbox) Done(ctx context.Context, o Owner, name string, through Position) error {
	defer in.marks.lock(o).Unlock() // until all is removed: who is met after that has missed nothing
	known, _, err := in.changeDevice(ctx, o, name, through)
	if err != nil {
		return err
	}
	least := through
	for _, d := range known {
		least = min(least, d.Done)
	}
	if least == 0 {
		return nil
	}
	if err := in.keeper.Trim(ctx, o, least); err != nil {
		return fmt.Errorf("remove what all devices are done with: %w", err)
	}
	return nil
}

// changeDevice notes that a device was seen and how far it is done, which never
// goes back. The caller holds the owner's lock.
func (in *Inbox) changeDevice(ctx context.Context, o Owner, name string, through Position) (map[string]device, Position, error) {
	if in.keeper == nil {
		return nil, 0, fmt.Errorf("note what a device is done with: %w", ErrUnavailable)
	}
	known, err := in.devices(ctx, o)
	if err != nil {
		return nil, 0, err
	}
	d := device{Done: max(known[name].Done, through), Seen: in.clock().UTC()}
	known[name] = d
	in.forgetDevices(known)
	return known, d.Done, in.remember(ctx, devicesName(o), known)
}

// forgetDevices leaves out who has not been seen for long, or is too many.
func (in *Inbox) forgetDevices(known map[string]device) {
	for {
		oldest, at := "", in.clock()
		for name, d := range known {
			if d.Seen.Before(at) {
				oldest, at = name, d.Seen
			}
		}
		if oldest == "" || len(known) <= maxReaders && in.clock().Sub(at) < deviceGone {
			return
		}
		delete(known, oldest)
	}
}

func (in *Inbox) devices(ctx context.Context, o Owner) (map[string]device, error) {
	known := map[string]device{}
	if err := in.recall(ctx, devicesName(o), &known); err != nil {
		return nil, fmt.Errorf("read the devices of a mailbox: %w", err)
	}
	return known, nil
}

func devicesName(o Owner) string { return "devices/" + string(o) }

// recall reads what a Keeper keeps under a name, as JSON, into a value, which stays as it is when there is nothing.
func (in *Inbox) recall(ctx context.Context, name string, into any) error {
	if in.keeper == nil {
		return nil
	}
	value, err := in.keeper.Kept(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(value, into)
}

// remember has a Keeper keep a value, as JSON, for recall.
func (in *Inbox) remember(ctx context.Context, name string, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return in.keeper.Keep(ctx, name, value)
}
