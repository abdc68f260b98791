package configs

import (
	"embed"
	"fmt"
)

//go:embed policies/*.yaml
var policies embed.FS

// Preset returns the text of a preset of the abuse policy: open, normal or quiet.
func Preset(name string) ([]byte, error) {
	text, err := policies.ReadFile("policies/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("%q is no preset: open, normal or quiet", name)
	}
	return text, nil
}
