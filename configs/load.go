package configs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// searchPath has the files that are tried when none is named.
var searchPath = [...]string{"./sealgate.yaml", "/etc/sealgate/sealgate.yaml"}

// Load returns Default, overridden by the file, overridden by the environment, with relative paths taken
// from the directory of the file (without a file, from the working directory), and validated.
//
// With path "" the first of ./sealgate.yaml and /etc/sealgate/sealgate.yaml that exists is read, or none.
// lookup is os.LookupEnv, or Flags.Over it. The error joins a *Problem for everything that is wrong; the
// Config that comes with it is not to be used.
func Load(path string, lookup func(string) (string, bool)) (Config, error) {
	text, path, err := read(path)
	if err != nil {
		return Config{}, err
	}
	config := Default()
	d := &decoder{file: path, keys: map[string]leaf{}, where: map[string]string{}}
	for _, l := range leaves(&config) {
		d.keys[l.key] = l
	}
	if path != "" {
		d.decode(text)
	}
	d.environment(leaves(&config), lookup)
	config = config.In(filepath.Dir(path))
	return config, errors.Join(append(d.problems, d.validate(config)...)...)
}

// validate returns the problems of values that parsed, each with the place it came from.
func (d *decoder) validate(config Config) []error {
	if d.unread {
		return nil
	}
	unparsed := map[string]bool{}
	for _, err := range d.problems {
		if p, ok := errors.AsType[*Problem](err); ok {
			unparsed[p.Key] = true
		}
	}
	var list []error
	for _, p := range config.problems() {
		if unparsed[p.Key] {
			continue
		}
		p.Where = d.where[p.Key]
		if p.Where == "" {
			p.Where = cmp.Or(d.file, "no "+strings.Join(searchPath[:], " or "))
		}
		list = append(list, p)
	}
	return list
}

// environment sets every key whose variable is set; lists are separated by commas.
func (d *decoder) environment(list []leaf, lookup func(string) (string, bool)) {
	for _, l := range list {
		text, ok := lookup(l.variable())
		if !ok {
			continue
		}
		d.where[l.key] = l.variable()
		texts := []string{text}
		if l.isList() {
			texts = splitList(text)
		}
		if err := l.set(texts); err != nil {
			d.add(Problem{
				Where: l.variable(), Key: l.key, Value: shown(l, text),
				Reason: err.Error(), Example: l.tag.Get("example"),
			})
		}
	}
}

func splitList(text string) []string {
	var list []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// read returns the text and the path of the file, both empty when none is named and none is found.
func read(path string) ([]byte, string, error) {
	if path != "" {
		text, err := readFile(path)
		return text, path, err
	}
	for i, path := range searchPath {
		_, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) && i == 0 {
			continue // under sudo -u the working directory may be closed: nobody knows what is in it
		}
		text, err := readFile(path)
		return text, path, err
	}
	return nil, "", nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration (--config names it): %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), nil
}
