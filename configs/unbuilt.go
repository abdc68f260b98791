package configs

import "strings"

// unbuilt names the keys whose feature does not exist yet, and what will bring it. Each still loads,
// with its default only. Whoever builds a feature deletes its line.
var unbuilt = map[string]string{
	"storage.engine": "the scale-out engine",
}

// unbuiltFeature returns what a key waits for, "" when nothing.
func unbuiltFeature(key string) string {
	for prefix, feature := range unbuilt {
		if key == prefix || strings.HasPrefix(key, prefix+".") {
			return feature
		}
	}
	return ""
}

// built reports every unbuilt key that is set to other than its default.
func (c *checker) built() {
	base := Default()
	defaults := map[string]string{}
	for _, l := range leaves(&base) {
		defaults[l.key] = l.text()
	}
	for _, l := range leaves(c.config) {
		feature := unbuiltFeature(l.key)
		if feature == "" || l.text() == defaults[l.key] && !l.secretSet() {
			continue
		}
		c.add(l, "this release is without "+feature+": leave the key out", defaults[l.key])
	}
}
