package relay

import (
	"encoding/json"
	"errors"
)

// span is the half-open range of bytes [from, to) of a document.
type span struct{ from, to int }

// member is one member of a JSON object: its decoded name and where its value
// stands.
type member struct {
	name  string
	value span
}

// insertion is text to put before the byte at.
type insertion struct {
	at   int
	text string
}

var errNotObject = errors.New("not a JSON object")

// members lists those of the object at doc[in.from:in.to], in order. doc must be
// valid JSON: json.Valid has been asked.
func members(doc []byte, in span) ([]member, error) {
	i := skipBlank(doc, in.from)
	if i >= in.to || doc[i] != '{' {
		return nil, errNotObject
	}
	var list []member
	for i = skipBlank(doc, i+1); doc[i] != '}'; i = skipBlank(doc, i) {
		if doc[i] == ',' {
			i = skipBlank(doc, i+1)
		}
		end := skipValue(doc, i)
		var name string
		if err := json.Unmarshal(doc[i:end], &name); err != nil {
			return nil, err
		}
		i = skipBlank(doc, skipBlank(doc, end)+1) // the colon
		end = skipValue(doc, i)
		list = append(list, member{name: name, value: span{i, end}})
		i = end
	}
	return list, nil
}

func skipBlank(doc []byte, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\t' || doc[i] == '\r' || doc[i] == '\n') {
		i++
	}
	return i
}

// skipValue gives the end of the JSON value that starts at i.
func skipValue(doc []byte, i int) int {
	depth := 0
	for i < len(doc) {
		switch doc[i] {
		case '"':
			i = skipString(doc, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\r', '\n':
			i++
		default:
			i = skipScalar(doc, i)
		}
		if depth == 0 {
			return i
		}
	}
	return i
}

func skipString(doc []byte, i int) int {
	for i++; i < len(doc) && doc[i] != '"'; i++ {
		if doc[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipScalar(doc []byte, i int) int {
	for ; i < len(doc); i++ {
		switch doc[i] {
		case ',', ':', '}', ']', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return i
}

// splice copies doc with the insertions, which are in the order of the document.
func splice(doc []byte, insertions []insertion) []byte {
	size := len(doc)
	for _, in := range insertions {
		size += len(in.text)
	}
	out := make([]byte, 0, size)
	from := 0
	for _, in := range insertions {
		out = append(append(out, doc[from:in.at]...), in.text...)
		from = in.at
	}
	return append(out, doc[from:]...)
}
