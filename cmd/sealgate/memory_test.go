package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

// TestMemory: what is the gateway's own, without the kernel's copies of the program and of the store's files, is under
// 64 MiB at rest and within its budget under load.
func TestMemory(t *testing.T) {
	messages, load := 10_000, 4_000
	if soaking() {
		messages, load = 1_000_000, 20_000
	}
	const budget = 128 << 20 // the least that memory can be
	t.Setenv("SEALGATE_MEMORY", "128MiB")
	b := newBattered(t)
	b.kill()
	b.start()
	b.atRest("with a fresh store")
	if err := b.process.Stop(); err != nil {
		t.Fatal(err)
	}
	b.fill(messages)
	begin := time.Now()
	b.start()
	t.Logf("ready after %s", time.Since(begin).Round(time.Millisecond))
	b.atRest(fmt.Sprintf("with %d messages", messages))

	ctx, stop := context.WithCancel(t.Context())
	workers := b.load(ctx)
	most := int64(0)
	for range 20 {
		b.awaitCount(load / 20)
		most = max(most, b.status("RssAnon"))
	}
	stop()
	workers.Wait()
	t.Logf("under load: %d MiB of its own at most, with files %d", most>>20, b.status("VmHWM")>>20)
	if most > budget {
		t.Errorf("%d MiB under load, the budget is %d", most>>20, budget>>20)
	}
}

// atRest waits until a gateway that was just started and has nothing to do needs no more than it may: the garbage of
// its start is collected two minutes later at the latest.
func (b *battered) atRest(how string) {
	b.t.Helper()
	deadline := time.After(3 * time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for b.status("RssAnon") > 64<<20 {
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("%d MiB at rest %s", b.status("RssAnon")>>20, how)
		}
	}
	b.t.Logf("at rest %s: %d MiB, of them %d its own", how, b.status("VmRSS")>>20, b.status("RssAnon")>>20)
}

// status reads bytes from what the kernel says of the process.
func (b *battered) status(name string) int64 {
	b.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.process.PID))
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				b.t.Fatal(err)
			}
			return kib << 10
		}
	}
	b.t.Fatalf("%s is not in /proc/…/status", name)
	return 0
}

// fill puts so many messages into the store at rest.
func (b *battered) fill(messages int) {
	b.t.Helper()
	o := storage.Options{Path: filepath.Join(b.options.Directory, "store"), Retention: 30 * 24 * time.Hour, Quota: 1 << 40}
	s, err := storage.OpenFile(o, filepath.Join(b.options.Directory, "store.key"))
	if err != nil {
		b.t.Fatal(err)
	}
	const together = 250
	for n := 0; n < messages; n += together {
		ms := make([]inbox.Message, together)
		for i := range ms {
			ms[i] = inboxtest.Sample(inbox.Owner(fmt.Sprint("owner", (n+i)%10_000)), n+i)
			ms[i].Activity = bytes.Repeat([]byte{'x'}, 300)
		}
		if _, err := s.Append(b.t.Context(), ms); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.t.Fatal(err)
	}
}
