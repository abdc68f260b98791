package relay

import (
	"bytes"
	"net/url"
)

// route is where a request goes. Its text is the label of the metrics.
type route string

const (
	routeForward     route = "forward"      // the upstream's, unread
	routeStreaming   route = "streaming"    // the upstream's streaming server
	routeInbox       route = "inbox"        // POST to an inbox: read, classified, kept or forwarded
	routeActor       route = "actor"        // perhaps an actor document: the upstream's, with ours added
	routeMessages    route = "messages"     // a person's mailbox
	routeEvents      route = "events"       // a person's mailbox as it fills
	routePush        route = "push"         // a person's Web Push subscriptions
	routeKeyPackages route = "key_packages" // a person's key packages
	routeKeyPackage  route = "key_package"  // one of them
	routeOutbox      route = "outbox"       // POST to an outbox: sent
	routeActivities  route = "activities"   // an activity that was sent here
	routeObjects     route = "objects"      // an object of one
	routeThread      route = "conversation" // the order of a group's activities
	routeOwnInbox    route = "own_inbox"    // GET of a personal inbox: its owner's messages, else the upstream's
	routePreflight   route = "preflight"    // OPTIONS for what the instance serves to our clients and answers none for
	routeRevoke      route = "revoke"       // the upstream's; a token ends
	routeOwnActor    route = "own_actor"    // the actor that signs the gateway's fetches
	routeWebFinger   route = "webfinger"    // ours for one resource, else the upstream's
	routeAuthorize   route = "authorize"    // pages of signing in
	routeToken       route = "token"        // tokens of our own, bought and revoked
	routeMetadata    route = "metadata"     // of our authorization server
	routeDevices     route = "devices"      // a person's signed-in devices
	routePolicy      route = "policy"       // what everybody may know of the policy
	routeProxy       route = "proxy"        // documents of others, fetched for a person
	routeRequests    route = "requests"     // the caller's message requests
	routeRequest     route = "request"      // one of them, to be decided about
)

// methods are those that a route of the gateway's own takes, besides OPTIONS.
func (r route) methods() string {
	switch r {
	case routeMessages, routeDevices:
		return "GET, HEAD, DELETE"
	case routePush:
		return "GET, HEAD, POST, DELETE"
	case routeOutbox, routeRequests:
		return "GET, HEAD, POST" // reading an outbox is the instance's
	case routeRequest, routeProxy:
		return "POST"
	}
	return "GET, HEAD"
}

// destination is a route with what the path said. name and item borrow the request.
type destination struct {
	route route
	name  []byte
	item  []byte
}

// routeOf decides by the request line alone and allocates nothing for what is
// forwarded.
func (r *Relay) routeOf(method, target []byte) destination {
	path := pathOf(target)
	if d, ok := r.signInRoute(method, path); ok {
		return d
	}
	if isPost(method) {
		if r.isInbox(path) {
			return destination{route: routeInbox}
		}
		if string(path) == "/oauth/revoke" {
			return destination{route: routeRevoke}
		}
	}
	if rest, ok := bytes.CutPrefix(path, []byte("/e2ee/")); ok {
		return r.ownRoute(rest)
	}
	if isOutbox(path) && (isPost(method) || string(method) == "OPTIONS") {
		return destination{route: routeOutbox}
	}
	if string(method) == "OPTIONS" && isForgotten(path) {
		return destination{route: routePreflight}
	}
	if !isRead(method) {
		return r.passing(path)
	}
	if bytes.Equal(path, []byte("/.well-known/webfinger")) {
		return destination{route: routeWebFinger}
	}
	if isActorPath(path) {
		return destination{route: routeActor}
	}
	if bytes.HasSuffix(path, []byte("/inbox")) {
		return destination{route: routeOwnInbox}
	}
	return r.passing(path)
}

func (r *Relay) passing(path []byte) destination {
	rest, ok := bytes.CutPrefix(path, []byte("/api/v1/streaming"))
	if ok && r.streaming != nil && (len(rest) == 0 || rest[0] == '/') {
		return destination{route: routeStreaming}
	}
	return destination{route: routeForward}
}

