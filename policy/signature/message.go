package signature

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
)

// parseMessage reads Signature-Input and Signature (RFC 9421 §4) and returns
// the first label that satisfies the rules, or the reason why the first did not.
func parseMessage(r *Request, rules Rules) (*Signature, error) {
	inputs, err := dictionary(r, "signature-input")
	if err != nil {
		return nil, err
	}
	values, err := dictionary(r, "signature")
	if err != nil {
		return nil, err
	}
	labels := inputs.Names()
	if len(labels) == 0 {
		return nil, ErrUnsigned
	}
	if len(labels) > maxLabels {
		return nil, fmt.Errorf("%w: %d signatures, at most %d are accepted", ErrMalformed, len(labels), maxLabels)
	}
	var first error
	for _, label := range labels {
		s, err := parseLabel(r, rules, label, [2]*httpsfv.Dictionary{inputs, values})
		if err == nil {
			return s, nil
		}
		if first == nil {
			first = fmt.Errorf("signature %.40q: %w", label, err)
		}
		if errors.Is(err, ErrDigest) {
			break // the body is the same for every label
		}
	}
	return nil, first
}

// dictionary parses a header that is a dictionary structured field.
func dictionary(r *Request, name string) (*httpsfv.Dictionary, error) {
	vs, size := r.values(name), 0
	for _, v := range vs {
		size += len(v)
	}
	if size > maxHeaderBytes {
		return nil, fmt.Errorf("%w: %s of %d bytes, at most %d are accepted", ErrMalformed, name, size, maxHeaderBytes)
	}
	d, err := httpsfv.UnmarshalDictionary(vs)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
	}
	return d, nil
}

// parseLabel reads one labelled signature out of both dictionaries.
func parseLabel(r *Request, rules Rules, label string, in [2]*httpsfv.Dictionary) (*Signature, error) {
	m, _ := in[0].Get(label)
	list, ok := m.(httpsfv.InnerList)
	if !ok {
		return nil, fmt.Errorf("%w: its input is not a list", ErrMalformed)
	}
	s := &Signature{Scheme: RFC9421, Label: label}
	m, _ = in[1].Get(label)
	item, _ := m.(httpsfv.Item)
	if s.value, ok = item.Value.([]byte); !ok || len(s.value) == 0 {
		return nil, fmt.Errorf("%w: it has no value that is a byte sequence", ErrMalformed)
	}
	if err := s.readMetadata(list.Params); err != nil {
		return nil, err
	}
	if err := s.readComponents(list.Items); err != nil {
		return nil, err
	}
	if err := s.judge(r, rules, list.Params); err != nil {
		return nil, err
	}
	var err error
	s.base, err = signatureBase(r, s.Covered, list)
	return s, err
}

// readMetadata takes keyid and alg out of the parameters (§2.3).
func (s *Signature) readMetadata(p *httpsfv.Params) error {
	for name, to := range map[string]*string{"keyid": &s.KeyID, "alg": &s.Algorithm} {
		v, there := p.Get(name)
		if !there {
			continue
		}
		text, ok := v.(string)
		if !ok {
			return fmt.Errorf("%w: %s is not a string", ErrMalformed, name)
		}
		*to = text
	}
	if err := checkKeyID(s.KeyID); err != nil {
		return err
	}
	if s.Algorithm != "" && !knownAlgorithm(s.Algorithm) {
		return fmt.Errorf("%w: alg %.40q", ErrUnsupported, s.Algorithm)
	}
	return nil
}

// readComponents takes the names of the covered components. Parameters on them
// (sf, key, bs, req, tr, name) change what is signed; no peer sends any.
func (s *Signature) readComponents(items []httpsfv.Item) error {
	for _, item := range items {
		name, ok := item.Value.(string)
		if !ok || name != strings.ToLower(name) {
			return fmt.Errorf("%w: component %.80v is not a name in lower case", ErrMalformed, item.Value)
		}
		if item.Params != nil && len(item.Params.Names()) > 0 {
			return fmt.Errorf("%w: component %.80q with parameter %.40q", ErrUnsupported, name, item.Params.Names()[0])
		}
		s.Covered = append(s.Covered, name)
	}
	return requireDistinct(s.Covered)
}

// judge applies the rules: coverage, host, dates, digest.
func (s *Signature) judge(r *Request, rules Rules, p *httpsfv.Params) error {
	if err := s.requireCoverage(r); err != nil {
		return err
	}
	if err := rules.checkHost(r); err != nil {
		return err
	}
	if err := s.checkTimes(r, rules, p); err != nil {
		return err
	}
	if slices.Contains(s.Covered, "content-digest") {
		return checkContentDigest(r)
	}
	return nil
}

// requireCoverage asks for the method, the whole target and the body.
func (s *Signature) requireCoverage(r *Request) error {
	need := []string{"@method"}
	if !slices.Contains(s.Covered, "@target-uri") {
		if !slices.Contains(s.Covered, "host") {
			need = append(need, "@authority")
		}
		if !slices.Contains(s.Covered, "@request-target") {
			need = append(need, "@path")
			if r.query() != "" {
				need = append(need, "@query")
			}
		}
	}
	if r.needsDigest() {
		need = append(need, "content-digest")
	}
	return requireAll(s.Covered, need...)
}

// checkTimes asks for created, and holds expires and a covered Date to their
// word.
func (s *Signature) checkTimes(r *Request, rules Rules, p *httpsfv.Params) error {
	created, ok, err := readTime(p, "created")
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: missing created", ErrCoverage)
	}
	if err := rules.checkTime("created", time.Unix(created, 0)); err != nil {
		return err
	}
	expires, ok, err := readTime(p, "expires")
	if err != nil {
		return err
	}
	if ok {
		if err := rules.checkExpiry(expires); err != nil {
			return err
		}
	}
	if slices.Contains(s.Covered, "date") {
		return rules.checkDate(r)
	}
	return nil
}

func readTime(p *httpsfv.Params, name string) (unix int64, there bool, err error) {
	v, there := p.Get(name)
	if !there {
		return 0, false, nil
	}
	unix, ok := v.(int64)
	if !ok || unix <= 0 || unix > maxUnix {
		return 0, false, fmt.Errorf("%w: %s is not a time in whole seconds", ErrMalformed, name)
	}
	return unix, true, nil
}
