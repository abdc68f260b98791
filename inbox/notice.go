package inbox

import (
	"slices"
	"time"
)

// Kind says what a notice is about.
type Kind string

// The kinds of notices about key packages.
const (
	NewDevice      Kind = "new_device"       // a signature key never seen before has published
	LowWater       Kind = "low_water"        // a device fell below key_packages.low_water
	LastResortUsed Kind = "last_resort_used" // a package that stays was used for the first time
	Expiring       Kind = "expiring"         // a package ends within a week; derived, never kept
)

// The kinds of notices about messages to other servers.
const (
	DeliveryDelayed Kind = "delivery_delayed" // not delivered for an hour; tried further
	DeliveryFailed  Kind = "delivery_failed"  // given up
)

// The kinds of notices about a mailbox.
const (
	Filling        Kind = "mailbox_filling" // it is at 80 % of its quota
	MessageRequest Kind = "message_request" // somebody new asks to be let in
	Cut            Kind = "severed"         // somebody's messages are no longer taken: whoever shares a group with them should remove them from it
)

// Notice tells an owner what they may want to act on.
type Notice struct {
	Kind    Kind
	At      time.Time // to the second
	Device  string    // Device.ID
	Name    string    // the device's
	Package string    // with LastResortUsed and Expiring: Package.ID
	Others  []string  // with NewDevice: the names of the devices before it

	Host     string // with DeliveryDelayed and DeliveryFailed: the recipients' server; with Cut as Actor
	Activity string // with DeliveryDelayed and DeliveryFailed: the id of what was sent; with Cut a name for Actor, which Report goes by

	Request string // with MessageRequest: Waiting.ID
	Actor   string // with MessageRequest: who asks; with Cut: Severed.Who
}

const (
	maxNotices = 32
	expiresIn  = 7 * 24 * time.Hour
)

// notify keeps a notice, in the place of an earlier one of the same kind about the
// same device, and at most maxNotices of them.
func (p *Pool) notify(n Notice) {
	p.Notices = slices.DeleteFunc(p.Notices, func(old Notice) bool {
		return old.Kind == n.Kind && old.Device == n.Device
	})
	p.Notices = append(p.Notices, n)
	if over := len(p.Notices) - maxNotices; over > 0 {
		p.Notices = slices.Delete(p.Notices, 0, over)
	}
}

// News are the kept notices and those that only the clock makes.
func (p *Pool) News(now time.Time) []Notice {
	out := slices.Clone(p.Notices)
	for i := range p.Packages {
		one := &p.Packages[i]
		if one.Valid(now) && one.NotAfter.Sub(now) < expiresIn {
			out = append(out, Notice{
				Kind: Expiring, At: one.NotAfter, Device: one.Device, Name: p.name(one.Device), Package: one.ID,
			})
		}
	}
	return out
}

// name is what people call a device.
func (p *Pool) name(device string) string {
	if d := p.device(device); d != nil && d.Name != "" {
		return d.Name
	}
	return device
}
