package configs

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// leaf is one key of a Config: its full name, where its value is, and what its tags say. File and
// environment both go through set, so that they read alike.
type leaf struct {
	key   string // "tls.acme.path"
	value reflect.Value
	tag   reflect.StructTag
}

var (
	errBool    = errors.New("is neither true nor false")
	errInteger = errors.New("is no whole number")
	errOne     = errors.New("has several values and takes one")
	errScheme  = errors.New("is a path: write it without file: or unix: before it")
	errControl = errors.New("has a control character")
)

// leaves lists the keys of c in the order of the file.
func leaves(c *Config) []leaf {
	return appendLeaves(nil, reflect.ValueOf(c).Elem(), "")
}

func appendLeaves(list []leaf, v reflect.Value, prefix string) []leaf {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key := prefix + field.Tag.Get("yaml")
		if field.Tag.Get("example") == "" {
			list = appendLeaves(list, v.Field(i), key+".")
			continue
		}
		list = append(list, leaf{key: key, value: v.Field(i), tag: field.Tag})
	}
	return list
}

// variable is the name of the environment variable that sets the key.
func (l leaf) variable() string {
	return "SEALGATE_" + strings.ToUpper(strings.ReplaceAll(l.key, ".", "_"))
}

func (l leaf) isList() bool { return l.value.Kind() == reflect.Slice }

func (l leaf) isSecret() bool {
	_, ok := reflect.TypeAssert[Secret](l.value)
	return ok
}

// set parses texts into the value; more than one is for lists only. The value is unchanged on error.
func (l leaf) set(texts []string) error {
	if !l.isList() {
		if len(texts) != 1 {
			return errOne
		}
		if l.tag.Get("kind") == "path" && (strings.HasPrefix(texts[0], "file:") || strings.HasPrefix(texts[0], "unix:")) {
			return errScheme
		}
		return setScalar(l.value, texts[0])
	}
	list := reflect.Zero(l.value.Type())
	if len(texts) > 0 {
		list = reflect.MakeSlice(l.value.Type(), len(texts), len(texts))
	}
	for i, text := range texts {
		if err := setScalar(list.Index(i), text); err != nil {
			return fmt.Errorf("%q %w", text, err)
		}
	}
	l.value.Set(list)
	return nil
}

func setScalar(v reflect.Value, text string) error {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return errControl
	}
	var err error
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = text
	case *bool:
		*p = text == "true"
		if text != "true" && text != "false" {
			return errBool
		}
	case *int:
		var n int64
		if n, err = strconv.ParseInt(text, 10, 32); err != nil {
			return errInteger
		}
		*p = int(n)
	case *netip.Prefix:
		var prefix netip.Prefix
		if prefix, err = parsePrefix(text); err != nil {
			return err
		}
		*p = prefix
	case encoding.TextUnmarshaler:
		return p.UnmarshalText([]byte(text))
	default:
		panic("bug: no way to read " + v.Type().String())
	}
	return nil
}

// text prints the value as it is written in a file, secrets redacted.
func (l leaf) text() string {
	if !l.isList() {
		return fmt.Sprint(l.value.Interface())
	}
	var parts []string
	for i := range l.value.Len() {
		parts = append(parts, fmt.Sprint(l.value.Index(i).Interface()))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// In returns c with every relative path, unix socket and file of a secret taken from dir, as Load does
// with the directory of the configuration file.
func (c Config) In(dir string) Config {
	c.Listen, c.TLS.HTTP = slices.Clone(c.Listen), slices.Clone(c.TLS.HTTP)
	for _, l := range leaves(&c) {
		switch p := l.value.Addr().Interface().(type) {
		case *Secret:
			*p = p.in(dir)
		case *Address:
			*p = p.in(dir)
		case *[]Address:
			for i, a := range *p {
				(*p)[i] = a.in(dir)
			}
		case *string:
			*p = l.in(*p, dir)
		}
	}
	return c
}

func (l leaf) in(s, dir string) string {
	switch kind := l.tag.Get("kind"); {
	case kind == "path" && s != "" && !filepath.IsAbs(s):
		return filepath.Join(dir, s)
	case kind == "upstream":
		return unixIn(strings.TrimSuffix(s, "/"), dir)
	}
	return s
}
