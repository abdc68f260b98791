package inbox

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sealgate/sealgate/authority"
)

// severedName is under which the list of what is severed is kept.
const severedName = "severed"

// maxSevered bounds that list, maxOwn what one person has of it.
const (
	maxSevered = 2000
	maxOwn     = 100
)

// Severed is a tombstone: an actor or a host whose messages are dropped, for one
// person or, with Owner "", for everybody here.
type Severed struct {
	Who   string    `json:"who"` // an actor id, or a host in lower case
	Owner Owner     `json:"owner,omitempty"`
	At    time.Time `json:"at"`
	By    string    `json:"by"` // who did it, for the audit
}

// What can be wrong with severing somebody.
var (
	// ErrTooManySevered means that the list is full: block a domain by a rule, or at the instance.
	ErrTooManySevered = fmt.Errorf("inbox: more than %d are severed, or %d by one person", maxSevered, maxOwn)
	// ErrNotSevered means that there is nothing to take back.
	ErrNotSevered = errors.New("inbox: they are not severed")
	// ErrNobody means that a text names neither an actor nor a host.
	ErrNobody = errors.New("inbox: neither an actor's id (https://…) nor a host")
)

var hostName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$`)

// Whom reads Severed.Who as people write it: an actor's id as it is, or a host, also as https://host/, in lower case.
func Whom(text string) (string, error) {
	who := strings.TrimSpace(text)
	host := authority.Of(who)
	_, path, isURL := strings.Cut(who, "://")
	if !isURL {
		host = authority.Normal(who, "https")
	}
	if !strings.Contains(strings.TrimSuffix(path, "/"), "/") {
		who = host
	}
	if len(who) > 2048 || !hostName.MatchString(host) {
		return "", fmt.Errorf("%w: %.200q", ErrNobody, text)
	}
	return who, nil
}

// Severed tells whether actor's messages to o are dropped.
func (in *Inbox) Severed(o Owner, actor string) bool {
	all := in.severed.Load()
	if all == nil || len(*all) == 0 {
		return false
	}
	host := authority.Of(actor)
	return slices.ContainsFunc(*all, func(s Severed) bool {
		return (s.Owner == "" || s.Owner == o) && (s.Who == actor || s.Who == host)
	})
}

// SeveredList is all that is severed, oldest first.
func (in *Inbox) SeveredList() []Severed {
	if all := in.severed.Load(); all != nil {
		return slices.Clone(*all)
	}
	return nil
}

// LoadSevered reads the list from the store, as a gateway does when it starts.
func (in *Inbox) LoadSevered(ctx context.Context) error {
	var all []Severed
	if err := in.recall(ctx, severedName, &all); err != nil {
		return fmt.Errorf("read what is severed: %w", err)
	}
	in.severed.Store(&all)
	return nil
}

// HostOf is the host of a Severed.Who.
func HostOf(who string) string {
	if strings.Contains(who, "://") {
		return authority.Of(who)
	}
	return who
}

// Sever drops from now on what s.Who sends to s.Owner, forgets their message
// requests, and tells the people named in affected whom to remove from their groups.
func (in *Inbox) Sever(ctx context.Context, s Severed, affected []Owner) error {
	if in.keeper == nil {
		return fmt.Errorf("sever: %w", ErrUnavailable)
	}
	s.At = in.clock().UTC().Truncate(time.Second)
	known := false
	err := in.changeSevered(ctx, func(all []Severed) ([]Severed, error) {
		own := 1
		for _, old := range all {
			known = known || old.Who == s.Who && old.Owner == s.Owner
			if s.Owner != "" && old.Owner == s.Owner {
				own++
			}
		}
		if known {
			return all, nil
		}
		if own > maxOwn || len(all) >= maxSevered {
			return nil, ErrTooManySevered
		}
		return append(all, s), nil
	})
	if err != nil {
		return err
	}
	if !known {
		in.severedNow(ctx, s, false)
	}
	for _, o := range affected {
		if err := in.forgetRequests(ctx, o, s.Who); err != nil {
			return err
		}
		n := Notice{Kind: Cut, At: s.At, Actor: s.Who, Activity: "severed " + s.Who, Host: s.Who}
		if err := in.Report(ctx, o, n); err != nil {
			return err
		}
	}
	return nil
}

// Rejoin takes back what Sever did to s.Who, for s.Owner or, with "", for everybody; s.By does. ErrNotSevered.
func (in *Inbox) Rejoin(ctx context.Context, s Severed) error {
	if in.keeper == nil {
		return ErrNotSevered
	}
	err := in.changeSevered(ctx, func(all []Severed) ([]Severed, error) {
		left := slices.DeleteFunc(all, func(old Severed) bool { return old.Who == s.Who && old.Owner == s.Owner })
		if len(left) == len(all) {
			return nil, ErrNotSevered
		}
		return left, nil
	})
	if err != nil {
		return err
	}
	s.At = in.clock().UTC().Truncate(time.Second)
	in.severedNow(ctx, s, true)
	return nil
}

// OnSever has f called after each change of who is severed. It may be called before the Inbox is used, not later.
func (in *Inbox) OnSever(f func(ctx context.Context, s Severed, undone bool)) { in.onSever = f }

func (in *Inbox) severedNow(ctx context.Context, s Severed, undone bool) {
	if in.onSever != nil {
		in.onSever(ctx, s, undone)
	}
}

func (in *Inbox) changeSevered(ctx context.Context, f func([]Severed) ([]Severed, error)) error {
	in.severing.Lock()
	defer in.severing.Unlock()
	all, err := f(in.SeveredList())
	if err != nil {
		return err
	}
	if err := in.remember(ctx, severedName, all); err != nil {
		return fmt.Errorf("keep what is severed: %w", err)
	}
	in.severed.Store(&all)
	return nil
}

func (in *Inbox) forgetRequests(ctx context.Context, o Owner, who string) error {
	all, err := in.Requests(ctx, o)
	for _, w := range all {
		if err == nil && w.isFrom(who) {
			err = in.DropRequest(ctx, o, w.ID)
		}
	}
	return err
}

// Contact is one of the people here who has something of an actor's or a host's.
type Contact struct {
	Owner    Owner
	Groups   int // joined, in which they were seen
	Requests int
}

// ContactsOf looks for an actor or a host among the owners given.
func (in *Inbox) ContactsOf(ctx context.Context, who string, owners []Owner) ([]Contact, error) {
	var out []Contact
	for _, o := range owners {
		c := Contact{Owner: o}
		requests, err := in.Requests(ctx, o)
		if err != nil {
			return nil, err
		}
		for _, w := range requests {
			if w.isFrom(who) {
				c.Requests++
			}
		}
		if c.Groups, err = in.sharedGroups(ctx, o, who); err != nil {
			return nil, err
		}
		if c.Groups+c.Requests > 0 {
			out = append(out, c)
		}
	}
	return out, nil
}

func (in *Inbox) sharedGroups(ctx context.Context, o Owner, who string) (n int, err error) {
	if in.books == nil {
		return 0, nil
	}
	err = in.books.ReadRows(ctx, func(l Ledger) error {
		all, err := readAll[membership](l, groupRow, o)
		for i := range all {
			if all[i].Joined > notJoined && (all[i].has(who) || all[i].hasHost(strings.ToLower(who))) {
				n++
			}
		}
		return err
	})
	return n, err
}
