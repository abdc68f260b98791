package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const answerText = "Hello Alice. Nobody on the way could read this either."

// answerTime is how long Bob's gateway may take to deliver.
const answerTime = 15 * time.Second

var errNotDelivered = errors.New("the answer did not arrive")

// answer is Bob writing back, through his own gateway's outbox.
func (s *story) answer(ctx context.Context) error {
	s.step("Bob's phone answers: it posts to his outbox, and his gateway signs with his key and delivers.")
	message, err := s.phone.encrypt(ctx, answerText)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{
		"type": []string{"Object", "PrivateMessage"}, "mediaType": "message/mls", "encoding": "base64", "content": message, "to": []string{s.alice.Actor},
	})
	if err != nil {
		return fmt.Errorf("wrap the answer: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.bob.Actor+"/outbox", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post the answer: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	status, text, err := send(request)
	if err != nil {
		return err
	}
	if status != http.StatusCreated {
		return fmt.Errorf("post the answer: %w %d %s", errStatus, status, text)
	}
	s.factf("%-14s %4d bytes of MLS   → %d %s", "PrivateMessage", len(message), status, http.StatusText(status))
	return s.hear(ctx)
}

// hear is Alice's laptop reading her mailbox until the answer is there.
func (s *story) hear(ctx context.Context) error {
	s.step("Alice's laptop reads her mailbox at her own gateway, and decrypts.")
	var document actor
	if err := get(ctx, s.alice.Actor, "", &document); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	token := s.there.Token(s.alice, "read", "write")
	for {
		kept, err := readMessages(ctx, document.Messages, token)
		if err == nil && len(kept) == 1 {
			return s.understand(ctx, kept[0])
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w; the gateway's log is %s\n%s", errNotDelivered, err, s.here.gateway.Log, s.here.gateway.Counted(context.WithoutCancel(ctx)))
		}
	}
}

func (s *story) understand(ctx context.Context, a activity) error {
	text, sender, err := s.laptop.decrypt(ctx, a.Object.Content)
	if err != nil {
		return err
	}
	if text != answerText || sender != s.bob.Actor {
		return fmt.Errorf("%w: %q from %q", errWrongText, text, sender)
	}
	s.factf("%s wrote: %q", sender, text)
	return nil
}
