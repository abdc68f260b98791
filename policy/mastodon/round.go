package mastodon

import (
	"context"
	"errors"
)

// ErrAsked means that an activity names more people than the instance is asked about for one.
var ErrAsked = errors.New("mastodon: the instance was asked about enough people for one activity")

// maxAsked is how many questions about people one activity may cause.
const maxAsked = 100

// Round is the questions about people that one activity causes. It is for one goroutine.
type Round struct {
	people *Instance
	asked  int
}

// Round begins one.
func (i *Instance) Round() *Round { return &Round{people: i} }

// Person is Instance.Person until the instance was asked about 100 people. From then on what is
// remembered holds, whatever its age, and is ErrAsked for everybody else: those who were found are
// remembered when the activity comes again.
func (r *Round) Person(ctx context.Context, id string) (Person, error) {
	s, err := r.people.read(id)
	if err != nil {
		return Person{}, err
	}
	if a, ok := r.people.persons.GetIfPresent(s.key()); ok && a.fresh(r.people.clock()) {
		return a.person, a.err
	}
	if r.asked == maxAsked {
		return r.people.recall(ctx, s, ErrAsked)
	}
	r.asked++
	return r.people.Person(ctx, id)
}
