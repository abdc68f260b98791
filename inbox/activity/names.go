package activity

import "strings"

const mediaMLS = "message/mls"

// prefixes are the ways a term of the two vocabularies is written besides plain.
var prefixes = [...]string{
	"mls:",
	"as:",
	"https://purl.archive.org/socialweb/mls#",
	"http://purl.archive.org/socialweb/mls#",
	"https://www.w3.org/ns/activitystreams#",
	"http://www.w3.org/ns/activitystreams#",
}

// maxTerm is the longest spelling of an MLS type: the longest prefix and "PrivateMessage".
const maxTerm = len("https://purl.archive.org/socialweb/mls#PrivateMessage")

// Term returns name without the prefix of one of the two vocabularies, in which "mls:content", its full IRI and "content"
// are the same.
func Term(name string) string {
	if strings.IndexByte(name, ':') < 0 {
		return name
	}
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(name, p); ok {
			return rest
		}
	}
	return name
}

// isTypeMLS reports whether a decoded string is one of the five types in any spelling.
func isTypeMLS(term string) bool {
	switch Term(term) {
	case "PublicMessage", "PrivateMessage", "Welcome", "GroupInfo", "KeyPackage":
		return true
	}
	return false
}

// isMediaMLS reports whether a decoded string is the media type message/mls, in any case and with any
// parameters (RFC 9110 §8.3.1).
func isMediaMLS(s string) bool {
	s, _, _ = strings.Cut(s, ";")
	return string(lowerASCII([]byte(strings.TrimSpace(s)))) == mediaMLS
}

// isChainKey names the members that lead from a node to further nodes that count as "the object" of an
// activity: collections of objects, and the forms JSON-LD has for saying the same.
func isChainKey(name string) bool {
	switch name {
	case "object", "items", "orderedItems", "first",
		"@graph", "@list", "@set", "@value", "@included", "@reverse":
		return true
	}
	return false
}

// isWrapperKey names the members that hold the value itself in JSON-LD's long forms of a scalar.
func isWrapperKey(name string) bool {
	switch name {
	case "@value", "@id", "id", "@list", "@set":
		return true
	}
	return false
}
