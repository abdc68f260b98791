package storage

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/relay/outbox"
)

var _ outbox.Store = (*Store)(nil)

// perTransaction bounds the deliveries one transaction may number.
const perTransaction = 1 << 20

// Submit implements outbox.Store: the letters, and behind them what was sent and
// what is queued.
func (s *Store) Submit(ctx context.Context, sub outbox.Submission) (outbox.Receipt, error) {
	begin := time.Now()
	requests, err := s.requests(sub.Messages)
	if err != nil {
		return outbox.Receipt{}, err
	}
	rows, err := s.sentRows(sub.Sent)
	if err != nil {
		return outbox.Receipt{}, err
	}
	queued, err := encodeDeliveries(sub.Deliveries)
	if err != nil {
		return outbox.Receipt{}, err
	}
	var receipt outbox.Receipt
	last := &request{weight: weigh(rows) + weigh(queued) + weighThread(sub)}
	if n := len(requests); n > 0 && requests[n-1].size()+last.weight <= s.groupBytes {
		last, requests[n-1].weight = requests[n-1], last.weight
	} else {
		requests = append(requests, last)
	}
	last.change = func(p *post) error {
		receipt.First = p.nextSeq()
		return errors.Join(p.queue(rows, queued), p.speak(sub))
	}
	requests[0].lesson = sub.Lesson
	all := &whole{requests: requests, turn: sub.Turn}
	for _, r := range requests {
		r.whole = all
	}
	if err := s.submit(ctx, requests...); err != nil {
		s.metrics.unavailable(len(sub.Messages))
		return outbox.Receipt{}, err
	}
	if all.lost != nil {
		return outbox.Receipt{Lost: all.lost}, nil
	}
	for _, r := range requests {
		receipt.Results = append(receipt.Results, r.results...)
	}
	s.metrics.appended(receipt.Results, time.Since(begin))
	return receipt, nil
}

func weigh(rows []row) (n int64) {
	for _, one := range rows {
		n += int64(len(one.key)+len(one.value)) + letterOverhead
	}
	return n
}

// encodeDeliveries makes a row of each, whose key still lacks the sequence number.
func encodeDeliveries(ds []outbox.Delivery) ([]row, error) {
	rows := make([]row, 0, len(ds))
	for i := range ds {
		value, err := json.Marshal(&ds[i])
		if err != nil {
			return nil, fmt.Errorf("queue a delivery: %w", err)
		}
		rows = append(rows, row{key: append([]byte{queueKey}, ds[i].Lane[:]...), value: value})
	}
	return rows, nil
}

// sentRows are the activity, cut in parts, and the names that lead to it.
func (s *Store) sentRows(sent outbox.Sent) ([]row, error) {
	head, err := json.Marshal(sent)
	if err != nil {
		return nil, fmt.Errorf("keep a sent activity: %w", err)
	}
	home := s.keys.hash(sentKey, sent.Names[0])
	value := append(appendBytes(nil, head), sent.Body...)
	var rows []row
	for part := range slices.Chunk(value, partSize) {
		rows = append(rows, row{append(home.key(sentKey), uint8(len(rows))), part})
	}
	for _, name := range sent.Names[1:] {
		rows = append(rows, row{s.keys.hash(nameKey, name).key(nameKey), home[:]})
	}
	return rows, nil
}

// nextSeq is the number of the next delivery that is queued: the transaction's
// timestamp, which grows for ever, and a count within it.
func (p *post) nextSeq() uint64 { return (p.s.durable.Load()+1)*perTransaction + p.queued }

func (p *post) queue(rows, queued []row) error {
	for _, one := range rows {
		if err := p.set(one.key, one.value, p.s.remembered()); err != nil {
			return err
		}
	}
	for _, one := range queued {
		key := binary.BigEndian.AppendUint64(one.key[:1+len(outbox.Lane{}):1+len(outbox.Lane{})], p.nextSeq())
		p.queued++
		if err := p.set(key, one.value, 0); err != nil {
			return err
		}
	}
	return nil
}

func queueKeyOf(at outbox.Place) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{queueKey}, at.Lane[:]...), at.Seq)
}

// Pending implements outbox.Store.
func (s *Store) Pending(ctx context.Context, behind outbox.Place, limit int) ([]outbox.Delivery, error) {
	return s.queued(ctx, []byte{queueKey}, behind, limit)
}

// Next implements outbox.Store.
func (s *Store) Next(ctx context.Context, behind outbox.Place, limit int) ([]outbox.Delivery, error) {
	return s.queued(ctx, append([]byte{queueKey}, behind.Lane[:]...), behind, limit)
}

func (s *Store) queued(ctx context.Context, prefix []byte, behind outbox.Place, limit int) ([]outbox.Delivery, error) {
	var out []outbox.Delivery
	err := s.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix}) // values are next to their keys
		defer it.Close()
		for it.Seek(append(queueKeyOf(behind), 0)); it.Valid() && len(out) < limit; it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			d, err := readDelivery(it.Item())
			if err != nil {
				return err
			}
			out = append(out, d)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the delivery queue: %w", err)
	}
	return out, nil
}

func readDelivery(item *badger.Item) (d outbox.Delivery, err error) {
	key := item.Key()
	if len(key) != 1+len(d.Lane)+8 {
		return d, errRecord
	}
	copy(d.Lane[:], key[1:])
	d.Seq = binary.BigEndian.Uint64(key[1+len(d.Lane):])
	err = item.Value(func(value []byte) error { return json.Unmarshal(value, &d) })
	return d, err
}

// Settle implements outbox.Store.
func (s *Store) Settle(ctx context.Context, done []outbox.Place, changed []outbox.Delivery) error {
	values, err := encodeDeliveries(changed)
	if err != nil {
		return err
	}
	return s.submit(ctx, &request{
		relief: true,
		weight: int64(len(done))*letterOverhead + weigh(values),
		change: func(p *post) error {
			for i := range changed {
				if err := p.change(queueKeyOf(changed[i].Place), values[i].value); err != nil {
					return err
				}
			}
			for _, at := range done {
				p.writes++
				if err := p.txn.Delete(queueKeyOf(at)); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// Waiting counts the deliveries that are queued.
func (s *Store) Waiting(ctx context.Context) (n int, err error) {
	err = s.scan(ctx, []byte{queueKey}, func(*badger.Entry) error { n++; return nil })
	return n, err
}

// change writes a row anew that is still there: one that was erased meanwhile does not come back.
func (p *post) change(key, value []byte) error {
	_, err := p.txn.Get(key)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return p.set(key, value, 0)
}

// Sent implements outbox.Store.
func (s *Store) Sent(ctx context.Context, name string) (outbox.Sent, error) {
	if err := ctx.Err(); err != nil {
		return outbox.Sent{}, err
	}
	var value []byte
	err := s.view(func(txn *badger.Txn) (err error) {
		home := s.keys.hash(sentKey, name)
		if other, err := get(txn, s.keys.hash(nameKey, name).key(nameKey)); err == nil {
			copy(home[:], other)
		}
		value, err = getParts(txn, home.key(sentKey))
		return err
	})
	if isMissing(err) {
		return outbox.Sent{}, outbox.ErrNotSent
	}
	if err != nil {
		return outbox.Sent{}, fmt.Errorf("read a sent activity: %w", err)
	}
	return decodeSent(value)
}

func decodeSent(value []byte) (outbox.Sent, error) {
	d := decoder{rest: value}
	var sent outbox.Sent
	head := d.bytes()
	if d.err != nil {
		return sent, d.err
	}
	err := json.Unmarshal(head, &sent)
	sent.Body = d.rest
	return sent, err
}