// ownRoute reads what follows /e2ee/. What is not (yet) the gateway's own is the
// upstream's to answer.
func (r *Relay) ownRoute(rest []byte) destination {
	switch {
	case bytes.Equal(rest, []byte("actor")):
		return destination{route: routeOwnActor}
	case bytes.Equal(rest, []byte("requests")):
		return destination{route: routeRequests}
	case r.published != nil && bytes.Equal(rest, []byte("policy")):
		return destination{route: routePolicy}
	case r.looking != nil && bytes.Equal(rest, []byte("proxy")):
		return destination{route: routeProxy}
	}
	kind, id, isOne := bytes.Cut(rest, []byte("/"))
	switch name := string(kind); {
	case !isOne:
	case name == "activities":
		return destination{route: routeActivities, name: id}
	case name == "objects":
		return destination{route: routeObjects, name: id}
	case name == "conversations":
		return destination{route: routeThread, name: id}
	case name == "requests":
		return destination{route: routeRequest, name: id}
	case name == "users":
		return r.personRoute(id)
	}
	return destination{route: routeForward}
}

// personRoute reads what follows /e2ee/users/.
func (r *Relay) personRoute(rest []byte) destination {
	name, what, _ := bytes.Cut(rest, []byte("/"))
	if len(name) == 0 {
		return destination{route: routeForward}
	}
	if r.signIn != nil && (string(what) == "devices" || bytes.HasPrefix(what, []byte("devices/"))) {
		return destination{route: routeDevices, name: name}
	}
	switch string(what) {
	case "messages":
		return destination{route: routeMessages, name: name}
	case "events":
		return destination{route: routeEvents, name: name}
	case "push":
		if r.push != nil {
			return destination{route: routePush, name: name}
		}
	case "keyPackages":
		return destination{route: routeKeyPackages, name: name}
	}
	if item, ok := bytes.CutPrefix(what, []byte("keyPackages/")); ok && len(item) > 0 {
		return destination{route: routeKeyPackage, name: name, item: item}
	}
	return destination{route: routeForward}
}

// isActorPath tells whether a path may be an actor's: /users/{name},
// /ap/users/{id}, /@{name}, and /{name} as snac has it. The document decides.
func isActorPath(path []byte) bool {
	for _, prefix := range [...]string{"/ap/users/", "/users/", "/"} {
		if len(path) > len(prefix) && string(path[:len(prefix)]) == prefix {
			last := bytes.TrimSuffix(path[len(prefix):], []byte("/"))
			return len(last) > 0 && bytes.IndexByte(last, '/') < 0
		}
	}
	return false
}

// isForgotten tells whether a path is one of the instance's that a client's page on another origin must read with its
// token, and that Mastodon answers no preflight for: an actor's by number, and a personal inbox.
func isForgotten(path []byte) bool {
	id, isNumbered := bytes.CutPrefix(path, []byte("/ap/users/"))
	isActor := isNumbered && len(id) > 0 && bytes.IndexByte(id, '/') < 0
	return isActor || bytes.HasSuffix(path, []byte("/inbox")) && len(path) > len("/inbox")
}

// unescaped undoes the escapes of a part of a path (RFC 3986 §2.1); what has a wrong one is left as it is.
func unescaped(part string) string {
	if plain, err := url.PathUnescape(part); err == nil {
		return plain
	}
	return part
}

// pathOf takes the path from a request target as it came: without query and
// fragment, and without scheme and authority when it is in absolute form
// (RFC 9112 §3.2.2).
func pathOf(target []byte) []byte {
	if len(target) > 0 && target[0] != '/' {
		if _, after, ok := bytes.Cut(target, []byte("://")); ok {
			slash := bytes.IndexByte(after, '/')
			if slash < 0 {
				return nil
			}
			target = after[slash:]
		}
	}
	if end := bytes.IndexAny(target, "?#"); end >= 0 {
		target = target[:end]
	}
	return target
}

func isPost(method []byte) bool {
	return len(method) == 4 && bytes.EqualFold(method, []byte("POST"))
}

func isRead(method []byte) bool {
	return string(method) == "GET" || string(method) == "HEAD"
}
