// Package sidekiq is the signing source `mastodon-sidekiq`: it hands deliveries to
// Mastodon's own workers through its Redis, and Mastodon signs and sends them.
//
// It needs no key. It learns nothing of what becomes of a delivery and promises no
// order: Mastodon repeats what fails behind what was pushed later.
//
// Specification: Sidekiq's job format, Mastodon 4.4 to 4.7's ActivityPub::DeliveryWorker.
package sidekiq

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/sealgate/sealgate/relay/outbox"
)

const (
	askTime  = 5 * time.Second
	queue    = "push" // Mastodon's, for what goes to other servers
	queueKey = "queue:" + queue
	queues   = "queues"
)

// The errors of a source. None has the password.
var (
	ErrURL     = errors.New("signing.redis is no redis:// address")
	ErrDown    = errors.New("signing.redis: the server does not answer")
	ErrRefused = errors.New("signing.redis: the server refuses the user or its password")
	ErrRights  = errors.New("signing.redis: the user may not push jobs; sealgate check prints the ACL")
	ErrAccount = errors.New("signing.redis: no account id of Mastodon")
)

// Queue implements outbox.Courier. It is safe for concurrent use.
type Queue struct {
	redis *redis.Client
	user  string
	clock func() time.Time
}

// New returns a queue that connects when it is first used.
func New(url string, clock func() time.Time) (*Queue, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, ErrURL // its own error may quote the address
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolSize = askTime, askTime, askTime, 4
	o.DisableIdentity = true // one command less to allow
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	redis.SetLogger(quiet{}) // it is one for the whole program; errors are returned anyway
	return &Queue{redis: redis.NewClient(o), user: o.Username, clock: clock}, nil
}

type quiet struct{}

// Printf implements the logger of go-redis.
func (quiet) Printf(context.Context, string, ...any) {}

// Close ends its connections.
func (q *Queue) Close() error { return q.redis.Close() }

// job is one line of a Sidekiq queue.
type job struct {
	Class      string  `json:"class"`
	Args       []any   `json:"args"` // the activity, whose it is, the inbox, options
	Queue      string  `json:"queue"`
	Retry      int     `json:"retry"`
	Dead       bool    `json:"dead"`
	ID         string  `json:"jid"`
	CreatedAt  float64 `json:"created_at"`
	EnqueuedAt float64 `json:"enqueued_at"`
}

// Carry implements outbox.Courier.
func (q *Queue) Carry(ctx context.Context, from outbox.Sender, inbox string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	line, err := q.line(from, inbox, body)
	if err != nil {
		return err
	}
	_, err = q.redis.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.SAdd(ctx, queues, queue)
		p.LPush(ctx, queueKey, line)
		return nil
	})
	return named(err)
}

func (q *Queue) line(from outbox.Sender, inbox string, body []byte) ([]byte, error) {
	account, err := strconv.ParseInt(from.Account, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: %q", ErrAccount, from.Account)
	}
	var id [12]byte
	if _, err := rand.Read(id[:]); err != nil {
		panic("bug: crypto/rand fails: " + err.Error())
	}
	now := float64(q.clock().UnixMicro()) / 1e6
	return json.Marshal(job{
		Class: "ActivityPub::DeliveryWorker", Args: []any{string(body), account, inbox, struct{}{}},
		Queue: queue, Retry: 16, ID: hex.EncodeToString(id[:]), CreatedAt: now, EnqueuedAt: now,
	})
}

// Look says whether jobs could be pushed, without pushing one: Redis judges a command
// when it is queued in a transaction, and the transaction is then thrown away.
func (q *Queue) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	c := q.redis.Conn()
	defer c.Close() //nolint:errcheck // nothing was kept
	for _, command := range [][]any{{"MULTI"}, {"SADD", queues, queue}, {"LPUSH", queueKey, ""}, {"DISCARD"}} {
		if err := c.Do(ctx, command...).Err(); err != nil {
			return named(err)
		}
	}
	return nil
}

// ACL is what the user of signing.redis needs, and no more, as a command of redis-cli.
func (q *Queue) ACL() string {
	user := q.user
	if user == "" {
		user = "sealgate"
	}
	return "ACL SETUSER " + user + " on '>PASSWORD' resetkeys ~" + queues + " ~" + queueKey +
		" resetchannels -@all +hello +ping +multi +exec +discard +sadd +lpush"
}

// named says in the operator's words what Redis answers.
func named(err error) error {
	switch {
	case err == nil:
		return nil
	case redis.HasErrorPrefix(err, "NOPERM"), redis.HasErrorPrefix(err, "EXECABORT"):
		return ErrRights
	case redis.HasErrorPrefix(err, "WRONGPASS"), redis.HasErrorPrefix(err, "NOAUTH"):
		return ErrRefused
	}
	return fmt.Errorf("%w: %w", ErrDown, err)
}
