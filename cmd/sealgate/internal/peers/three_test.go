package peers_test

import (
	"slices"
	"testing"
)

// TestThree: two ts-mls clients and one OpenMLS client sign in through the gateway of a real instance and
// talk, over event streams that break, while they change the group.
func TestThree(t *testing.T) {
	if testing.Short() {
		t.Skip("the real peers are left out by -short")
	}
	requirePeers(t)
	domain := freeAddress(t)
	s := startSnac(t, domain, "anna", "ben", "cleo")
	g := startGateway(t, buildGateway(t.Context(), t), domain, s.address)
	person := func(library, name string) *member {
		return startMember(t, library, g.base, name, args{"login": name, "passwd": s.password[name]})
	}
	anna, ben, cleo := person("openmls", "anna"), person("tsmls", "ben"), person("tsmls", "cleo")
	meet(t, anna, ben, cleo)
	t.Run("two, by a package out of the directory", func(t *testing.T) { two(t, ben, cleo) })
	t.Run("three", func(t *testing.T) { three(t, anna, ben, cleo) })
}

// two talk in a group whose members are named by their actors.
func two(t *testing.T, ben, cleo *member) {
	const group = "uri:uuid:two"
	cleo.call(t, "publish", args{"count": 2}, nil)
	ben.call(t, "begin", args{"group": group, "named": "actor"}, nil)
	ben.call(t, "add", args{"group": group, "who": cleo.Actor}, nil)
	ben.chat(t, group, 1, 0)
	cleo.hear(t, group, 1)
	cleo.chat(t, group, 1, 0)
	ben.hear(t, group, 2)
	for _, m := range []*member{ben, cleo} {
		if got := texts(m.transcript(t, group)); !slices.Equal(got, []string{"ben 1", "cleo 1"}) {
			t.Errorf("%s read %q", m.name, got)
		}
	}
}

// commitAtOnce has everybody say a word and commit in the same epoch, until one has lost to another: the gateway
// lets one be first, and the others do it again in the next epoch. Nobody speaks on meanwhile: who speaks while it
// is behind does so in an epoch whose keys the others have dropped (ts-mls keeps those of four). It gives how many
// words were said.
func commitAtOnce(t *testing.T, group string, all []*member) (words int) {
	t.Helper()
	for lost, rounds := 0, 0; rounds < 3 || lost == 0; rounds++ {
		if rounds == 30 {
			t.Fatal("nobody lost in 30 rounds: was there one order of commits?")
		}
		before := all[0].status(t, group).Epoch
		for _, m := range all {
			m.chat(t, group, 1, 1)
			words++
		}
		now := settled(t, group, all...)
		if now[0].Epoch != before+len(all) {
			t.Errorf("%d commits led from epoch %d to %d", len(all), before, now[0].Epoch)
		}
		lost = 0
		for _, s := range now {
			lost += s.Conflicts
		}
	}
	return words
}

// three: a thousand messages, each of the three commits, one is removed and invited again while the others
// talk, and all streams are cut. Nobody can fall behind by more than the three epochs whose keys OpenMLS keeps: whoever reads on
// after a cut speaks in the epoch it has come to.
func three(t *testing.T, anna, ben, cleo *member) {
	const group = "uri:uuid:three"
	all := []*member{anna, ben, cleo}
	anna.call(t, "begin", args{"group": group}, nil)
	anna.add(t, group, ben)
	eventually(t, "ben to join", func() bool { return ben.status(t, group).Epoch == 1 })
	ben.add(t, group, cleo)
	eventually(t, "cleo to join", func() bool { return cleo.status(t, group).Epoch == 2 })

	for _, m := range all {
		m.chat(t, group, 200, map[string]int{"anna": 60}[m.name])
	}
	for i := range 6 {
		ben.hear(t, group, 80*(i+1))
		all[i%3].call(t, "drop", nil, nil)
	}
	settled(t, group, all...)

	anna.chat(t, group, 100, 0)
	ben.chat(t, group, 100, 0)
	ben.hear(t, group, 640)
	before := cleo.status(t, group).Epoch
	anna.call(t, "remove", args{"group": group, "identity": cleo.Identity}, nil)
	eventually(t, "cleo to be out", func() bool {
		s := cleo.status(t, group)
		before = max(before, s.Epoch)
		return s.Epoch < 0
	})
	ben.hear(t, group, 700)
	anna.add(t, group, cleo)
	eventually(t, "cleo to be in again", func() bool { return cleo.status(t, group).Epoch > before })
	cleo.chat(t, group, 80, 0)
	anna.chat(t, group, 60, 30)
	ben.chat(t, group, 60, 0)
	ben.hear(t, group, 1000)

	settled(t, group, all...)
	said := 1000 + commitAtOnce(t, group, all)
	now := settled(t, group, all...)
	for i, m := range all {
		t.Logf("%s: %+v", m.name, now[i])
		if now[i].Retries != 0 {
			t.Errorf("%s had to ask %d times again", m.name, now[i].Retries)
		}
		if now[i].Connections < 2 {
			t.Errorf("%s had one stream, though it was cut", m.name)
		}
	}
	read := anna.transcript(t, group)
	whole(t, "anna", read, said)
	whole(t, "ben", ben.transcript(t, group), said)
	if !slices.Equal(read, ben.transcript(t, group)) {
		t.Error("anna and ben read different transcripts")
	}
	cleos := cleo.transcript(t, group)
	was := slices.IndexFunc(cleos, func(w word) bool { return w.Epoch > before })
	// The removal ended epoch before, the invitation the next. A word of that one, accepted after the Welcome, is not for
	// cleo: its author had not yet read that cleo is there.
	since := slices.DeleteFunc(slices.Clone(read), func(w word) bool { return w.Epoch < before+2 })
	if first, then := cleos[:was], cleos[was:]; !slices.Equal(first, read[:len(first)]) || !slices.Equal(then, since) {
		t.Errorf("cleo read other words than anna before epoch %d or since epoch %d", before+1, cleos[was].Epoch)
	}
}
