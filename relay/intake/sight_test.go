package intake_test

import (
	"strings"
	"testing"

	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay/intake"
)

// crowd has the places of a stage taken, and all before it.
func crowd(t testing.TB, at rules.Stage) *intake.Places {
	t.Helper()
	p := intake.NewPlaces(intake.PlacesOptions{Most: 16 * place})
	for n := range 16 {
		if _, err := p.Enter(at, from(n), 1); err != nil {
			return p
		}
	}
	return p
}

// TestCrowdedAtSight: what plainly is at a stage whose places are taken is known without being read, and nothing else is.
func TestCrowdedAtSight(t *testing.T) {
	invitation, message := create(inboxtest.Welcome([]byte("ref"))), create(ofGroup())
	both := create(ofGroup(), inboxtest.Welcome([]byte("ref")))
	half, full := crowd(t, rules.Contact), crowd(t, rules.Group)
	for _, c := range []struct {
		name, body string
		half, full bool
	}{
		{"an invitation", invitation, true, true},
		{"a message", message, false, true},
		{"a message and an invitation", both, true, true},
		{"an invitation in an unusual spelling", strings.Replace(invitation, "AAEA", `\u0041AEA`, 1), false, false},
		{"one without a frame", create(inboxtest.Welcome([]byte("ref"))[4:]), false, false},
		{"a key package's format", create([]byte{0, 1, 0, 5, 0, 1}), false, false},
		{"cut short", `{"content":"AAEAAg`, false, false},
		{"not base64", `{"content":"AAEA....","a":"AAEA"`, false, false},
		{"an ordinary post", `{"type":"Follow"}`, false, false},
		{"nothing", ``, false, false},
	} {
		if _, got := half.Crowded([]byte(c.body)); got != c.half {
			t.Errorf("%s, half full: %v", c.name, got)
		}
		if _, got := full.Crowded([]byte(c.body)); got != c.full {
			t.Errorf("%s, full: %v", c.name, got)
		}
		if _, got := intake.NewPlaces(intake.PlacesOptions{Most: place}).Crowded([]byte(c.body)); got {
			t.Errorf("%s, at rest: crowded", c.name)
		}
	}
	late, _ := full.Crowded([]byte(invitation))
	if soon, _ := full.Crowded([]byte(message)); soon <= 0 || soon >= late {
		t.Errorf("groups come back after %v, contact after %v", soon, late)
	}
}

// FuzzCrowded: what is turned away as an invitation at sight is none of a group's messages when it is read.
func FuzzCrowded(f *testing.F) {
	for _, message := range [][]byte{ofGroup(), inboxtest.Welcome([]byte("ref")), {0, 1, 0, 5}, {0, 1, 0, 0x40}} {
		f.Add(message, create(message))
	}
	half := crowd(f, rules.Contact)
	f.Fuzz(func(t *testing.T, message []byte, body string) {
		half.Crowded([]byte(body))
		body = create(message)
		if _, crowded := half.Crowded([]byte(body)); crowded && intake.StageOf(parse(t, body)) == rules.Group {
			t.Errorf("a message of a group was taken for an invitation: %s", body)
		}
	})
}
