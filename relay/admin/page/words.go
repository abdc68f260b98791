package page

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

func titles() map[string]string {
	return map[string]string{
		"overview": "Today", "rules": "Rules", "domains": "Servers", "domain": "One server", "requests": "Requests",
		"explain": "Explain", "deliveries": "Deliveries", "changes": "Changes", "preset": "Another preset", "public": "Public",
	}
}

func functions() template.FuncMap {
	return template.FuncMap{
		"count": count, "number": number, "ago": ago, "when": when, "bars": bars, "meter": meter, "plain": plain, "css": func(s string) template.CSS { return template.CSS(s) }, //nolint:gosec // it is our own
		"diff": diffLines, "part": part, "kind": kindWords, "rel": relWords, "rule": ruleFor, "list": func(s ...any) []any { return s },
	}
}

// number groups digits as in 12 345.
func number(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "\u202f" + text[at:]
	}
	return text
}

// count is "1 rule" or "2 rules".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

func ago(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "never"
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return count(int(d/time.Minute), "minute ago", "minutes ago")
	case d < 48*time.Hour:
		return count(int(d/time.Hour), "hour ago", "hours ago")
	}
	return count(int(d/(24*time.Hour)), "day ago", "days ago")
}

// kindWords says what a message is.
func kindWords(kind string) string {
	switch kind {
	case rules.KindWelcome:
		return "an invitation"
	case rules.KindKeyFetch:
		return "a fetch of keys"
	case rules.KindApplication:
		return "a message"
	}
	return "a " + plain(kind)
}

// relWords says what the person here is to the sender; an unknown word stands for itself.
func relWords(r rules.Rel) string {
	words := map[rules.Rel]string{
		rules.Self: "They are one and the same person.", rules.Mutual: "The two follow each other.", rules.Following: "The person here follows the other one.",
		rules.Follower: "The other one follows the person here.", rules.Approved: "The person here has accepted the other one before.",
		rules.Stranger: "The two are strangers.", rules.Limited: "The other one is limited here.", rules.Muted: "The person here has muted the other one.",
		rules.Blocked: "The other one is blocked here.",
	}[r]
	if words == "" {
		return string(r)
	}
	return words
}

func when(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }

// part is n of all, in percent.
func part(n, all int) int {
	if all == 0 {
		return 0
	}
	return 100 * n / all
}

// bars draws the last 24 hours, the newest at the right.
func bars(hours [24][outcomes]int) template.HTML {
	highest := 1
	for _, h := range hours {
		highest = max(highest, h[delivered]+h[waits]+h[turned])
	}
	var b strings.Builder
	b.WriteString(`<svg viewBox="0 0 288 64" preserveAspectRatio="none" role="img" aria-label="Messages in each of the last 24 hours"><path class="axis" d="M0 63.5H288"/>`)
	for i, h := range hours {
		y := 63.0
		for did, class := range [outcomes]string{"ok", "wait", "no"} {
			if h[did] == 0 {
				continue
			}
			height := max(60*float64(h[did])/float64(highest), 1)
			y -= height
			fmt.Fprintf(&b, `<rect class="%s" x="%d" y="%.1f" width="9" height="%.1f"><title>%d hours ago: %d</title></rect>`, class, i*12+1, y, height, 23-i, h[did])
		}
	}
	fmt.Fprintf(&b, `</svg><p class="scale small dim"><span>24 hours ago</span><span>at most %s an hour</span><span>now</span></p>`, number(highest))
	return template.HTML(b.String()) //nolint:gosec // numbers and words of our own
}

// meter draws n as a part of the largest beside it.
func meter(n, most int) template.HTML {
	width := max(100*float64(n)/float64(max(most, 1)), 1)
	return template.HTML(fmt.Sprintf(`<svg class="meter" viewBox="0 0 100 2" preserveAspectRatio="none" aria-hidden="true"><rect class="wait" width="%.1f" height="2"/></svg>`, width)) //nolint:gosec // a number
}

// plain is the word in a metric's label.
func plain(label string) string { return strings.ReplaceAll(label, "_", " ") }

// line is one line of a diff, and what it is.
type line struct{ Class, Text string }

func diffLines(text string) []line {
	var lines []line
	for one := range strings.Lines(text) {
		class := ""
		switch {
		case strings.HasPrefix(one, "+"):
			class = "add"
		case strings.HasPrefix(one, "-"):
			class = "del"
		}
		lines = append(lines, line{class, strings.TrimRight(one, "\n")})
	}
	return lines
}
