package sidekiq_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/relay/outbox/outboxtest"
	"github.com/sealgate/sealgate/relay/outbox/sidekiq"
)

// server starts Redis, and returns its administrator's client and the address of a user.
func server(t *testing.T) (admin *redis.Client, address func(user string) string, stop func()) {
	t.Helper()
	socket, stop := outboxtest.Redis(t)
	admin = redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	t.Cleanup(func() { admin.Close() })
	return admin, func(user string) string { return "unix://" + user + "@" + socket }, stop
}

func open(t *testing.T, address string) *sidekiq.Queue {
	t.Helper()
	q, err := sidekiq.New(address, func() time.Time { return time.Unix(1700000000, 250e6) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// TestQueue: a user with exactly the ACL that is printed pushes the job that Mastodon's
// workers take, and may do nothing else; everything that is set wrong has its error.
func TestQueue(t *testing.T) {
	admin, address, stop := server(t)
	q := open(t, address("sealgate:hunter2"))
	alice := outbox.Sender{Account: "7"}
	body := []byte(`{"type":"Create","x":"é\u00e9<&"}`)
	fails := func(q *sidekiq.Queue, want error) {
		t.Helper()
		look, carry := q.Look(t.Context()), q.Carry(t.Context(), alice, "https://far.example/inbox", body)
		if !errors.Is(look, want) || !errors.Is(carry, want) || strings.Contains(look.Error()+carry.Error(), "hunter2") {
			t.Errorf("%v; %v; want %v", look, carry, want)
		}
	}
	do := func(line string) {
		t.Helper()
		var args []any
		for word := range strings.FieldsSeq(strings.NewReplacer("'", "", "PASSWORD", "hunter2").Replace(line)) {
			args = append(args, word)
		}
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	fails(q, sidekiq.ErrRefused)
	do(q.ACL())
	if err := q.Look(t.Context()); err != nil {
		t.Errorf("with the ACL: %v", err)
	}
	if n := admin.Exists(t.Context(), "queues", "queue:push").Val(); n != 0 {
		t.Error("a look pushed something")
	}
	if err := q.Carry(t.Context(), alice, "https://far.example/inbox", body); err != nil {
		t.Fatal(err)
	}
	jobs := admin.LRange(t.Context(), "queue:push", 0, -1).Val()
	if len(jobs) != 1 || admin.SMembers(t.Context(), "queues").Val()[0] != "push" {
		t.Fatalf("jobs %q", jobs)
	}
	var job struct {
		Class, Queue, JID string
		Args              []any
		Retry             int
		Dead              bool
		CreatedAt         float64 `json:"created_at"`
		EnqueuedAt        float64 `json:"enqueued_at"`
	}
	if err := json.Unmarshal([]byte(jobs[0]), &job); err != nil {
		t.Fatal(err)
	}
	if job.Class != "ActivityPub::DeliveryWorker" || job.Queue != "push" || job.Retry != 16 || job.Dead || len(job.JID) != 24 ||
		job.CreatedAt != 1700000000.25 || job.EnqueuedAt != 1700000000.25 || len(job.Args) != 4 || job.Args[0] != string(body) ||
		job.Args[1] != 7.0 || job.Args[2] != "https://far.example/inbox" || !strings.Contains(jobs[0], `,{}]`) || !strings.Contains(jobs[0], `"dead":false`) {
		t.Errorf("job %s", jobs[0])
	}
	user := redis.NewClient(&redis.Options{Network: "unix", Addr: admin.Options().Addr, Username: "sealgate", Password: "hunter2"})
	defer user.Close()
	for _, command := range [][]any{{"LRANGE", "queue:push", 0, -1}, {"GET", "x"}, {"LPUSH", "queue:default", "x"}, {"FLUSHALL"}, {"KEYS", "*"}} {
		if err := user.Do(t.Context(), command...).Err(); !redis.HasErrorPrefix(err, "NOPERM") {
			t.Errorf("the user may %v: %v", command, err)
		}
	}
	if err := q.Carry(t.Context(), outbox.Sender{Account: "01ABC"}, "https://far.example/inbox", body); !errors.Is(err, sidekiq.ErrAccount) {
		t.Errorf("an account of another software: %v", err)
	}
	fails(open(t, address("sealgate:wrong")), sidekiq.ErrRefused)
	do("ACL SETUSER weak on >hunter2 ~queues -@all +hello +sadd +multi +exec +discard")
	fails(open(t, address("weak:hunter2")), sidekiq.ErrRights)
	stop()
	fails(q, sidekiq.ErrDown)
	if _, err := sidekiq.New("redis://u:hunter2@h:x/0", time.Now); !errors.Is(err, sidekiq.ErrURL) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a bad address: %v", err)
	}
}
