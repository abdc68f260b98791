package configs

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Flags are the settings of the command line, "" where a flag was not given. They stand above the
// environment and the file.
type Flags struct {
	Domain   string // --domain
	Listen   string // --listen, several separated by commas
	Upstream string // --upstream: upstream.web
	Data     string // --data: the directory of everything kept, relative to the working directory
}

// Over returns a lookup for Load that answers for the flags given, and asks lookup for all else. --data
// moves storage.path, storage.encryption_key, admin.socket and tls.acme.path.
func (f Flags) Over(lookup func(string) (string, bool)) (func(string) (string, bool), error) {
	over := map[string]string{}
	if f.Data != "" {
		data, err := filepath.Abs(f.Data)
		if err != nil {
			return nil, fmt.Errorf("find --data %q: %w", f.Data, err)
		}
		over["SEALGATE_STORAGE_PATH"] = filepath.Join(data, "store")
		over["SEALGATE_STORAGE_ENCRYPTION_KEY"] = "file:" + filepath.Join(data, "store.key")
		over["SEALGATE_ADMIN_SOCKET"] = filepath.Join(data, "admin.sock")
		over["SEALGATE_TLS_ACME_PATH"] = filepath.Join(data, "acme")
	}
	for name, value := range map[string]string{
		"SEALGATE_DOMAIN": f.Domain, "SEALGATE_LISTEN": f.Listen, "SEALGATE_UPSTREAM_WEB": f.Upstream,
	} {
		if value != "" {
			over[name] = value
		}
	}
	return func(name string) (string, bool) {
		if value, ok := over[name]; ok {
			return value, true
		}
		return lookup(name)
	}, nil
}

// UnknownVariables returns a *Problem for every SEALGATE_ variable of environ (os.Environ) that sets no
// key and is not among known.
func UnknownVariables(environ []string, known ...string) error {
	var config Config
	keys, variables := map[string]leaf{}, map[string]string{}
	for _, l := range leaves(&config) {
		keys[variableKey(l.variable())] = l
		variables[l.variable()] = l.key
	}
	var list []error
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if variables[name] != "" || !strings.HasPrefix(name, "SEALGATE_") || slices.Contains(known, name) {
			continue
		}
		p := Problem{Where: name, Reason: "sets no key"}
		if l, ok := keys[nearest(variableKey(name), keys)]; ok {
			p.Reason += "; did you mean " + l.variable() + "?"
		} else {
			p.Reason += "; configs/sealgate.yaml has them all: SEALGATE_LIMITS_INTAKE sets limits.intake"
		}
		list = append(list, &p)
	}
	return errors.Join(list...)
}

// variableKey makes a name that nearest can compare.
func variableKey(variable string) string {
	return strings.ToLower(strings.TrimPrefix(variable, "SEALGATE_"))
}
