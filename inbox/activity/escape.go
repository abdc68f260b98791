package activity

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// appendUnescaped appends raw with its JSON escapes undone, as the most lenient reader would: an escape
// JSON does not know stands for its character, half a surrogate pair for U+FFFD.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		n := bytes.IndexByte(raw, '\\')
		if n < 0 || n+1 >= len(raw) {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:n]...)
		var used int
		dst, used = appendEscape(dst, raw[n:])
		raw = raw[n+used:]
	}
}

// appendEscape appends the character of the escape that raw begins with and says how long it is. raw has
// at least two bytes.
func appendEscape(dst, raw []byte) ([]byte, int) {
	switch c := raw[1]; c {
	case 'b':
		return append(dst, '\b'), 2
	case 'f':
		return append(dst, '\f'), 2
	case 'n':
		return append(dst, '\n'), 2
	case 'r':
		return append(dst, '\r'), 2
	case 't':
		return append(dst, '\t'), 2
	case 'u':
		r, used := escapedRune(raw)
		if used == 0 {
			return append(dst, 'u'), 2
		}
		return utf8.AppendRune(dst, r), used
	default:
		return append(dst, c), 2
	}
}

// escapedRune reads \uXXXX or a surrogate pair of them. It uses 0 bytes when there is none, and gives
// U+FFFD for half a pair.
func escapedRune(raw []byte) (r rune, used int) {
	r, ok := hex4(raw[2:])
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
		if low, ok := hex4(raw[8:]); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 12
			}
		}
	}
	return utf8.RuneError, 6
}

// digitValues has the value of every hexadecimal digit plus one, 0 for other bytes.
var digitValues = [256]uint8{
	'0': 1, '1': 2, '2': 3, '3': 4, '4': 5, '5': 6, '6': 7, '7': 8, '8': 9, '9': 10,
	'a': 11, 'b': 12, 'c': 13, 'd': 14, 'e': 15, 'f': 16,
	'A': 11, 'B': 12, 'C': 13, 'D': 14, 'E': 15, 'F': 16,
}

// hex4 reads four hexadecimal digits.
func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	p, q, r, s := rune(digitValues[b[0]]), rune(digitValues[b[1]]), rune(digitValues[b[2]]), rune(digitValues[b[3]])
	if p == 0 || q == 0 || r == 0 || s == 0 {
		return 0, false
	}
	return (p-1)<<12 | (q-1)<<8 | (r-1)<<4 | (s - 1), true
}

func asciiLower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// lowerASCII lower-cases b in place.
func lowerASCII(b []byte) []byte {
	for i, c := range b {
		b[i] = asciiLower(c)
	}
	return b
}
