package policy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// Replay is how a policy would have decided what was decided under the one in force.
type Replay struct {
	Since    time.Time `json:"since"`
	Entries  int       `json:"entries"`
	Old      string    `json:"old"` // hash of the policy in force
	New      string    `json:"new"`
	Flips    []Flip    `json:"flips"` // the most frequent first
	Warnings []string  `json:"warnings,omitempty"`
}

// Flip is a difference: what one rule decided and another one would.
type Flip struct {
	At   rules.Stage `json:"at"`
	Kind string      `json:"kind"`
	Was  string      `json:"was"` // action and rule
	Now  string      `json:"now"`
	Totals
}

// Candidate is a policy that is not in force, with the files of its lists; without
// Text it is what the origin has now.
type Candidate struct {
	Name  string
	Text  []byte
	Files map[string][]byte
}

// Pack compresses all but the name, for Unpack in another process.
func (c Candidate) Pack() ([]byte, error) {
	size := len(c.Text)
	for _, list := range c.Files {
		size += len(list)
	}
	if size > maxUnpackedBytes {
		return nil, errTooLong
	}
	return bundle{Text: c.Text, Files: c.Files}.packed()
}

// Unpack reads what Pack wrote. From nothing comes a Candidate without Text.
func Unpack(name string, packed io.Reader) (Candidate, error) {
	in := bufio.NewReader(packed)
	if _, err := in.Peek(1); errors.Is(err, io.EOF) {
		return Candidate{}, nil
	}
	b, err := unpack(in)
	return Candidate{Name: name, Text: b.Text, Files: b.Files}, err
}

// Replay runs the policy in force and a candidate over what was logged since then,
// both with nothing counted before, and says where they differ. c's files are Replay's.
func (b *Book) Replay(ctx context.Context, since time.Time, c Candidate) (Replay, error) {
	next, err := b.candidate(c)
	if err != nil {
		return Replay{}, err
	}
	old := b.Current().Fresh()
	r := Replay{Since: since, Old: old.Hash(), New: next.Hash(), Warnings: unseen(old, next)}
	if b.opt.Journal == nil {
		return r, nil
	}
	err = b.opt.Journal.Entries(ctx, since, func(e Entry) bool {
		r.Entries++
		was, now := told(old.Decide(&e.Case, e.Time)), told(next.Decide(&e.Case, e.Time))
		if was != now {
			r.flip(e, was, now)
		}
		return true
	})
	for i := range r.Flips {
		r.Flips[i].finish()
	}
	slices.SortStableFunc(r.Flips, func(a, b Flip) int { return b.Count - a.Count })
	return r, err
}

func (b *Book) candidate(c Candidate) (*rules.Policy, error) {
	var r *reading
	if c.Text == nil {
		r, c.Name = b.read(), b.opt.Origin.Name
	} else {
		r = &reading{text: c.Text, open: bundle{Files: c.Files}.open, files: c.Files}
	}
	defer r.giveBack()
	p, err := r.parse(c.Name, b.opt.Clock(), nil)
	if err != nil {
		return nil, err
	}
	return p.Fresh(), nil
}

func (r *Replay) flip(e Entry, was, now string) {
	i := slices.IndexFunc(r.Flips, func(f Flip) bool {
		return f.At == e.Case.At && f.Kind == e.Case.Msg.Kind && f.Was == was && f.Now == now
	})
	if i < 0 {
		i = len(r.Flips)
		r.Flips = append(r.Flips, Flip{At: e.Case.At, Kind: e.Case.Msg.Kind, Was: was, Now: now, Totals: newTotals()})
	}
	r.Flips[i].add(e)
}

// told is a verdict in words.
func told(v rules.Verdict) string {
	if v.Rule == "" {
		return string(v.Action)
	}
	return fmt.Sprintf("%s by %s", v.Action, v.Rule)
}

// unseen names the rules that a replay cannot judge: ids are hashed in the log.
func unseen(policies ...*rules.Policy) []string {
	var all []string
	for _, p := range policies {
		for _, name := range p.RulesUsing("actor.id") {
			if line := fmt.Sprintf("rule %s looks at actor.id, which the log has only as a hash: here it matches nobody", name); !slices.Contains(all, line) {
				all = append(all, line)
			}
		}
	}
	return all
}
