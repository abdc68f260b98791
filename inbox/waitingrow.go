package inbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"
)

// waitingMessage is a message that waits, without its activity.
type waitingMessage struct {
	Actor      string    `json:"a"`
	ActivityID string    `json:"i"`
	Kind       string    `json:"k"`
	Group      []byte    `json:"g,omitempty"`
	Epoch      uint64    `json:"e,omitempty"`
	Received   time.Time `json:"r"`
	Hidden     bool      `json:"h,omitempty"`
	Context    string    `json:"c,omitempty"`
	Thread     string    `json:"t,omitempty"` // Message.Conversation: it gets its line when it is released
	Ends       time.Time `json:"x,omitzero"`
}

func encodeWaiting(m *Message, ends time.Time) []byte {
	w := waitingMessage{m.Actor, m.ActivityID, m.Kind, m.Group, m.Epoch, m.Received, m.Hidden, m.Context, m.Conversation, ends}
	return w.encode(m.Activity)
}

func (w *waitingMessage) encode(activity []byte) []byte {
	head, err := json.Marshal(w)
	if err != nil {
		panic("bug: a message that waits is not JSON: " + err.Error())
	}
	value := make([]byte, 0, len(head)+len(activity)+binary.MaxVarintLen64)
	value = binary.AppendUvarint(value, uint64(len(head)))
	return append(append(value, head...), activity...)
}

// DecodeWaiting reads a WaitingRow of o's.
func DecodeWaiting(o Owner, value []byte) (Message, error) {
	w, activity, err := splitWaiting(value)
	if err != nil {
		return Message{}, err
	}
	return Message{
		Owner: o, Actor: w.Actor, ActivityID: w.ActivityID, Kind: w.Kind, Group: w.Group, Epoch: w.Epoch,
		Received: w.Received.UTC(), Hidden: w.Hidden, Activity: activity, Context: w.Context, Conversation: w.Thread,
	}, nil
}

func splitWaiting(value []byte) (w waitingMessage, activity []byte, err error) {
	size, n := binary.Uvarint(value)
	if n <= 0 || size > uint64(len(value)-n) {
		return w, nil, errors.New("inbox: a message that waits does not decode")
	}
	err = json.Unmarshal(value[n:n+int(size)], &w)
	return w, value[n+int(size):], err
}

// Stay is whose bytes a WaitingRow keeps, and until when; zero: until the row is removed.
type Stay struct {
	Actor string
	Bytes int64
	Ends  time.Time
}

// DecodeStay reads the Stay of a WaitingRow.
func DecodeStay(value []byte) (Stay, error) {
	w, activity, err := splitWaiting(value)
	return Stay{Actor: w.Actor, Bytes: int64(len(activity)), Ends: w.Ends}, err
}
