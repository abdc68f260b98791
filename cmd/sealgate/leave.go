package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/storage"
)

const (
	// leavingName is under which the store keeps since when the gateway has been leaving.
	leavingName = "leaving"
	lookEvery   = 500 * time.Millisecond
)

const leftBehind = `what stays behind when the gateway is taken away (docs/operations.md, "Leaving"):
- mailboxes: readable while it runs, until mailbox.retention ends; nobody's afterwards
- copies of actor documents on other servers: the keyPackages and messages they name are 404 then
- the gateway's application at the instance, and people's grants to it (their "Authorized apps")
- people's places in groups with others, until a member removes them
- backups, and former keys beside storage.encryption_key
`

func leaveCommand() *cobra.Command {
	var s settings
	var undo bool
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Take no new messages, deliver what is queued, keep mailboxes readable",
		Long: "From now on, and after restarts, encrypted messages are refused (403) in both directions and actor documents offer no key\n" +
			"packages; mailboxes stay readable until mailbox.retention ends. The command then waits until everything queued for\n" +
			"other servers is delivered or given up, and may be ended before. --undo takes messages again. See docs/operations.md.",
		Args: noArguments,
		RunE: s.does("leave", func(cmd *cobra.Command, config configs.Config, _ []string) error {
			args := url.Values{}
			if undo {
				args.Set("undo", "yes")
			}
			err := operate(cmd.Context(), config, "leave", args, cmd.OutOrStdout())
			if errors.Is(err, errInterrupted) {
				err = fmt.Errorf("%w; the gateway goes on delivering, and takes no messages until --undo", err)
			}
			return err
		}),
	}
	s.bind(cmd)
	cmd.Flags().BoolVar(&undo, "undo", false, "take messages again")
	return cmd
}

var errTakenBack = errors.New("messages are taken again: leave --undo was given meanwhile")

// leave keeps the decision, goes by it, and watches the queue of the running gateway.
func (g *gateway) leave(ctx context.Context, args url.Values, w io.Writer) error {
	if err := g.decideLeaving(ctx, args); err != nil {
		return err
	}
	if err := sayLeaving(args, w); err != nil || args.Has("undo") {
		return err
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for last := -1; ; {
		if !g.leaving.Load() {
			return errTakenBack
		}
		n, err := g.store.Waiting(ctx)
		if err != nil {
			return err
		}
		if n != last {
			if _, err := fmt.Fprintf(w, "%d deliveries are queued\n", n); err != nil {
				return err
			}
		}
		if last = n; n == 0 {
			_, err := io.WriteString(w, leftBehind)
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// decideLeaving keeps the decision and goes by it: all of it, once it has begun, and one at a time.
func (g *gateway) decideLeaving(ctx context.Context, args url.Values) error {
	g.deciding.Lock()
	defer g.deciding.Unlock()
	if err := keepLeaving(context.WithoutCancel(ctx), g.store, args); err != nil {
		return err
	}
	g.leaving.Store(!args.Has("undo"))
	return nil
}

// leaveAtRest is leave where no gateway runs, so that waiting would be for ever.
func leaveAtRest(ctx context.Context, s *storage.Store, args url.Values, w io.Writer) error {
	if err := keepLeaving(ctx, s, args); err != nil {
		return err
	}
	if err := sayLeaving(args, w); err != nil || args.Has("undo") {
		return err
	}
	n, err := s.Waiting(ctx)
	if err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%d deliveries are queued, and no gateway runs that would make them: start it (sealgate serve), then give this command again", n)
	}
	_, err = io.WriteString(w, leftBehind)
	return err
}

// keepLeaving keeps the decision, or takes it back.
func keepLeaving(ctx context.Context, s *storage.Store, args url.Values) error {
	since := []byte(time.Now().UTC().Format(time.RFC3339))
	if args.Has("undo") {
		since = nil
	}
	return s.Keep(ctx, leavingName, since)
}

func sayLeaving(args url.Values, w io.Writer) error {
	said := "no new messages are taken"
	if args.Has("undo") {
		said = "messages are taken again"
	}
	_, err := fmt.Fprintln(w, said)
	return err
}

// isLeaving says what an earlier leave decided.
func isLeaving(ctx context.Context, s *storage.Store) (bool, error) {
	since, err := s.Kept(ctx, leavingName)
	if errors.Is(err, storage.ErrNotKept) {
		return false, nil
	}
	return len(since) > 0, err
}
