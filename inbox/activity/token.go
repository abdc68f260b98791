package activity

import "unicode/utf8"

// peek returns the byte at hand, 0 at the end.
func (w *walker) peek() byte {
	if w.i < len(w.text) {
		return w.text[w.i]
	}
	return 0
}

func (w *walker) space() {
	for w.i < len(w.text) {
		switch w.text[w.i] {
		case ' ', '\t', '\n', '\r':
			w.i++
		default:
			return
		}
	}
}

// str reads a string (RFC 8259 §7) and returns what stands between its quotes.
func (w *walker) str() ([]byte, error) {
	w.i++
	from := w.i
	for w.i < len(w.text) {
		switch c := w.text[w.i]; {
		case c == '"':
			w.i++
			return w.text[from : w.i-1], nil
		case c == '\\':
			if !w.escape() {
				return nil, w.fail()
			}
		case c < 0x20:
			return nil, w.fail()
		default:
			w.i++
		}
	}
	return nil, w.fail()
}

// escape passes one escape and notes half a surrogate pair.
func (w *walker) escape() bool {
	if w.i+1 >= len(w.text) {
		return false
	}
	switch w.text[w.i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		w.i += 2
		return true
	case 'u':
		r, used := escapedRune(w.text[w.i:])
		if r == utf8.RuneError && used == 6 {
			literal, _ := hex4(w.text[w.i+2:])
			w.lone = w.lone || literal != utf8.RuneError
		}
		w.i += used
		return used > 0
	}
	return false
}

// number reads a number (RFC 8259 §6).
func (w *walker) number() error {
	if w.peek() == '-' {
		w.i++
	}
	if w.peek() == '0' {
		w.i++
	} else if !w.digits() {
		return w.fail()
	}
	if w.peek() == '.' {
		w.i++
		if !w.digits() {
			return w.fail()
		}
	}
	if w.peek()|0x20 != 'e' {
		return nil
	}
	w.i++
	if c := w.peek(); c == '+' || c == '-' {
		w.i++
	}
	if !w.digits() {
		return w.fail()
	}
	return nil
}

// digits passes at least one digit.
func (w *walker) digits() bool {
	from := w.i
	for c := w.peek(); c >= '0' && c <= '9'; c = w.peek() {
		w.i++
	}
	return w.i > from
}
