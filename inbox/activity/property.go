package activity

import (
	"bytes"
	"errors"
	"strings"

	"github.com/valyala/fastjson"
)

// unique refuses documents in which an object names a key twice: readers disagree about which counts.
func (r *reader) unique(v *fastjson.Value) {
	switch v.Type() {
	case fastjson.TypeArray:
		for _, e := range v.GetArray() {
			r.unique(e)
		}
	case fastjson.TypeObject:
		seen := make(map[string]struct{}, v.GetObject().Len())
		v.GetObject().Visit(func(key []byte, e *fastjson.Value) {
			if _, twice := seen[string(key)]; twice {
				r.fail(malformed("the key %q occurs twice in one object", short(string(key))))
			}
			seen[string(key)] = struct{}{}
			r.unique(e)
		})
	default:
	}
}

// property returns the value of a property in any spelling of its name, nil when absent or null. Two
// spellings with unlike values are refused: who reads one would be told another story than who reads the other.
func (r *reader) property(v *fastjson.Value, name string) *fastjson.Value {
	var found *fastjson.Value
	v.GetObject().Visit(func(key []byte, e *fastjson.Value) {
		if !names(Term(string(key)), name) || e.Type() == fastjson.TypeNull {
			return
		}
		if found != nil && !bytes.Equal(found.MarshalTo(nil), e.MarshalTo(nil)) {
			r.fail(malformed("%s is given twice, with unlike values", name))
		}
		found = e
	})
	return found
}

// names reports whether a key without prefix stands for the property.
func names(key, property string) bool {
	switch property {
	case "id", "type":
		return key == property || key[0:min(1, len(key))] == "@" && key[1:] == property
	case "ciphersuite":
		return strings.EqualFold(key, property)
	}
	return key == property
}

// id returns the one string or id that a property holds, "" when absent.
func (r *reader) id(v *fastjson.Value, name string) string {
	list := r.ids(v, name)
	if len(list) > 1 {
		r.fail(malformed("%s: %v", name, errSeveral))
	}
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// ids returns the strings and ids that a property holds, in order and without repetition.
func (r *reader) ids(v *fastjson.Value, name string) []string {
	p := r.property(v, name)
	if p == nil {
		return nil
	}
	var set idSet
	if err := set.collect(p); err != nil {
		r.fail(malformed("%s: %v", name, err))
	}
	for _, id := range set.list {
		if r.lone && strings.ContainsAny(id, "\\\ufffd") {
			r.fail(malformed("%s: %q has half a surrogate pair", name, short(id)))
		}
	}
	return set.list
}

// idSet keeps ids in the order of their first occurrence.
type idSet struct {
	list []string
	seen map[string]struct{}
}

func (s *idSet) add(id string) {
	if _, ok := s.seen[id]; ok || id == "" {
		return
	}
	if s.seen == nil {
		s.seen = make(map[string]struct{})
	}
	s.seen[id] = struct{}{}
	s.list = append(s.list, id)
}

// collect adds what v names: itself, its elements, or its id.
func (s *idSet) collect(v *fastjson.Value) error {
	if v.Type() != fastjson.TypeArray {
		id, err := scalar(v)
		s.add(id)
		return err
	}
	for _, e := range v.GetArray() {
		if err := s.collect(e); err != nil {
			return err
		}
	}
	return nil
}

var (
	errNoString = errors.New("it is neither a string nor an object with an id")
	errNoObject = errors.New("it is not a JSON object")
)

// scalar returns the string that v is, or holds in one of JSON-LD's long forms. An object without id,
// as Bonfire's generator and instrument can be, is "".
func scalar(v *fastjson.Value) (string, error) {
	switch v.Type() {
	case fastjson.TypeString:
		return string(v.GetStringBytes()), nil
	case fastjson.TypeNull:
		return "", nil
	case fastjson.TypeArray:
		if list := v.GetArray(); len(list) == 1 {
			return scalar(list[0])
		}
		return "", errSeveral
	case fastjson.TypeObject:
		for _, key := range [...]string{"id", "@id", "@value", "@list", "@set"} {
			if inner := v.Get(key); inner != nil {
				return scalar(inner)
			}
		}
		return "", nil
	default:
		return "", errNoString
	}
}

// single unwraps an activity from an array or a graph of one.
func single(v *fastjson.Value) (*fastjson.Value, error) {
	for {
		if v.Type() == fastjson.TypeObject && v.Get("type") == nil && v.Exists("@graph") {
			v = v.Get("@graph")
		}
		if v.Type() != fastjson.TypeArray {
			break
		}
		list := v.GetArray()
		if len(list) != 1 {
			return nil, errSeveral
		}
		v = list[0]
	}
	if v.Type() != fastjson.TypeObject {
		return nil, errNoObject
	}
	return v, nil
}

// short cuts foreign input for a message.
func short(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
