package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/storage"
)

func userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "user", Short: "Show or remove what is kept about one local person", Args: onlySubcommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		onUser("export", "Print everything kept about ACTOR, one JSON object a line",
			"Print every row that belongs to a local person, given by name, actor URL or account id. Tokens are left out."),
		onUser("delete", "Remove everything kept about ACTOR",
			"Remove every row that belongs to a local person, then read the whole store again for rows of theirs and for every hash that\n"+
				"stands for them. End the account at the instance first, or whoever writes to them brings a mailbox back."),
	)
	return cmd
}

func onUser(name, short, long string) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use: name + " ACTOR", Short: short, Long: long,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("give one person: a name, an actor URL or an account id; see '%s --help'", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := s.load()
			if err == nil {
				err = operate(cmd.Context(), config, "user/"+name, url.Values{"actor": args}, cmd.OutOrStdout())
			}
			if err != nil {
				return fmt.Errorf("user %s: %w", name, err)
			}
			return nil
		},
	}
	s.bind(cmd)
	return cmd
}

// onlySubcommands refuses what is none.
func onlySubcommands(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q; see '%s --help'", args[0], cmd.CommandPath())}
	}
	return nil
}

func exportUser(ctx context.Context, s *storage.Store, args url.Values, w io.Writer) error {
	p, err := localPerson(ctx, s, args)
	if err != nil {
		return err
	}
	_, err = s.Export(ctx, p, w)
	return err
}

func deleteUser(ctx context.Context, s *storage.Store, args url.Values, w io.Writer) error {
	p, err := localPerson(ctx, s, args)
	if err != nil {
		return err
	}
	n, err := s.Erase(ctx, p)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%d rows removed; the store was read again and has nothing of this person\n", n)
	return err
}

func localPerson(ctx context.Context, s *storage.Store, args url.Values) (mastodon.Person, error) {
	p, err := s.Whom(ctx, args.Get("actor"))
	if errors.Is(err, mastodon.ErrNoPerson) {
		return p, fmt.Errorf("nothing is kept here about %q; try the actor URL or the account id", args.Get("actor"))
	}
	return p, err
}
