package forward

import "encoding/binary"

// token holds the bytes of RFC 9110 §5.6.2.
var token = func() (t [256]bool) { //nolint:gochecknoglobals // a table, never written
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

// hostByte holds the bytes of a Host value (RFC 3986 §3.2.2, with port and zone).
var hostByte = func() (t [256]bool) { //nolint:gochecknoglobals // a table, never written
	for _, c := range []byte("!$%&'()*+,-.:;=[]_~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

// cleanHost reports whether b can be a Host value; an empty one names nobody.
func cleanHost(b []byte) bool {
	for _, c := range b {
		if !hostByte[c] {
			return false
		}
	}
	return len(b) > 0
}

// hexDigit maps a byte to its value, or 0xff.
var hexDigit = func() (t [256]byte) { //nolint:gochecknoglobals // a table, never written
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte("0123456789abcdef") {
		t[c] = byte(i)
	}
	for i, c := range []byte("ABCDEF") {
		t[c] = byte(10 + i)
	}
	return t
}()

// cleanValue reports whether b may be a field value: no control byte but tab (RFC 9110 §5.5).
func cleanValue(b []byte) bool {
	for len(b) >= 8 {
		if suspicious(binary.LittleEndian.Uint64(b)) && !cleanBytes(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return cleanBytes(b)
}

// suspicious reports whether one of the eight bytes of x may be a control byte.
func suspicious(x uint64) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	low := (x - 0x20*ones) &^ x & high
	del := x ^ 0x7f*ones
	return low|(del-ones)&^del&high != 0
}

func cleanBytes(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// is reports whether b spells the lower-case ASCII name, in any case.
func is(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// trim drops spaces and tabs at both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// cut returns the first element of a comma-separated list and the rest.
func cut(list []byte) (element, rest []byte) {
	for i, c := range list {
		if c == ',' {
			return trim(list[:i]), list[i+1:]
		}
	}
	return trim(list), nil
}

// lists reports whether the comma-separated list contains the lower-case name.
func lists(list []byte, name string) bool {
	for len(list) > 0 {
		var element []byte
		if element, list = cut(list); is(element, name) {
			return true
		}
	}
	return false
}
