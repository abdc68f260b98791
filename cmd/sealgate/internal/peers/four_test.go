package peers_test

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
)

// troubled is how long the network and the gateways fail at least; with SEALGATE_SOAK set two minutes.
const troubled = 30 * time.Second

// TestFour: two gateways in front of two instances hold a group of four people, with ts-mls and OpenMLS on
// each side, while the way to both is cut, delayed, reset and sliced and both are killed and started again.
func TestFour(t *testing.T) {
	if testing.Short() {
		t.Skip("the real peers are left out by -short")
	}
	requirePeers(t)
	binary := buildGateway(t.Context(), t)
	w := &four{toxics: startToxiproxy(t)}
	here := w.open(t, binary, "anna", "ben")
	there := w.open(t, binary, "cleo", "dora")
	w.members = []*member{
		startMember(t, "openmls", here, "anna", args{"login": "anna"}), startMember(t, "tsmls", here, "ben", args{"login": "ben"}),
		startMember(t, "tsmls", there, "cleo", args{"login": "cleo"}), startMember(t, "openmls", there, "dora", args{"login": "dora"}),
	}
	meet(t, w.members...)
	w.gather(t)
	for _, m := range w.members {
		m.call(t, "chat", args{"group": w.group(), "name": m.name, "count": 1 << 20, "gap": 100}, nil)
	}
	w.suffer(t)
	w.endsWell(t)
}

// four is the two sides, the network between them, and the people.
type four struct {
	toxics   *toxiproxy
	gateways []*gateway
	members  []*member
	kills    int
	commits  int
	due      map[string]int // how much of whom everybody must have read before the next; nil: not counted yet
}

func (w *four) group() string { return "uri:uuid:four" }

// open starts an instance behind a gateway, and gives the address at which everybody finds it: a proxy's.
func (w *four) open(t *testing.T, binary string, people ...string) string {
	t.Helper()
	domain, listen, keys := freeAddress(t), freeAddress(t), t.TempDir()
	double := instance.New(instance.Options{Origin: "http://" + domain})
	for _, name := range people {
		p, err := double.AddPerson(name)
		if err != nil {
			t.Fatal(err)
		}
		key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(p.Key)})
		if err := os.WriteFile(filepath.Join(keys, name+".pem"), key, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.toxics.before(t, w.way(len(w.gateways)), domain, listen)
	w.gateways = append(w.gateways, launch(t, setup{
		binary: binary, domain: domain, listen: listen, upstream: serveInstance(t, double), software: "mastodon", keys: keys,
	}))
	return "http://" + domain
}

func (w *four) way(i int) string { return fmt.Sprint("way", i) }

// gather makes the group while all is well.
func (w *four) gather(t *testing.T) {
	t.Helper()
	anna := w.members[0]
	anna.call(t, "begin", args{"group": w.group()}, nil)
	for i, m := range w.members[1:] {
		anna.add(t, w.group(), m)
		eventually(t, m.name+" to join", func() bool { return m.status(t, w.group()).Epoch == i+1 })
	}
	w.commits = len(w.members) - 1
}

// suffer spoils the ways and kills the gateways at random, and has the group go on.
func (w *four) suffer(t *testing.T) {
	t.Helper()
	lasts := troubled
	if os.Getenv("SEALGATE_SOAK") != "" {
		lasts = 2 * time.Minute
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	tick := time.NewTicker(700 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < lasts || w.kills < 3 || w.commits < 6; <-tick.C {
		if time.Since(start) > lasts+patience {
			t.Fatalf("in %v only %d kills, and epoch %d", time.Since(start), w.kills, w.commits)
		}
		w.toxics.heal(t)
		switch dice.IntN(5) {
		case 0: // a moment of peace
		case 1:
			w.killOne(t, dice)
		default:
			for i := range w.gateways {
				w.spoil(t, dice, w.way(i))
			}
		}
		w.commitNext(t)
	}
	w.toxics.heal(t)
	for _, m := range w.members {
		m.call(t, "hush", nil, nil)
	}
}

// spoil does one thing to a way, or nothing.
func (w *four) spoil(t *testing.T, dice *rand.Rand, way string) {
	t.Helper()
	toxics := [...]string{
		`"latency","attributes":{"latency":200,"jitter":150}`,
		`"slicer","attributes":{"average_size":300,"size_variation":200,"delay":2000}`,
		`"reset_peer","attributes":{"timeout":100}`,
		`"limit_data","attributes":{"bytes":3000}`,
		`"timeout","attributes":{"timeout":200}`,
	}
	switch n := dice.IntN(len(toxics) + 2); n {
	case len(toxics):
		w.toxics.tell(t, "/proxies/"+way, `{"enabled":false}`)
	case len(toxics) + 1: // spared
	default:
		stream := [...]string{"upstream", "downstream"}[dice.IntN(2)]
		w.toxics.tell(t, "/proxies/"+way+"/toxics", fmt.Sprintf(`{"stream":%q,"type":%s}`, stream, toxics[n]))
	}
}

// killOne ends a gateway as kill -9 does and starts it again.
func (w *four) killOne(t *testing.T, dice *rand.Rand) {
	t.Helper()
	g := w.gateways[dice.IntN(len(w.gateways))]
	g.kill(t)
	g.start(t)
	w.kills++
}

// commitNext has anna commit when everybody is in the last epoch and has read all that was said until then: a
// device keeps the keys of a few epochs only.
func (w *four) commitNext(t *testing.T) {
	t.Helper()
	said := map[string]int{}
	var heard []map[string]int
	for _, m := range w.members {
		s := m.status(t, w.group())
		if s.Epoch != w.commits {
			return
		}
		said[m.name] = s.Said
		heard = append(heard, s.HeardOf)
	}
	if w.due == nil {
		w.due = said
	}
	for _, h := range heard {
		for name, n := range w.due {
			if h[name] < n {
				return
			}
		}
	}
	for _, m := range w.members[:1] {
		m.chat(t, w.group(), 1, 1)
		w.commits++
	}
	w.due = nil
}

// endsWell: everybody is in the same epoch and read everything once and in order.
func (w *four) endsWell(t *testing.T) {
	t.Helper()
	said := 0
	eventually(t, "everything said to be read", func() bool {
		least, chatting := 1<<30, 0
		said = 0
		for _, m := range w.members {
			s := m.status(t, w.group())
			said += s.Said
			chatting += s.Chatting // a word may still be on its way out
			least = min(least, s.Heard)
		}
		return chatting == 0 && least >= said
	})
	now := settled(t, w.group(), w.members...)
	for i, s := range now {
		t.Logf("%s: %+v", w.members[i].name, s)
		if s.Said == 0 {
			t.Errorf("%s said nothing", w.members[i].name)
		}
	}
	t.Logf("%d messages, %d commits, %d kills", said, w.commits, w.kills)
	if now[0].Epoch != w.commits {
		t.Errorf("they are in epoch %d after %d commits", now[0].Epoch, w.commits)
	}
	want := sorted(w.members[0].transcript(t, w.group()))
	for _, m := range w.members {
		read := m.transcript(t, w.group())
		whole(t, m.name, read, said)
		if !slices.Equal(sorted(read), want) {
			t.Errorf("%s and anna read different transcripts", m.name)
		}
	}
}

// sorted makes transcripts of different mailboxes comparable: there is one order within each sender only.
func sorted(words []word) []word {
	return slices.SortedFunc(slices.Values(words), func(a, b word) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Text, b.Text))
	})
}
