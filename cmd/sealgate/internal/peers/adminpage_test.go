package peers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/cmd/demo/instance"
)

// shownPage is what a phone shows.
type shownPage struct {
	URL, Title, Text string
	Wide             int
}

// TestOperatorsPage: on a phone without JavaScript, an administrator logs in at the instance, walks every page,
// puts another preset in force and takes it back; somebody without that role gets no further than the door.
func TestOperatorsPage(t *testing.T) {
	if testing.Short() {
		t.Skip("the real peers are left out by -short")
	}
	requirePeers(t)
	domain := freeAddress(t)
	double := instance.New(instance.Options{Origin: "http://" + domain, IDs: instance.Numeric})
	for name, role := range map[string]instance.Role{"olga": instance.Admin, "mona": instance.Moderator} {
		p, err := double.AddPerson(name)
		if err != nil {
			t.Fatal(err)
		}
		double.SetRole(p, role)
	}
	g := launch(t, setup{binary: buildGateway(t.Context(), t), domain: domain, upstream: serveInstance(t, double), software: "mastodon"})
	file := filepath.Join(filepath.Dir(g.config), "policy.yaml")
	phone := startPeer(t, new(struct{}), "adminpage.mjs")
	screens := t.ArtifactDir()

	var now shownPage
	phone.call(t, "login", args{"admin": g.admin, "name": "mona", "screens": screens}, &now)
	if !strings.Contains(now.Text, "for administrators") || strings.Contains(now.Text, "In force") {
		t.Errorf("a moderator sees %q", now.Text)
	}
	phone.call(t, "login", args{"admin": g.admin, "name": "olga", "screens": screens}, &now)
	if now.URL != g.admin+"/page/" || !strings.Contains(now.Text, "In force") || !strings.Contains(now.Text, "@olga") {
		t.Fatalf("after the login: %+v", now)
	}

	var walked struct{ Pages []shownPage }
	phone.call(t, "walk", args{"screens": screens}, &walked)
	if len(walked.Pages) != 8 {
		t.Errorf("%d pages", len(walked.Pages))
	}
	for _, p := range walked.Pages {
		if p.Wide > 390 || !strings.Contains(p.Text, "@olga") {
			t.Errorf("%s is %d points wide: %q", p.URL, p.Wide, p.Text)
		}
	}

	var changed struct{ Before, After string }
	phone.call(t, "change", args{"admin": g.admin, "preset": "quiet", "screens": screens}, &changed)
	if !strings.Contains(changed.Before, "Put quiet in force") || !strings.Contains(changed.After, "page, @olga") {
		t.Errorf("the change: %+v", changed)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), `The preset "quiet"`) {
		t.Errorf("the file: %s %v", text, err)
	}
	phone.call(t, "undo", args{"screens": screens}, &now)
	if text, err := os.ReadFile(file); err != nil || string(text) != lenient {
		t.Errorf("the file after undo: %s %v, the page %q", text, err, now.Text)
	}
	phone.call(t, "logout", nil, &now)
	if !strings.Contains(now.Text, "Log in") {
		t.Errorf("after logging out: %q", now.Text)
	}
}
