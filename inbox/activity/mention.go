package activity

import (
	"bytes"
	"strings"
)

// Mentions reports whether body could be MLS to any reader: it contains message/mls once JSON escapes
// are undone, or a string that is one of the five types. It needs no valid JSON, so that it also decides
// about bodies that only a lenient parser reads (comments, NUL bytes, UTF-16, a cut-off end).
//
// Every string of every reading lies between two consecutive unescaped quotes, whichever of them opens;
// so a body it says no to is not MLS in any reading.
func Mentions(body []byte) bool {
	if bytes.IndexByte(body, 0) >= 0 {
		// UTF-16 and UTF-32 write ASCII with NULs between; nothing that is JSON has any.
		body = bytes.ReplaceAll(body, []byte{0}, nil)
	}
	return mentionsType(body) || mentionsMedia(body)
}

func mentionsType(body []byte) bool {
	from := nextQuote(body, 0)
	for from < len(body) {
		to := nextQuote(body, from+1)
		if couldBeType(body[from+1 : min(to, len(body))]) {
			return true
		}
		from = to
	}
	return false
}

// nextQuote returns the position of the first unescaped quote at or after i, or len(b).
func nextQuote(b []byte, i int) int {
	for i < len(b) {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return len(b)
		}
		i += n
		escapes := 0
		for escapes < n && b[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
		i++
	}
	return len(b)
}

// couldBeType decides about the text between two quotes. The length test keeps long contents cheap: no
// spelling of a type needs more than six bytes for a character.
func couldBeType(raw []byte) bool {
	if len(raw) < len("Welcome") || len(raw) > 6*maxTerm {
		return false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return endsAsType(raw) && isTypeMLS(string(raw))
	}
	var buf [6 * maxTerm]byte
	return isTypeMLS(string(appendUnescaped(buf[:0], raw)))
}

// endsAsType spares other strings the copy.
func endsAsType(raw []byte) bool {
	for _, end := range [...]string{"Message", "Welcome", "GroupInfo", "KeyPackage"} {
		if len(raw) >= len(end) && string(raw[len(raw)-len(end):]) == end {
			return true
		}
	}
	return false
}

func mentionsMedia(body []byte) bool {
	switch slash := slashMLS(body); {
	case slash && bytes.Contains(body, []byte(mediaMLS)): // as nearly everybody writes it
		return true
	case !slash && !oddEscapes(body):
		return false
	}
	text := appendUnescaped(make([]byte, 0, len(body)), body)
	return bytes.Contains(lowerASCII(text), []byte(mediaMLS))
}

// slashMLS finds the unescaped end of "message/mls".
func slashMLS(b []byte) bool {
	for {
		n := bytes.IndexByte(b, '/')
		if n < 0 || len(b)-n < len("/mls") {
			return false
		}
		if b[n+1]|0x20 == 'm' && b[n+2]|0x20 == 'l' && b[n+3]|0x20 == 's' {
			return true
		}
		b = b[n+1:]
	}
}

// oddEscapes reports an escape that could spell part of message/mls: a letter of it as \u00XX, or one
// that JSON does not know and lenient readers take for the character itself.
func oddEscapes(b []byte) bool {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\\')
		i += n
		if n < 0 || i+1 >= len(b) {
			return false
		}
		switch b[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			if spellsMedia(b[i+2:]) {
				return true
			}
			i += 6
		default:
			return true
		}
	}
}

// spellsMedia decides about the digits of a \uXXXX; what is cut short or not hexadecimal counts as odd.
func spellsMedia(digits []byte) bool {
	r, ok := hex4(digits)
	return !ok || r < 0x80 && strings.IndexByte("aeglms/", asciiLower(byte(r))) >= 0
}
