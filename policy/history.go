package policy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// Status is how the policy is.
type Status struct {
	Name     string           `json:"name"`
	Policy   string           `json:"policy"` // its hash
	Mode     string           `json:"mode"`
	Since    time.Time        `json:"since"`
	By       string           `json:"by"` // who loaded it, or "fallback"
	Rules    []rules.Rule     `json:"rules"`
	Lists    []rules.List     `json:"lists"`
	Tests    int              `json:"tests"`
	Inherit  rules.Inherit    `json:"inherit"`
	Warnings []string         `json:"warnings,omitempty"`
	Failure  []*rules.Problem `json:"failure,omitempty"` // of the last attempt to load another
	FailedAt *time.Time       `json:"failed_at,omitempty"`
}

// Status says how the policy in force is, and why another one is not.
func (b *Book) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.Current()
	s := Status{
		Name: p.Name(), Policy: p.Hash(), Mode: p.Mode(), Since: b.since, By: b.by, Rules: p.Rules(), Lists: p.Lists(),
		Tests: p.Tests(), Inherit: p.Inherit(), Warnings: p.Warnings(b.opt.Clock()),
	}
	if b.failure != nil {
		s.Failure, s.FailedAt = rules.Problems(b.failure), &b.failedAt
	}
	return s
}

// Changes is the change log, newest first.
func (b *Book) Changes(ctx context.Context) ([]Change, error) {
	if b.opt.Journal == nil {
		return nil, nil
	}
	changes, err := b.opt.Journal.Changes(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the change log: %w", err)
	}
	return changes, nil
}

// ErrNoChange means that the change log has no such change, or not what was loaded with it.
var ErrNoChange = errors.New("policy: no such change, or its policy is not kept (sealgate policy history lists them)")

// Text is the policy that was loaded with a change; "" is the one in force.
func (b *Book) Text(ctx context.Context, change string) ([]byte, error) {
	if change == "" {
		return b.Current().Text(), nil
	}
	old, err := b.bundle(ctx, change)
	return old.Text, err
}

func (b *Book) bundle(ctx context.Context, change string) (bundle, error) {
	if b.opt.Journal == nil {
		return bundle{}, ErrNoChange
	}
	packed, err := b.opt.Journal.Bundle(ctx, change)
	if err != nil {
		return bundle{}, fmt.Errorf("read what was loaded with %q: %w", change, err)
	}
	if packed == nil {
		return bundle{}, fmt.Errorf("%w: %q", ErrNoChange, change)
	}
	return unpack(bytes.NewReader(packed))
}

// Diff is how the files differ from the policy in force: what a reload would
// change. With a change it is how the policy in force differs from what was loaded
// then.
func (b *Book) Diff(ctx context.Context, change string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if change != "" {
		old, err := b.bundle(ctx, change)
		if err != nil {
			return "", err
		}
		text := diff(string(old.Text), string(b.Current().Text()))
		if old.Short {
			return text + "its lists were long and are not kept\n", nil
		}
		return text + listChanges(b.lineSets(old.Files), b.lists), nil
	}
	r := b.read()
	if r.err != nil {
		return "", r.err
	}
	for path := range b.lists {
		_, _ = r.open(path) // what cannot be read is missing in files
	}
	return diff(string(b.Current().Text()), string(r.text)) + listChanges(b.lists, b.lineSets(r.files)), nil
}

// changed is how p differs from what is in force.
func (b *Book) changed(p *rules.Policy, lists map[string]lineSet) string {
	old := b.Current()
	if old == nil {
		return ""
	}
	return diff(string(old.Text()), string(p.Text())) + listChanges(b.lists, lists)
}

// lineSet is the lines of a list, as their sorted hashes: what is in force is compared, never shown.
type lineSet []uint64

func (b *Book) lineSets(files map[string][]byte) map[string]lineSet {
	sets := make(map[string]lineSet, len(files))
	for path, text := range files {
		set := make(lineSet, 0, bytes.Count(text, []byte("\n"))+1)
		for line := range bytes.Lines(text) {
			set = append(set, maphash.Bytes(b.seed, bytes.TrimSpace(line)))
		}
		slices.Sort(set)
		sets[path] = slices.Compact(set)
	}
	return sets
}

// without counts the lines that other lacks.
func (s lineSet) without(other lineSet) (count int) {
	for _, line := range s {
		if _, found := slices.BinarySearch(other, line); !found {
			count++
		}
	}
	return count
}

// listChanges says what came to and went from the files of lists.
func listChanges(old, now map[string]lineSet) string {
	var out strings.Builder
	names := maps.Clone(now)
	maps.Copy(names, old)
	for _, path := range slices.Sorted(maps.Keys(names)) {
		added, gone := now[path].without(old[path]), old[path].without(now[path])
		if added+gone > 0 {
			fmt.Fprintf(&out, "%s: %d lines added, %d taken back\n", path, added, gone)
		}
	}
	return out.String()
}

// ErrPreset means that a preset cannot be written over.
var ErrPreset = errors.New("policy: the preset in force is part of the program: set policy.file to a file of your own first")

// Rollback writes what was loaded with an earlier change over the policy file, and
// loads it; "" is the one before the policy in force. The files of lists stay.
func (b *Book) Rollback(ctx context.Context, change, who string) (Change, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opt.Origin.Write == nil {
		return Change{}, ErrPreset
	}
	text, err := b.earlier(ctx, change)
	if err != nil {
		return Change{}, err
	}
	return b.replace(ctx, text, who)
}

// Replace writes a policy over the policy file and loads it. One that does not load is not written.
func (b *Book) Replace(ctx context.Context, text []byte, who string) (Change, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opt.Origin.Write == nil {
		return Change{}, ErrPreset
	}
	return b.replace(ctx, text, who)
}

func (b *Book) replace(ctx context.Context, text []byte, who string) (Change, error) {
	r := &reading{text: text, open: b.opt.Origin.open}
	if _, err := r.parse(b.opt.Origin.Name, b.opt.Clock(), nil); err != nil {
		return Change{}, fmt.Errorf("that policy does not load, nothing is changed: %w", err)
	}
	if err := b.opt.Origin.Write(text); err != nil {
		return Change{}, fmt.Errorf("write the policy file: %w", err)
	}
	return b.load(ctx, who)
}

// MayReplace says whether there is a file to write over.
func (b *Book) MayReplace() bool { return b.opt.Origin.Write != nil }

// earlier is the text of a change, or of the newest one that differs from the
// policy in force.
func (b *Book) earlier(ctx context.Context, change string) ([]byte, error) {
	if change != "" {
		return b.Text(ctx, change)
	}
	changes, err := b.Changes(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		if c.Result != Loaded || c.Policy == b.Current().Hash() {
			continue
		}
		if text, err := b.Text(ctx, c.ID); err == nil && string(text) != string(b.Current().Text()) {
			return text, nil
		}
	}
	return nil, fmt.Errorf("%w: there is none before the policy in force", ErrNoChange)
}
