package inbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"time"
)

// clerk changes one pool by the rules, at one moment.
type clerk struct {
	*Change
	o     DirectoryOptions
	owner Owner
	actor string
	now   time.Time
	news  []Notice // of this change
}

// change runs f on the owner's pool, of which expired packages are forgotten first,
// and tells what became known by it.
func (d *Directory) change(ctx context.Context, o Owner, actor string, f func(*clerk) error) error {
	var last *clerk
	err := d.o.Store.ChangePool(ctx, o, func(c *Change) error {
		last = &clerk{Change: c, o: d.o, owner: o, actor: actor, now: d.Now()}
		last.prune()
		return f(last)
	})
	if err != nil || d.o.Tell == nil {
		return err
	}
	for _, n := range last.news {
		d.o.Tell(o, n)
	}
	return nil
}

// notify keeps a notice and has it told.
func (c *clerk) notify(n Notice) {
	c.Pool.notify(n)
	c.news = append(c.news, n)
}

func (c *clerk) prune() {
	n := 0
	c.drop(func(p *Package) bool {
		if p.Valid(c.now) || n == maxPruned {
			return false
		}
		n++
		return true
	})
}

func (c *clerk) publish(p Publication, u candidate) (Package, error) {
	if i := c.holds(u.ref); i >= 0 {
		return c.Packages[i], nil
	}
	device, err := c.deviceOf(u)
	if err != nil {
		return Package{}, err
	}
	if err := c.roomFor(device.ID, u); err != nil {
		return Package{}, err
	}
	one := c.enter(u, device.ID)
	one.Activity = p.Activity
	one.Aliases = addAliases(nil, u.Aliases)
	action := ActionPropose
	if u.Public {
		one.State, action = Listed, ActionPublish
	}
	return c.shelve(action, one), nil
}

// shelve puts a package on its shelf, and says so in the log.
func (c *clerk) shelve(action Action, one Package) Package {
	c.log(action, &one)
	one.N = c.Log.Count
	c.Packages = append(c.Packages, one)
	c.refreshed(&one)
	return one
}

// holds finds a package by its bytes.
func (c *clerk) holds(ref []byte) int {
	return slices.IndexFunc(c.Packages, func(p Package) bool { return bytes.Equal(p.Ref, ref) })
}

// enter makes the record and leaves the traces of a new package.
func (c *clerk) enter(u candidate, device string) Package {
	if c.Contents == nil {
		c.Contents = map[string][]byte{}
	}
	c.Contents[u.ID] = u.Content
	c.Traces = append(c.Traces,
		Trace{Name: refTrace(u.ref), Owner: c.owner, Device: device, Until: u.notAfter},
		Trace{Name: initTrace(c.owner, u.initKey), Owner: c.owner, Device: device, Until: u.notAfter})
	return Package{
		ID: u.ID, Device: device, Suite: u.suite, Ref: u.ref, Signer: u.signer, State: Proposed,
		LastResort: u.last, Verified: u.verified, Published: c.now, NotAfter: u.notAfter, Size: len(u.Package) + len(u.Content),
	}
}

func (c *clerk) log(action Action, p *Package) {
	c.write(LogEntry{
		Time: c.now, Action: action, Package: p.ID, Device: p.Device, Suite: p.Suite, Ref: p.Ref, SignatureKey: p.Signer,
	}, c.actor, c.o.Key)
}

// deviceOf finds the device by its signature key, or makes it, and tells the owner
// of one that is not their first.
func (c *clerk) deviceOf(u candidate) (*Device, error) {
	for i := range c.Devices {
		d := &c.Devices[i]
		if d.knows(u.signer) {
			d.rename(u.Name)
			return d, nil
		}
	}
	if err := c.roomForDevice(); err != nil {
		return nil, err
	}
	var others []string
	for _, d := range c.Devices {
		others = append(others, c.name(d.ID))
	}
	id := base64.RawURLEncoding.EncodeToString(u.signer[:12])
	c.Devices = append(slices.Clone(c.Devices), Device{ID: id, Keys: [][]byte{u.signer[:]}, First: c.now})
	d := &c.Devices[len(c.Devices)-1]
	d.rename(u.Name)
	if len(others) > 0 {
		c.notify(Notice{Kind: NewDevice, At: c.now, Device: id, Name: c.name(id), Others: others})
	}
	return d, nil
}

func (d *Device) knows(signer [32]byte) bool {
	return slices.ContainsFunc(d.Keys, func(k []byte) bool { return bytes.Equal(k, signer[:]) })
}

func (d *Device) rename(name string) {
	if name != "" {
		d.Name = shorten(name)
	}
}

// learn adds a signature key; the oldest are forgotten.
func (d *Device) learn(signer [32]byte) {
	if d.knows(signer) {
		return
	}
	d.Keys = append(slices.Clone(d.Keys), signer[:])
	d.Keys = d.Keys[max(0, len(d.Keys)-maxKeys):]
}

