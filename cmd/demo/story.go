package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/sealgate/sealgate/cmd/demo/instance"
)

const secretText = "Hello Bob. Only your device can read this."

var (
	errNoMessages = errors.New("the actor document names no messages collection: is the gateway in front of it?")
	errLeaked     = errors.New("an MLS message reached the instance behind the gateway")
	errWrongText  = errors.New("the decrypted text is not what was sent")
	errTooFew     = errors.New("the mailbox does not hold what was delivered")
)

// story is Alice, remote, writing to Bob, local.
type story struct {
	*tale
	here, there *place
	alice, bob  *instance.Person
	token       string // Bob's, at his own instance
	document    actor  // Bob's, as the gateway serves it
	phone       *device
	laptop      *device
}

func newStory(here, there *place, t *tale) (*story, error) {
	alice, err := there.move("alice")
	if err != nil {
		return nil, err
	}
	bob, err := here.move("bob")
	if err != nil {
		return nil, err
	}
	laptop, err := newDevice(alice.Actor)
	if err != nil {
		return nil, err
	}
	phone, err := newDevice(bob.Actor)
	if err != nil {
		return nil, err
	}
	return &story{
		tale: t, here: here, there: there, alice: alice, bob: bob,
		token: here.Token(bob, "read", "write"), laptop: laptop, phone: phone,
	}, nil
}

// tell runs the story and returns an error as soon as something is not as told.
func (s *story) tell(ctx context.Context) error {
	keyPackage, err := s.publish(ctx)
	if err != nil {
		return err
	}
	if err := s.lookUp(ctx); err != nil {
		return err
	}
	if err := s.write(ctx, keyPackage); err != nil {
		return err
	}
	if err := s.read(ctx); err != nil {
		return err
	}
	return s.answer(ctx)
}

// publish hands Bob's key package over directly: the gateway has no outbox yet.
func (s *story) publish(ctx context.Context) ([]byte, error) {
	s.step("Bob's phone makes a KeyPackage, the public half of what is needed to invite it.")
	keyPackage, err := s.phone.keyPackage(ctx)
	if err != nil {
		return nil, err
	}
	s.factf("%d bytes: %s", len(keyPackage), shorten(base64.StdEncoding.EncodeToString(keyPackage)))
	s.factf("It is handed to Alice directly: this version of the gateway does not publish key packages yet.")
	return keyPackage, nil
}

func (s *story) lookUp(ctx context.Context) error {
	s.step("Alice's server reads Bob's actor document, through Bob's gateway.")
	if err := get(ctx, s.bob.Actor, "", &s.document); err != nil {
		return err
	}
	if s.document.Messages == "" {
		return errNoMessages
	}
	s.factf("inbox     %s", s.document.Inbox)
	s.factf("messages  %s   (added by the gateway; the instance knows nothing of it)", s.document.Messages)
	return nil
}

func (s *story) write(ctx context.Context, keyPackage []byte) error {
	s.step("Alice's laptop opens a group, invites Bob's phone, and encrypts a message.")
	welcome, err := s.laptop.invite(ctx, keyPackage)
	if err != nil {
		return err
	}
	message, err := s.laptop.encrypt(ctx, secretText)
	if err != nil {
		return err
	}
	s.factf("The text:  %q", secretText)
	s.step("Alice's server delivers both to Bob's inbox as signed ActivityPub activities.")
	if err := s.deliver(ctx, "Welcome", welcome); err != nil {
		return err
	}
	return s.deliver(ctx, "PrivateMessage", message)
}

func (s *story) deliver(ctx context.Context, kind string, message []byte) error {
	body, err := wrap(s.alice, s.bob.Actor, kind, message)
	if err != nil {
		return fmt.Errorf("wrap a %s: %w", kind, err)
	}
	status, err := post(ctx, s.alice, s.document.Inbox, body)
	if err != nil {
		return err
	}
	if status != http.StatusAccepted {
		return fmt.Errorf("deliver a %s: %w %d; the gateway's log is %s", kind, errStatus, status, s.here.gateway.Log)
	}
	s.factf("%-14s %4d bytes of MLS   → %d %s", kind, len(message), status, http.StatusText(status))
	if n := len(s.here.Received()); n != 0 {
		return fmt.Errorf("%w: %d", errLeaked, n)
	}
	return nil
}

func (s *story) read(ctx context.Context) error {
	s.step("Bob's phone reads his mailbox with the token of his own account.")
	kept, err := readMessages(ctx, s.document.Messages, s.token)
	if err != nil {
		return err
	}
	if len(kept) != 2 {
		return fmt.Errorf("%w: %d of 2\n%s", errTooFew, len(kept), s.here.gateway.Counted(ctx))
	}
	for _, a := range kept {
		s.factf("the gateway kept, from %s:", a.Actor)
		s.factf("  %s", shorten(base64.StdEncoding.EncodeToString(a.Object.Content)))
	}
	return s.open(ctx, kept)
}

// open joins by each Welcome and decrypts each message, oldest first.
func (s *story) open(ctx context.Context, kept []activity) error {
	s.step("Bob's phone joins the group and decrypts.")
	for _, a := range kept {
		if slices.Contains(a.Object.Type, "Welcome") {
			if err := s.phone.join(ctx, a.Object.Content); err != nil {
				return err
			}
			continue
		}
		text, sender, err := s.phone.decrypt(ctx, a.Object.Content)
		if err != nil {
			return err
		}
		if text != secretText || sender != s.alice.Actor {
			return fmt.Errorf("%w: %q from %q", errWrongText, text, sender)
		}
		s.factf("%s wrote: %q", sender, text)
	}
	s.factf("The instance behind the gateway has seen none of it.")
	return nil
}

// invite says what can be tried while everything runs.
func (s *story) invite(directory string) {
	s.step("Everything is running. Try it, then press Ctrl-C.")
	s.plain("",
		"# Bob's mailbox, with his token:",
		fmt.Sprintf("curl -s -H 'Authorization: Bearer %s' '%s?after=0'", s.token, s.document.Messages),
		"", "# The same without a token, and what the gateway says to it:",
		fmt.Sprintf("curl -si '%s'", s.document.Messages),
		"", "# Bob's actor document: what the instance wrote, and what the gateway adds:",
		fmt.Sprintf("curl -s -H 'Accept: application/activity+json' '%s'", s.bob.Actor),
		"", "# Everything else goes to the instance as it came:",
		fmt.Sprintf("curl -si '%s/@bob'", s.here.gateway.URL),
		"", "# An MLS message nobody signed:",
		fmt.Sprintf(`curl -si -d '{"type":"Create","actor":"%s","object":{"mediaType":"message/mls"}}' '%s'`,
			s.alice.Actor, s.document.Inbox),
		"", "# How the gateway is, and what it counted:",
		fmt.Sprintf("curl -s '%s/readyz'; curl -s '%s/metrics' | grep ^sealgate_", s.here.gateway.Admin, s.here.gateway.Admin),
		"", "# Configuration, store and log of both gateways:", "ls -R "+directory, "")
}
