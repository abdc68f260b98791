package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/sealgate/sealgate/cmd/demo/instance"
)

const secretText = "Hello Bob. Only your device can read this."

var (
	errNoMessages = errors.New("the actor document names no messages collection: is the gateway in front of it?")
	errLeaked     = errors.New("an MLS message reached the instance behind the gateway")
	errWrongText  = errors.New("the decrypted text is not what was sent")
	errNoPackage  = errors.New("the collection does not hold one key package")
)

// story is Alice writing to Bob, each at their own instance, and Bob answering.
type story struct {
	*tale
	here, there *place
	alice, bob  *instance.Person
	token       string // Bob's, at his own instance
	document    actor  // Bob's, as the gateway serves it
	keyPackage  []byte // Bob's, as the directory serves it
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
	for _, chapter := range []func(context.Context) error{s.publish, s.lookUp, s.write, s.read, s.answer} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	if n := len(s.here.Received()) + len(s.there.Received()); n != 0 {
		return fmt.Errorf("%w: %d", errLeaked, n)
	}
	s.factf("The instances behind the gateways have seen none of it.")
	return nil
}

// publish puts Bob's key package into the directory of his gateway.
func (s *story) publish(ctx context.Context) error {
	s.step("Bob's phone publishes a KeyPackage, the public half of what is needed to invite it.")
	keyPackage, err := s.phone.keyPackage(ctx)
	if err != nil {
		return err
	}
	s.factf("%d bytes: %s", len(keyPackage), shorten(base64.StdEncoding.EncodeToString(keyPackage)))
	if err := submit(ctx, s.bob, s.token, object("KeyPackage", "as:Public", keyPackage)); err != nil {
		return err
	}
	s.factf("The gateway has checked both signatures and whose it is.")
	return nil
}

// lookUp finds Bob's key package as any server would.
func (s *story) lookUp(ctx context.Context) error {
	s.step("Alice's laptop finds it: Bob's actor document, his collection, the KeyPackage.")
	if err := get(ctx, s.bob.Actor, "", &s.document); err != nil {
		return err
	}
	if s.document.Messages == "" || s.document.KeyPackages == "" {
		return errNoMessages
	}
	s.factf("messages     %s   (added by the gateway; the instance knows nothing of it)", s.document.Messages)
	s.factf("keyPackages  %s", s.document.KeyPackages)
	var list struct{ Items []string }
	if err := get(ctx, s.document.KeyPackages, "", &list); err != nil {
		return err
	}
	if len(list.Items) != 1 {
		return fmt.Errorf("%w: %d", errNoPackage, len(list.Items))
	}
	var item struct{ Content []byte }
	if err := get(ctx, list.Items[0], "", &item); err != nil {
		return err
	}
	s.factf("%d bytes from %s", len(item.Content), list.Items[0])
	s.keyPackage = item.Content
	return nil
}

// write is Alice inviting Bob and writing to him, through her own gateway's outbox.
func (s *story) write(ctx context.Context) error {
	s.step("Alice's laptop opens a group, invites Bob's phone, and encrypts a message.")
	welcome, err := s.laptop.invite(ctx, s.keyPackage)
	if err != nil {
		return err
	}
	message, err := s.laptop.encrypt(ctx, secretText)
	if err != nil {
		return err
	}
	s.factf("The text:  %q", secretText)
	s.step("She posts both to her outbox; her gateway signs with her key and delivers to Bob's.")
	token := s.there.Token(s.alice, "read", "write")
	for _, m := range []struct {
		kind  string
		bytes []byte
	}{{"Welcome", welcome}, {"PrivateMessage", message}} {
		if err := submit(ctx, s.alice, token, object(m.kind, s.bob.Actor, m.bytes)); err != nil {
			return err
		}
		s.factf("%-14s %4d bytes of MLS   → 201 Created", m.kind, len(m.bytes))
	}
	return nil
}

func (s *story) read(ctx context.Context) error {
	s.step("Bob's phone reads his mailbox with the token of his own account.")
	kept, err := awaitMessages(ctx, s.document.Messages, s.token, 2)
	if err != nil {
		return fmt.Errorf("%w; the gateways' logs are %s and %s\n%s", err, s.there.gateway.Log, s.here.gateway.Log, s.here.gateway.Counted(ctx))
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
