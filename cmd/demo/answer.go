package main

import (
	"context"
	"fmt"
)

const answerText = "Hello Alice. Nobody on the way could read this either."

// answer is Bob writing back, and Alice reading it at her own gateway.
func (s *story) answer(ctx context.Context) error {
	s.step("Bob's phone answers, through his own gateway's outbox.")
	message, err := s.phone.encrypt(ctx, answerText)
	if err != nil {
		return err
	}
	if err := submit(ctx, s.bob, s.token, object("PrivateMessage", s.alice.Actor, message)); err != nil {
		return err
	}
	s.factf("%-14s %4d bytes of MLS   → 201 Created", "PrivateMessage", len(message))
	s.step("Alice's laptop reads her mailbox at her own gateway, and decrypts.")
	var document actor
	if err := get(ctx, s.alice.Actor, "", &document); err != nil {
		return err
	}
	kept, err := awaitMessages(ctx, document.Messages, s.there.Token(s.alice, "read", "write"), 1)
	if err != nil {
		return fmt.Errorf("%w; the gateway's log is %s\n%s", err, s.here.gateway.Log, s.here.gateway.Counted(ctx))
	}
	text, sender, err := s.laptop.decrypt(ctx, kept[0].Object.Content)
	if err != nil {
		return err
	}
	if text != answerText || sender != s.bob.Actor {
		return fmt.Errorf("%w: %q from %q", errWrongText, text, sender)
	}
	s.factf("%s wrote: %q", sender, text)
	return nil
}
