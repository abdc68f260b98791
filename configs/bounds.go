package configs

import (
	"reflect"
	"strings"
)

// bounds checks a number against the min and max of its tag, which are written as in the file.
func (c *checker) bounds(l leaf) {
	if !l.value.CanInt() {
		return
	}
	if least, ok := l.bound("min"); ok && l.value.Int() < least {
		c.wrong(l.key, "is less than "+l.tag.Get("min"))
	}
	if most, ok := l.bound("max"); ok && l.value.Int() > most {
		c.wrong(l.key, "is more than "+l.tag.Get("max"))
	}
}

func (l leaf) bound(name string) (int64, bool) {
	text := l.tag.Get(name)
	if text == "" {
		return 0, false
	}
	v := reflect.New(l.value.Type()).Elem()
	if err := setScalar(v, text); err != nil {
		panic("bug: " + name + " of " + l.key + " " + err.Error())
	}
	return v.Int(), true
}

// tls checks that what a mode needs is there, and that nothing is set that it would ignore.
func (c *checker) tls() {
	t := c.config.TLS
	if t.Mode == "files" {
		c.needed("tls.certificate", t.Certificate)
		c.needed("tls.key", t.Key)
	} else {
		c.ignored("tls.certificate", t.Certificate)
		c.ignored("tls.key", t.Key)
	}
	if t.Mode == "acme" {
		c.acme()
	}
	if t.Mode == "off" && len(t.HTTP) > 0 {
		c.wrong("tls.http", "has no effect with tls.mode: off; put the address into listen")
	}
}

func (c *checker) acme() {
	a := c.config.TLS.ACME
	if a.Path == "" {
		c.wrong("tls.acme.path", "is missing: certificates and the account need a directory")
	}
	if a.Email != "" && (strings.Count(a.Email, "@") != 1 || strings.ContainsAny(a.Email, " <>,")) {
		c.wrong("tls.acme.email", "is no mail address")
	}
	if a.Directory != "" && !strings.HasPrefix(a.Directory, "https://") {
		c.wrong("tls.acme.directory", "is no https:// URL")
	}
}

func (c *checker) needed(key, value string) {
	if value == "" {
		c.wrong(key, "is missing: tls.mode: files needs tls.certificate and tls.key")
	}
}

func (c *checker) ignored(key, value string) {
	if value != "" {
		c.wrong(key, "has no effect with tls.mode: "+c.config.TLS.Mode+"; set tls.mode: files, or leave it out")
	}
}
