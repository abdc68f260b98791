package mastodon

import (
	"net/url"
	"regexp"
	"strings"
)

// username is what a local person can be called: letters, digits and
// underscores, with dots and hyphens inside as GoToSocial and snac allow.
var username = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,126}[A-Za-z0-9_])?$`)

// subject is an id read but not yet believed: exactly one of its fields is set.
type subject struct {
	name    string // lower-case username
	account string // from /ap/users/{id}
	page    string // any other URL on our host: WebFinger may know it
}

// key is how the cache and a Register call the subject; Person.Keys has the
// same three forms.
func (s subject) key() string {
	switch {
	case s.name != "":
		return "@" + s.name
	case s.account != "":
		return "#" + s.account
	default:
		return s.page
	}
}

// read says whom an id is about: a bare username, or a URL on our host in any
// spelling. ErrNoPerson when it can be nobody here.
func (i *Instance) read(id string) (subject, error) {
	if len(id) > 2048 {
		return subject{}, ErrNoPerson
	}
	if username.MatchString(id) {
		return subject{name: strings.ToLower(id)}, nil
	}
	u, err := url.Parse(id)
	if err != nil || !i.local(u) || u.User != nil || u.RawQuery != "" {
		return subject{}, ErrNoPerson
	}
	path := strings.TrimSuffix(u.Path, "/")
	if s, ok := mastodonPath(path); ok {
		return s, nil
	}
	if path == "" || strings.Count(path, "/") > 4 {
		return subject{}, ErrNoPerson
	}
	return subject{page: u.Scheme + "://" + i.domain + path}, nil
}

// mastodonPath reads the paths Mastodon gives its people. A longer path, such as
// a followers collection, is not one of them.
func mastodonPath(path string) (subject, bool) {
	lower := strings.ToLower(path)
	if id, ok := strings.CutPrefix(lower, "/ap/users/"); ok && digits(id) {
		return subject{account: id}, true
	}
	for _, prefix := range []string{"/users/", "/@"} {
		if name, ok := strings.CutPrefix(lower, prefix); ok && username.MatchString(name) {
			return subject{name: name}, true
		}
	}
	return subject{}, false
}

func digits(s string) bool {
	return s != "" && len(s) <= 20 && strings.Trim(s, "0123456789") == ""
}
