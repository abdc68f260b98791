package configs

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Validate returns everything that is wrong with c as joined *Problem values, nil when nothing is. It
// looks at no file, name or network: that is for the check command.
func (c Config) Validate() error {
	var list []error
	for _, p := range c.problems() {
		list = append(list, p)
	}
	return errors.Join(list...)
}

func (c Config) problems() []*Problem {
	ch := &checker{config: &c, keys: map[string]leaf{}}
	for _, l := range leaves(&c) {
		ch.keys[l.key] = l
		ch.choice(l)
		ch.bounds(l)
	}
	ch.domain()
	ch.listeners()
	ch.upstreams()
	ch.tls()
	ch.kept()
	ch.signing()
	ch.admin()
	return ch.problems
}

// checker collects problems.
type checker struct {
	config   *Config
	keys     map[string]leaf
	problems []*Problem
}

func (c *checker) add(l leaf, reason, example string) {
	c.problems = append(c.problems, &Problem{Key: l.key, Value: l.text(), Reason: reason, Example: example})
}

// wrong adds a problem of key with the example of its tag.
func (c *checker) wrong(key, reason string) {
	l := c.keys[key]
	c.add(l, reason, l.tag.Get("example"))
}

func (c *checker) choice(l leaf) {
	choices, ok := l.tag.Lookup("oneof")
	if !ok || slices.Contains(strings.Split(choices, ","), l.text()) {
		return
	}
	c.wrong(l.key, "is not one of "+strings.ReplaceAll(choices, ",", ", "))
}

func (c *checker) listeners() {
	cfg := c.config
	if len(cfg.Listen) == 0 {
		c.wrong("listen", "names no address: nobody could reach the gateway")
	}
	seen := map[Address]string{}
	note := func(key string, a Address) {
		if err := a.check(); err != nil {
			c.wrong(key, err.Error())
		} else if _, port, _ := net.SplitHostPort(string(a)); seen[a] != "" && port != "0" {
			c.wrong(key, "is used twice: "+string(a)+" is also in "+seen[a])
		}
		seen[a] = key
	}
	for _, a := range cfg.Listen {
		note("listen", a)
	}
	for _, a := range cfg.TLS.HTTP {
		note("tls.http", a)
	}
	note("admin.listen", cfg.Admin.Listen)
	if cfg.ProxyProtocol == "trusted" && len(cfg.TrustedProxies) == 0 {
		c.wrong("proxy_protocol", "has no effect while trusted_proxies is empty")
	}
}

func (c *checker) upstreams() {
	up := c.config.Upstream
	if up.Web == "" {
		c.wrong("upstream.web", "is missing: it is the instance to stand in front of")
	}
	for key, u := range map[string]string{"upstream.web": up.Web, "upstream.streaming": up.Streaming} {
		if u == "" {
			continue
		}
		if err := checkUpstream(u); err != nil {
			c.wrong(key, err.Error())
		}
		own := func(a Address) bool { return a.answers(u) }
		if slices.ContainsFunc(c.config.Listen, own) || slices.ContainsFunc(c.config.TLS.HTTP, own) {
			c.wrong(key, "is the gateway's own listener: it would answer itself")
		}
	}
}

func (c *checker) kept() {
	cfg := c.config
	if cfg.Mailbox.Quota < cfg.Mailbox.MaxActivity {
		c.wrong("mailbox.quota", "is less than one activity may be: mailbox.max_activity is "+cfg.Mailbox.MaxActivity.String())
	}
	if cfg.Mailbox.Requests.Size < cfg.Mailbox.MaxActivity {
		c.wrong("mailbox.requests.size", "is less than one activity may be: mailbox.max_activity is "+cfg.Mailbox.MaxActivity.String())
	}
	if cfg.Storage.Path == "" {
		c.wrong("storage.path", "is missing: messages need a directory")
	}
	if cfg.Storage.EncryptionKey.IsZero() {
		c.wrong("storage.encryption_key", "is missing: what is kept is always encrypted")
	}
	if k := cfg.KeyPackages; k.LowWater > k.MaxPerDevice {
		c.wrong("key_packages.low_water", "is more than a device may have: key_packages.max_per_device is "+strconv.Itoa(k.MaxPerDevice))
	}
	if cfg.Limits.Intake > cfg.Memory {
		c.wrong("limits.intake", "is more than the program may take: memory is "+cfg.Memory.String())
	}
	if cfg.Limits.URIBytes > cfg.Limits.HeaderBytes {
		c.wrong("limits.uri_bytes", "is more than limits.header_bytes, which it counts within: "+cfg.Limits.HeaderBytes.String())
	}
	if r := cfg.Limits.FailedSignatures; r.Max < 1 || r.Every <= 0 {
		c.wrong("limits.failed_signatures", errRate.Error())
	}
}