// roomForDevice forgets the oldest device without packages when there are too many.
func (c *clerk) roomForDevice() error {
	if len(c.Devices) < maxDevices {
		return nil
	}
	i := slices.IndexFunc(c.Devices, func(d Device) bool {
		return !slices.ContainsFunc(c.Packages, func(p Package) bool { return p.Device == d.ID })
	})
	if i < 0 {
		return fmt.Errorf("%w: %d devices of this person have some, which is all that are kept; remove those of one", ErrTooMany, maxDevices)
	}
	c.Devices = slices.Concat(c.Devices[:i], c.Devices[i+1:])
	return nil
}

func (c *clerk) roomFor(device string, u candidate) error {
	n, size := 0, len(u.Package)+len(u.Content)
	for i := range c.Packages {
		size += c.Packages[i].Size
		if c.Packages[i].Device == device {
			n++
		}
	}
	if n >= c.o.MaxPerDevice {
		return fmt.Errorf("%w: this device has %d, which is key_packages.max_per_device", ErrTooMany, n)
	}
	if size > maxPoolBytes {
		return fmt.Errorf("%w: with this one all of this person's would take %d bytes, over %d", ErrTooMany, size, maxPoolBytes)
	}
	return nil
}

func (c *clerk) renew(p Publication, u candidate, name string) (Package, error) {
	i := slices.IndexFunc(c.Packages, func(old Package) bool { return old.is(name) })
	if i < 0 {
		if !isID(name) {
			return Package{}, fmt.Errorf("%w: %q", ErrNoPackage, name)
		}
		u.ID = name
		return c.publish(p, u)
	}
	old := c.Packages[i]
	if same := c.holds(u.ref); same >= 0 {
		return c.Packages[same], nil
	}
	u.ID = old.ID
	one := c.enter(u, old.Device)
	one.Activity, one.Aliases = p.Activity, addAliases(old.Aliases, u.Aliases)
	if u.Public || old.State != Proposed {
		one.State = Listed
	}
	c.renewDevice(old.Device, u)
	c.Packages = slices.Concat(c.Packages[:i], c.Packages[i+1:])
	if err := c.roomFor("", u); err != nil {
		return Package{}, err
	}
	return c.shelve(ActionUpdate, one), nil
}

// renewDevice follows a device whose signature key may have changed. One that
// calls itself otherwise now is told of like a new one.
func (c *clerk) renewDevice(id string, u candidate) {
	c.Devices = slices.Clone(c.Devices)
	d := c.device(id)
	if d == nil {
		return
	}
	if !d.knows(u.signer) && u.Name != "" && d.Name != "" && shorten(u.Name) != d.Name {
		c.notify(Notice{Kind: NewDevice, At: c.now, Device: id, Name: shorten(u.Name), Others: []string{d.Name}})
	}
	d.learn(u.signer)
	d.rename(u.Name)
}

// refreshed lets go what the new package makes needless: used packages of its
// device, and notices that no longer hold.
func (c *clerk) refreshed(fresh *Package) {
	if fresh.State != Listed {
		return
	}
	c.drop(func(p *Package) bool {
		isNeedless := !p.LastResort || (fresh.LastResort && p.Suite == fresh.Suite)
		return p.State == Used && p.Device == fresh.Device && isNeedless
	})
	c.Notices = slices.DeleteFunc(slices.Clone(c.Notices), func(n Notice) bool {
		switch {
		case n.Device != fresh.Device:
			return false
		case n.Kind == LowWater:
			return c.fresh(n.Device, c.now) >= c.o.LowWater
		}
		return n.Kind == LastResortUsed && !slices.ContainsFunc(c.Packages, func(p Package) bool {
			return p.ID == n.Package && p.State == Used
		})
	})
}

func (c *clerk) list(name string) error {
	found := c.find(name)
	if len(found) == 0 {
		return fmt.Errorf("%w: %q", ErrNoPackage, name)
	}
	var listed []Package
	for _, p := range found {
		if p.State != Proposed {
			continue
		}
		p.State = Listed
		c.log(ActionAdd, p)
		listed = append(listed, *p)
	}
	for i := range listed {
		c.refreshed(&listed[i])
	}
	return nil
}

func (c *clerk) remove(name string) error {
	found := c.find(name)
	if len(found) == 0 && !isID(name) {
		return fmt.Errorf("%w: %q", ErrNoPackage, name)
	}
	for _, p := range found {
		c.log(ActionRemove, p)
	}
	for _, device := range c.Devices {
		c.watch(device.ID, func() {
			c.drop(func(p *Package) bool { return p.Device == device.ID && p.is(name) })
		})
	}
	return nil
}

// watch runs f and tells the owner when it took the device below its low water.
func (c *clerk) watch(device string, f func()) {
	before := c.fresh(device, c.now)
	f()
	if after := c.fresh(device, c.now); before >= c.o.LowWater && after < c.o.LowWater {
		c.notify(Notice{Kind: LowWater, At: c.now, Device: device, Name: c.name(device)})
	}
}

func addAliases(have, more []string) []string {
	out := slices.Clone(have)
	for _, a := range more {
		if a != "" && len(a) <= maxAlias && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out[max(0, len(out)-maxAliases):]
}

// shorten cuts a name for people to its first maxName runes.
func shorten(name string) string {
	runes := []rune(name)
	return string(runes[:min(len(runes), maxName)])
}
