package inbox

import "time"

// Burn spends the packages of a pool that was brought back from the past: after the
// copy was made, inviters may have got any that was listed, and a package must not be
// used twice. Of each device the last resort stays, or else its newest package, and is
// Used: its owner is told and publishes fresh ones. What nobody was shown yet stays.
func Burn(p *Pool, now time.Time) {
	keep := map[string]string{} // the package that stays, by device
	for _, one := range p.Packages {
		if old := p.byID(keep[one.Device]); one.Open(now) && (old == nil || one.LastResort || !old.LastResort) {
			keep[one.Device] = one.ID
		}
	}
	p.drop(func(one *Package) bool { return one.State != Proposed && keep[one.Device] != one.ID })
	for i := range p.Packages {
		one := &p.Packages[i]
		one.Hold = Hold{}
		if one.State != Listed {
			continue
		}
		one.State = Used
		p.notify(Notice{Kind: LastResortUsed, At: now, Device: one.Device, Name: p.name(one.Device), Package: one.ID})
	}
}
