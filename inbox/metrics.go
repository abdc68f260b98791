package inbox

func (in *Inbox) count(kind string, results []Result) {
	if kind == "" {
		kind = "none"
	}
	for _, r := range results {
		if r.Err == nil && r.Delivered() {
			in.messages.WithLabelValues("in", kind).Inc()
		}
		if r.Request != "" {
			in.requests.WithLabelValues("opened").Inc()
		}
		in.requests.WithLabelValues("expired").Add(float64(r.Expired))
		in.requests.WithLabelValues("evicted").Add(float64(r.Evicted))
		in.requests.WithLabelValues("overflown").Add(float64(r.Overflown))
	}
}
