package rules

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// A fact is one variable of the language: how a rule reads it from a Case, how a
// test or `--given` sets it, and its words where they are a closed set.
type fact struct {
	of    *cel.Type
	get   func(*Case) ref.Val
	set   func(*Case, string) error
	words []string
}

var (
	relWords  = []string{string(Self), string(Mutual), string(Following), string(Follower), string(Approved), string(Stranger), string(Limited), string(Muted), string(Blocked)}
	kindWords = []string{KindWelcome, KindCommit, KindProposal, KindApplication, KindGroupInfo, KindKeyPackage, KindKeyFetch}
)

// variables is everything a condition can name besides lists.
var variables = map[string]fact{
	"actor.id":              text(func(c *Case) *string { return &c.Actor.ID }),
	"actor.domain":          text(func(c *Case) *string { return &c.Actor.Domain }),
	"actor.first_seen_days": whole(func(c *Case) *int { return &c.Actor.FirstSeenDays }),
	"rel":                   word(func(c *Case) *string { return (*string)(&c.Rel) }, relWords),
	"msg.kind":              word(func(c *Case) *string { return &c.Msg.Kind }, kindWords),
	"msg.bytes":             whole(func(c *Case) *int { return &c.Msg.Bytes }),
	"msg.recipients":        whole(func(c *Case) *int { return &c.Msg.Recipients }),
	"msg.hosts":             whole(func(c *Case) *int { return &c.Msg.Hosts }),
	"msg.key_is_ours":       yes(func(c *Case) *bool { return &c.Msg.KeyIsOurs }),
	"group.joined":          yes(func(c *Case) *bool { return &c.Group.Joined }),
	"server.load":           part(func(c *Case) *float64 { return &c.Server.Load }),
	"server.disk":           part(func(c *Case) *float64 { return &c.Server.Disk }),
}

// Variables are the names a condition can use, in order.
func Variables() []string { return slices.Sorted(maps.Keys(variables)) }

func text(at func(*Case) *string) fact {
	return fact{
		of: cel.StringType, get: func(c *Case) ref.Val { return types.String(*at(c)) },
		set: func(c *Case, s string) error { *at(c) = s; return nil },
	}
}

func word(at func(*Case) *string, words []string) fact {
	f := text(at)
	f.words = words
	f.set = func(c *Case, s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("%q is none of %s%s", s, strings.Join(words, ", "), meant(s, words))
		}
		*at(c) = s
		return nil
	}
	return f
}

func whole(at func(*Case) *int) fact {
	return fact{
		of: cel.IntType, get: func(c *Case) ref.Val { return types.Int(*at(c)) },
		set: func(c *Case, s string) (err error) {
			if *at(c), err = strconv.Atoi(s); err != nil {
				return fmt.Errorf("%q is no whole number", s)
			}
			return nil
		},
	}
}

func yes(at func(*Case) *bool) fact {
	return fact{
		of: cel.BoolType, get: func(c *Case) ref.Val { return types.Bool(*at(c)) },
		set: func(c *Case, s string) error {
			*at(c) = s == "true"
			if s != "true" && s != "false" {
				return fmt.Errorf("%q is neither true nor false", s)
			}
			return nil
		},
	}
}

func part(at func(*Case) *float64) fact {
	return fact{
		of: cel.DoubleType, get: func(c *Case) ref.Val { return types.Double(*at(c)) },
		set: func(c *Case, s string) (err error) {
			if *at(c), err = strconv.ParseFloat(s, 64); err != nil {
				return fmt.Errorf("%q is no number", s)
			}
			return nil
		},
	}
}

// Set sets a variable of c by its name; at and recipient are set so, too.
func (c *Case) Set(name, value string) error {
	switch name {
	case "at":
		c.At = Stage(value)
		if allowed[c.At] == nil {
			return fmt.Errorf("at: %q is none of contact, group, send", value)
		}
		return nil
	case "recipient":
		c.Recipient = value
		return nil
	}
	f, ok := variables[name]
	if !ok {
		known := append(Variables(), "at", "recipient")
		return fmt.Errorf("there is no %q%s; there are %s", name, meant(name, known), strings.Join(known, ", "))
	}
	if err := f.set(c, value); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Given is a Case of which nothing is known: a stranger from a server known for long.
func Given() Case {
	return Case{At: Contact, Rel: Stranger, Actor: Actor{FirstSeenDays: 365}}
}

// scene is a Case at a moment, as CEL sees it.
type scene struct {
	*Case
	lists map[string]*domains
	now   time.Time
	on    []string // lists the actor's domain counts as being on, in tests
}

// ResolveName implements cel.Activation.
func (s *scene) ResolveName(name string) (any, bool) {
	if f, ok := variables[name]; ok {
		return f.get(s.Case), true
	}
	name, ok := strings.CutPrefix(name, listPrefix)
	if !ok {
		return nil, false
	}
	if slices.Contains(s.on, name) {
		return listed{&domains{names: newSet(s.Actor.Domain), except: newSet()}}, true
	}
	if list := s.lists[name]; list != nil && !list.expired(s.now) {
		return listed{list}, true
	}
	return listed{}, true
}

// Parent implements cel.Activation.
func (s *scene) Parent() cel.Activation { return nil }

const listPrefix = "lists."
