package main

import (
	"context"
	"fmt"
	"time"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/intake"
)

// senderShare is how much of a mailbox one sender may fill: a quarter, and no less than one activity.
func senderShare(c configs.Mailbox) int64 {
	return max(int64(c.Quota)/4, int64(c.MaxActivity))
}

// doorOf are the bounds of what strangers can bring.
func doorOf(c configs.Mailbox) inbox.Door {
	return inbox.Door{
		Requests: c.Requests.Max, Bytes: int64(c.Requests.Size), Life: time.Duration(c.Requests.Keep),
		Messages: c.Strangers.Messages, MessageBytes: int64(c.Strangers.Size),
	}
}

// openDoor makes what asks policy about messages to people here.
func (g *gateway) openDoor() (*intake.Intake, error) {
	if err := g.inbox.LoadSevered(context.Background()); err != nil {
		return nil, err
	}
	g.inbox.OnSever(audit(g.book))
	keys, err := openKeys(g.config, g.store, g.inbox, g.metrics)
	if err != nil {
		return nil, err
	}
	g.packages = keys
	places := intake.NewPlaces(intake.PlacesOptions{Most: int64(g.config.Limits.Intake), Log: g.log, Metrics: g.metrics})
	return intake.New(intake.Options{Gate: g.gate, Inbox: g.inbox, Keys: keys, Places: places}), nil
}

// runDoor lets go what waits for its time.
func (g *gateway) runDoor(ctx context.Context) error {
	if err := g.inbox.Run(ctx); err != nil {
		return fmt.Errorf("let go what waits: %w", err)
	}
	return nil
}

// approvals are the message requests that people have accepted.
type approvals struct{ inbox *inbox.Inbox }

// Approved implements policy.Approvals. What cannot be read is not approved.
func (a approvals) Approved(ctx context.Context, account, actor string) bool {
	s, err := a.inbox.Standing(ctx, inbox.Owner(account), nil, actor)
	return err == nil && s.Approved
}
