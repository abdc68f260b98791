package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/thomas-vilte/mls-go"
	"github.com/thomas-vilte/mls-go/ciphersuite"
)

var errNoGroup = errors.New("no Welcome for this device has arrived")

// device is one MLS client of a person: the only place where text is readable.
type device struct {
	client *mls.Client
	group  []byte
}

// newDevice makes a device whose credential names actor. Suite 1 is the one
// every known client of the field has.
func newDevice(actor string) (*device, error) {
	client, err := mls.NewClient([]byte(actor), ciphersuite.MLS128DHKEMX25519, mls.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, fmt.Errorf("make a device for %s: %w", actor, err)
	}
	return &device{client: client}, nil
}

// keyPackage returns what others need to invite this device (RFC 9420 §10).
func (d *device) keyPackage(ctx context.Context) ([]byte, error) {
	p, err := d.client.FreshKeyPackageBytes(ctx)
	if err != nil {
		return nil, fmt.Errorf("make a key package: %w", err)
	}
	return p, nil
}

// invite opens a group with the owner of keyPackage and returns the Welcome.
// The commit beside it has nobody else to go to.
func (d *device) invite(ctx context.Context, keyPackage []byte) ([]byte, error) {
	group, err := d.client.CreateGroup(ctx)
	if err != nil {
		return nil, fmt.Errorf("open a group: %w", err)
	}
	_, welcome, err := d.client.InviteMember(ctx, group, keyPackage)
	if err != nil {
		return nil, fmt.Errorf("invite: %w", err)
	}
	d.group = group
	return welcome, nil
}

// encrypt returns text as a PrivateMessage to the group.
func (d *device) encrypt(ctx context.Context, text string) ([]byte, error) {
	message, err := d.client.SendMessage(ctx, d.group, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return message, nil
}

// join enters the group a Welcome opens.
func (d *device) join(ctx context.Context, welcome []byte) error {
	group, err := d.client.JoinGroup(ctx, welcome)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	d.group = group
	return nil
}

// decrypt returns the text of a PrivateMessage and who MLS says wrote it.
func (d *device) decrypt(ctx context.Context, message []byte) (text, sender string, err error) {
	if d.group == nil {
		return "", "", errNoGroup
	}
	m, err := d.client.ReceiveMessage(ctx, d.group, message)
	if err != nil {
		return "", "", fmt.Errorf("decrypt: %w", err)
	}
	return string(m.Plaintext), string(m.SenderIdentity), nil
}
