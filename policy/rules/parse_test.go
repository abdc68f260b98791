package rules_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func preset(t testing.TB, name string) *rules.Policy {
	t.Helper()
	text, err := os.ReadFile("../../configs/policies/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := rules.Parse(rules.Source{Name: name, Text: text, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPresetsLoad(t *testing.T) {
	for _, name := range []string{"open", "normal", "quiet"} {
		p := preset(t, name)
		fmt.Println(p.Hash(), p.Warnings())
	}
}
