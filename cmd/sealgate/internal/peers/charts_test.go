package peers_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
	operators "github.com/sealgate/sealgate/relay/admin/page"
)

// TestOperatorsCharts: after a day with a wave of spam, every chart is drawn, in its colours and as wide as the page, on
// a phone by day and on a desk by night.
func TestOperatorsCharts(t *testing.T) {
	if testing.Short() {
		t.Skip("the real peers are left out by -short")
	}
	requirePeers(t)
	server := httptest.NewServer(busyPage(t).Socket())
	t.Cleanup(server.Close)
	browser := startPeer(t, new(struct{}), "adminpage.mjs")
	charts := map[string]int{
		"": 1, "rules": 0, "domains": 0, "domain?name=fresh1.example": 0, "requests": 4, "deliveries": 0,
		"explain?id=d10": 0, "preset?name=quiet": 0, "changes": 0, "public": 0,
	}
	for look, dark := range map[int]bool{390: false, 1280: true} {
		for path, want := range charts {
			var now struct {
				shownPage
				Charts []struct {
					Wide, High float64
					Bars       int
					Fills      []string
				}
			}
			browser.call(t, "look", args{
				"url": server.URL + "/page/" + path, "wide": look, "dark": dark, "screens": t.ArtifactDir(), "name": fmt.Sprintf("%s-%d", strings.NewReplacer("?", "-", "=", "-").Replace("busy-"+path), look),
			}, &now)
			if now.Wide > look || len(now.Charts) < want {
				t.Errorf("%s at %d: %d points wide, %d charts", path, look, now.Wide, len(now.Charts))
			}
			for _, c := range now.Charts {
				if c.Wide < float64(look)/2 || c.Wide > 750 || c.High < 4 || c.Bars == 0 {
					t.Errorf("%s at %d: a chart is %+v", path, look, c)
				}
			}
			if path == "" && (len(now.Charts) == 0 || now.Charts[0].Bars < 40 || len(now.Charts[0].Fills) != 3 || now.Charts[0].High < 60) {
				t.Errorf("the day at %d: %+v", look, now.Charts)
			}
		}
	}
}

// busyPage is the page of a gateway that has had a wave.
func busyPage(t *testing.T) *operators.Page {
	t.Helper()
	text, err := configs.Preset("normal")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	book, err := policy.OpenBook(t.Context(), policy.BookOptions{
		Origin:   policy.Origin{Name: "policy.yaml", Read: func() ([]byte, error) { return text, nil }, Write: func([]byte) error { return nil }},
		Fallback: text,
	})
	if err != nil {
		t.Fatal(err)
	}
	entries := busyDay(book.Current(), now)
	metrics := prometheus.NewRegistry()
	count := func(name, label string, values map[string]float64) {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name}, []string{label})
		metrics.MustRegister(v)
		for value, n := range values {
			v.WithLabelValues(value).Set(n)
		}
	}
	count("sealgate_deliveries_total", "result", map[string]float64{"delivered": 8123, "retried": 212, "given_up": 3})
	count("sealgate_key_packages", "state", map[string]float64{"listed": 2210, "used": 640, "proposed": 4})
	count("sealgate_key_package_claims_total", "kind", map[string]float64{"fresh": 880, "last_resort": 12})
	p, err := operators.New(operators.Options{
		URL: "http://127.0.0.1", Domain: "social.example", Version: "Sealgate", Policy: book, Preset: configs.Preset, Gatherer: metrics,
		Entries: func(_ context.Context, since time.Time, do func(policy.Entry) bool) error {
			for _, e := range entries {
				if e.Time.After(since) && !do(e) {
					return nil
				}
			}
			return nil
		},
		Requests: func(_ context.Context, do func(operators.Waiting)) error {
			for n := range 900 {
				do(operators.Waiting{Since: now.Add(-time.Duration(n*n/30) * time.Minute), Domain: fmt.Sprintf("fresh%d.example", n%40), Messages: 1 + n%3})
			}
			return nil
		},
		Retention: []operators.Retention{{What: "Decisions", Kept: "7 days"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// busyDay is friends all day long, and strangers of a wave in the evening, as the policy decides about them.
func busyDay(p *rules.Policy, now time.Time) (out []policy.Entry) {
	for n := range 6000 {
		c := rules.Case{
			At: rules.Group, Rel: rules.Mutual, Recipient: fmt.Sprint("p", n%60), Msg: rules.Msg{Kind: rules.KindApplication, Bytes: 600},
			Group: rules.GroupState{ID: fmt.Sprint("g", n%25), Joined: true}, Actor: rules.Actor{ID: fmt.Sprint("a", n), Domain: fmt.Sprintf("friends%d.example", n%7), FirstSeenDays: 90},
		}
		ago := time.Duration(n) * 24 * time.Hour / 6000
		if hour := int(ago / time.Hour); n%3 > 0 && hour < 5 || n%9 == 0 {
			c.At, c.Rel, c.Group = rules.Contact, rules.Stranger, rules.GroupState{}
			c.Actor = rules.Actor{ID: fmt.Sprint("s", n%50), Domain: fmt.Sprintf("fresh%d.example", n%9)}
			c.Msg = rules.Msg{Kind: rules.KindWelcome, KeyIsOurs: n%5 > 0}
		}
		v := p.Decide(&c, now.Add(-ago))
		out = append(out, policy.Entry{ID: fmt.Sprint("d", n), Time: now.Add(-ago), Case: c, Action: v.Action, Rule: v.Rule, Shadow: v.Shadow, Policy: p.Hash()})
	}
	return out
}
