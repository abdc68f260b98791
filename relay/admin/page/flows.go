package page

import "time"

// flows are deliveries and key pools, as the metrics have them since the program's start.
type flows struct {
	Queue                 int
	Oldest                time.Duration
	Results, Keys, Claims []counted
	MailboxMiB            int
	IsKnown               bool
}

func (p *Page) flows() flows {
	if p.opt.Gatherer == nil {
		return flows{}
	}
	families, err := p.opt.Gatherer.Gather()
	if err != nil {
		p.opt.Log.Debug("some metrics cannot be read", "error", err)
	}
	values := func(name string) []counted { // by the only label, or ""
		m := map[string]int{}
		for _, f := range families {
			if f.GetName() != name {
				continue
			}
			for _, one := range f.GetMetric() {
				label := ""
				if len(one.GetLabel()) == 1 {
					label = one.GetLabel()[0].GetValue()
				}
				m[label] = int(one.GetCounter().GetValue() + one.GetGauge().GetValue())
			}
		}
		return byCount(m)
	}
	single := func(name string) int {
		if list := values(name); len(list) == 1 {
			return list[0].Times
		}
		return 0
	}
	return flows{
		Queue: single("sealgate_delivery_queue"), Oldest: time.Duration(single("sealgate_delivery_oldest_seconds")) * time.Second,
		Results: values("sealgate_deliveries_total"), Keys: values("sealgate_key_packages"),
		Claims: values("sealgate_key_package_claims_total"), MailboxMiB: single("sealgate_mailbox_bytes") >> 20, IsKnown: true,
	}
}
