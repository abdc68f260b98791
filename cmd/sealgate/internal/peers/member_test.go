package peers_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// member is a person's client that stays: member.mjs.
type member struct {
	*peer
	name     string
	Actor    string
	Identity string // what a group with OpenMLS in it calls the device
}

// startMember signs a person in, whose instance is behind base, and has their client listen.
// login are the fields of the instance's form.
func startMember(t *testing.T, library, base, name string, login args) *member {
	t.Helper()
	fields, err := json.Marshal(login)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{name: name}
	m.peer = startPeer(t, m, "member.mjs", library, base, name+"@"+strings.TrimPrefix(base, "http://"), string(fields))
	return m
}

// standing is how far a member is in a group.
type standing struct {
	Epoch                                                 int
	Secret                                                string // of the epoch
	Said, Heard, Unread, Early                            int
	Chatting, Duplicates, Conflicts, Connections, Retries int
	HeardOf                                               map[string]int // by name
	Failure                                               string
}

func (m *member) status(t *testing.T, group string) (s standing) {
	t.Helper()
	m.call(t, "status", args{"group": group}, &s)
	if s.Failure != "" {
		t.Fatalf("%s: %s", m.name, s.Failure)
	}
	return s
}

// word is one application message as a member read it.
type word struct {
	Epoch int
	Text  string
}

// transcript is what a member read in a group, in the order of the mailbox.
func (m *member) transcript(t *testing.T, group string) []word {
	t.Helper()
	var got struct{ Words []word }
	m.call(t, "transcript", args{"group": group}, &got)
	return got.Words
}

func texts(words []word) (out []string) {
	for _, w := range words {
		out = append(out, w.Text)
	}
	return out
}

// meet tells everybody whose device an identity is.
func meet(t *testing.T, all ...*member) {
	t.Helper()
	people := map[string]string{}
	for _, m := range all {
		people[m.Identity] = m.Actor
	}
	for _, m := range all {
		m.call(t, "meet", args{"people": people}, nil)
	}
}

// chat has m say things, and commit after every so many of them (0: never); it does not wait.
func (m *member) chat(t *testing.T, group string, count, every int) {
	t.Helper()
	m.call(t, "chat", args{"group": group, "name": m.name, "count": count, "every": every}, nil)
}

// hear waits until m has read so many messages of the group.
func (m *member) hear(t *testing.T, group string, count int) {
	t.Helper()
	eventually(t, m.name+" to read "+strconv.Itoa(count), func() bool { return m.status(t, group).Heard >= count })
}

// add has m invite who into the group, by a package handed over.
func (m *member) add(t *testing.T, group string, who *member) {
	t.Helper()
	var made struct{ Base64 string }
	who.call(t, "keyPackage", nil, &made)
	m.call(t, "add", args{"group": group, "who": who.Actor, "base64": made.Base64}, nil)
}

// settled waits until all are done talking and in one epoch with nothing left to read, and gives how
// they stand.
func settled(t *testing.T, group string, all ...*member) []standing {
	t.Helper()
	var now []standing
	eventually(t, "everybody to be in one epoch", func() bool {
		now = now[:0]
		for _, m := range all {
			now = append(now, m.status(t, group))
		}
		return !slices.ContainsFunc(now, func(s standing) bool {
			return s.Chatting+s.Unread+s.Early > 0 || s.Epoch != now[0].Epoch
		})
	})
	for i, s := range now {
		if s.Secret != now[0].Secret {
			t.Errorf("%s has another secret in epoch %d", all[i].name, s.Epoch)
		}
		if s.Duplicates != 0 {
			t.Errorf("%s got %d activities twice", all[i].name, s.Duplicates)
		}
	}
	return now
}

// whole holds a transcript against what was said: everybody's words once and in order.
func whole(t *testing.T, who string, transcript []word, want int) {
	t.Helper()
	last := map[string]int{}
	for _, w := range transcript {
		name, number, _ := strings.Cut(w.Text, " ")
		n, err := strconv.Atoi(number)
		if err != nil || n != last[name]+1 {
			t.Errorf("%s read %q after %s %d", who, w.Text, name, last[name])
		}
		last[name] = n
	}
	if len(transcript) != want {
		t.Errorf("%s read %d messages of %d", who, len(transcript), want)
	}
}
