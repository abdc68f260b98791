package activity

import (
	"bytes"
	"fmt"
)

// role says what a value at some place of the document is read as.
type role byte

const (
	skip  role = iota // decides nothing
	node              // an activity, an object of one, or an array of them
	kinds             // the value of type
	media             // the value of mediaType
)

// inObject marks the open containers on the walker's stack that are objects.
const inObject = 0x80

// walker checks text against RFC 8259 and looks for MLS on the way. It keeps one byte for every open
// container and no tree, so depth costs no stack; it visits every member, so duplicate keys hide nothing.
type walker struct {
	text []byte
	i    int
	open []byte // the role of the members, | inObject

	mls    bool
	lone   bool // half a surrogate pair was seen
	depth  int
	keys   int
	values int
}

// walk reads the whole document. Its error names the offset where the text stops being JSON.
func (w *walker) walk() error {
	var buf [64]byte
	w.open = buf[:0]
	next := node
	for {
		opened, err := w.value(next)
		if err != nil {
			return err
		}
		next, err = w.after(opened)
		if err != nil {
			return err
		}
		if len(w.open) == 0 {
			return w.end()
		}
	}
}

// value reads a scalar, or the bracket that opens a container.
func (w *walker) value(r role) (opened bool, err error) {
	w.space()
	w.values++
	switch c := w.peek(); {
	case c == '{':
		w.push(byte(r) | inObject)
		return true, nil
	case c == '[':
		w.push(byte(r))
		return true, nil
	case c == '"':
		raw, err := w.str()
		w.judge(r, raw)
		return false, err
	case c == '-' || c >= '0' && c <= '9':
		return false, w.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(w.text[w.i:], []byte(word)) {
			w.i += len(word)
			return false, nil
		}
	}
	return false, w.fail()
}

// after consumes what stands between a value, or an opened container, and the next value; it returns
// the next one's role. No container is open when there is none.
func (w *walker) after(opened bool) (role, error) {
	for len(w.open) > 0 {
		top := w.open[len(w.open)-1]
		w.space()
		c := w.peek()
		switch {
		case c == closer(top):
			w.i++
			w.open = w.open[:len(w.open)-1]
			opened = false
			continue
		case opened: // the first member
		case c == ',':
			w.i++
		default:
			return skip, w.fail()
		}
		if top&inObject == 0 {
			return role(top), nil
		}
		return w.key(role(top &^ inObject))
	}
	return skip, nil
}

func closer(top byte) byte {
	if top&inObject != 0 {
		return '}'
	}
	return ']'
}

// key reads a member's name and colon, and returns the role of its value.
func (w *walker) key(parent role) (role, error) {
	w.space()
	if w.peek() != '"' {
		return skip, w.fail()
	}
	raw, err := w.str()
	if err != nil {
		return skip, err
	}
	w.keys++
	w.space()
	if w.peek() != ':' {
		return skip, w.fail()
	}
	w.i++
	if parent == skip || len(raw) > 6*maxTerm {
		return skip, nil
	}
	return roleOf(parent, decoded(raw)), nil
}

func roleOf(parent role, key string) role {
	name := Term(key)
	switch {
	case parent != node:
		if isWrapperKey(name) {
			return parent
		}
		return skip
	case name == "type" || name == "@type":
		return kinds
	case name == "mediaType":
		return media
	case isChainKey(name):
		return node
	}
	return skip
}

// judge notes whether a string in the given role makes the document MLS.
func (w *walker) judge(r role, raw []byte) {
	switch r {
	case kinds:
		w.mls = w.mls || couldBeType(raw)
	case media:
		w.mls = w.mls || isMediaMLS(decoded(raw))
	case skip, node:
	}
}

func (w *walker) push(frame byte) {
	w.i++
	w.open = append(w.open, frame)
	w.depth = max(w.depth, len(w.open))
}

func (w *walker) end() error {
	w.space()
	if w.i < len(w.text) {
		return w.fail()
	}
	return nil
}

func (w *walker) fail() error {
	return fmt.Errorf("offset %d", w.i)
}

// decoded returns the text between two quotes with escapes undone.
func decoded(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	return string(appendUnescaped(nil, raw))
}
