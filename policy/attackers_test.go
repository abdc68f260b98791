package policy_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/policy"
)

// TestAttackersDoNotGrowTheGate: invitations from ever new domains, each a knock of its own, leave the gate as large as it
// is. SEALGATE_TEST_ATTACKERS=10000000 sets how many domains there are.
func TestAttackersDoNotGrowTheGate(t *testing.T) {
	domains := 60_000
	if many := os.Getenv("SEALGATE_TEST_ATTACKERS"); many != "" {
		if _, err := fmt.Sscan(many, &domains); err != nil {
			t.Fatal(err)
		}
	}
	text, err := configs.Preset("normal")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, string(text), &counting{}, policy.Options{})
	ask := func(n int) {
		q := invitation(n)
		q.Actor = fmt.Sprintf("https://h%d.example/users/a", n)
		b.Decide(t.Context(), q)
	}
	for n := range 30_000 { // what is bounded is full then
		ask(-n - 1)
	}
	before := heap()
	for n := range domains {
		ask(n)
	}
	if grown := heap() - before; grown > 6<<20 {
		t.Errorf("%d domains took %d bytes", domains, grown)
	} else {
		t.Logf("%d domains took %d bytes of %d", domains, grown, before)
	}
	if n := counted(t, b.reg, "sealgate_limit_forgotten_total", "policy"); n < float64(domains)/3 {
		t.Errorf("%v were forgotten", n) // 65,536 have room
	}
	runtime.KeepAlive(b)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
