package activity_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox/activity"
)

// note is an ordinary post of about size bytes, escaped as Mastodon does: <, > and & as \u003c, \u003e, \u0026.
func note(size int) []byte {
	const p = `<p>Hello <a href="https://a.example/tags/x?a=1&b=2" class="mention">#<span>x</span></a>, "quoted", ünïcode 🌽</p>`
	content, _ := json.Marshal(strings.Repeat(p, size/len(p)))
	return []byte(with(`{"id":"https://a.example/2","url":"https://a.example/@alice/a-rather-long-name-of-a-note-that-ends-in-e","type":"Note","mediaType":"text/html","content":` + string(content) + `}`))
}

func TestOrdinaryBodiesCostNoAllocation(t *testing.T) {
	body := note(10 << 10)
	if got := testing.AllocsPerRun(100, func() {
		if _, err := activity.Parse(body, limits); err != activity.ErrNotMLS { //nolint:errorlint // identity is the fact
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// TestHostileBodiesAreLinear bounds the worst bodies found by doubling them: twice the size is not four times the work.
func TestHostileBodiesAreLinear(t *testing.T) {
	for name, piece := range map[string]string{
		"quotes": `"`, "backslashes": `\`, "escaped quotes": `\"`, "slashes": "/", "slash mls": "/mls", "brackets": "[",
		"objects": `{"a":`, "types": `"Welcome",`, "escapes": `\u006d`, "nul": "\x00", "nested objects": `{"object":`,
		"graphs": `{"@graph":[`,
	} {
		cost := func(size int) time.Duration {
			body := []byte(`{"type":"Welcome","object":` + strings.Repeat(piece, size/len(piece)))
			best := time.Hour
			for range 3 {
				start := time.Now()
				_, _ = activity.Parse(body, activity.Limits{})
				best = min(best, time.Since(start))
			}
			return best
		}
		small, large := cost(64<<10), cost(1<<20)
		if large > 16*8*small && large > 100*time.Millisecond || large > 2*time.Second {
			t.Errorf("%s: 64 KiB in %v, 1 MiB in %v", name, small, large)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	welcome := []byte(with(`{"type":["Object","Welcome"],"attributedTo":"https://a.example/users/alice","mediaType":"message/mls",` +
		`"encoding":"base64","content":"` + strings.Repeat("AAEC", 1366) + `"}`))
	for _, c := range []struct {
		name string
		body []byte
	}{
		{"note-10k", note(10 << 10)},
		{"note-1k", note(1 << 10)},
		{"note-1m", note(1<<20 - 512)},
		{"note-mentions-10k", []byte(strings.Replace(string(note(10<<10)), "Hello", "message/mls", 1))},
		{"mls-4k-message", welcome},
		{"escapes-1m", []byte(strings.Repeat(`\u006d`, 1<<20/6))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = activity.Parse(c.body, limits)
			}
		})
	}
}
