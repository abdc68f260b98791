package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/storage"
)

func userCommand() *cobra.Command {
	return group("user", "Show or remove what is kept about one local person",
		onUser("export", "exporting", "Print everything kept about ACTOR, one JSON object a line",
			"Print every row that belongs to a local person, given by name, actor URL or account id. Tokens are left out."),
		onUser("delete", "deleting", "Remove everything kept about ACTOR",
			"Remove every row that belongs to a local person, then read the whole store again for rows of theirs and for every hash that\n"+
				"stands for them. End the account at the instance first, or whoever writes to them brings a mailbox back."),
	)
}

func onUser(name, doing, short, long string) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use: name + " ACTOR", Short: short, Long: long,
		Args: one("person: a name, an actor URL or an account id"),
		RunE: s.does("user "+name, func(cmd *cobra.Command, config configs.Config, args []string) error {
			who := nameHere(args[0], config)
			out, end := tickingUntil(cmd.OutOrStdout(), cmd.ErrOrStderr(), doing)
			defer end()
			return operate(cmd.Context(), config, "user/"+name, url.Values{"actor": {who}}, out)
		}),
	}
	s.bind(cmd)
	return cmd
}

// nameHere is the name in a handle or profile URL of this instance (@alice@social.example, https://social.example/@alice); anything
// else stays as it is.
func nameHere(who string, config configs.Config) string {
	if name, ok := strings.CutPrefix(who, publicBase(config)+"/@"); ok {
		return name
	}
	name, host, elsewhere := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(who, "acct:"), "@"), "@")
	if elsewhere && !strings.EqualFold(host, config.Domain) {
		return who
	}
	return name
}

func exportUser(ctx context.Context, s *storage.Store, args url.Values, w io.Writer) error {
	p, err := whom(ctx, s, args.Get("actor"))
	if err != nil {
		return err
	}
	_, err = s.Export(ctx, p, w)
	return withCure(err)
}

func deleteUser(ctx context.Context, s *storage.Store, args url.Values, w io.Writer) error {
	p, err := whom(ctx, s, args.Get("actor"))
	if err != nil {
		return err
	}
	n, err := s.Erase(ctx, p)
	if err != nil {
		return withCure(err)
	}
	_, err = fmt.Fprintf(w, "%d rows removed; the store was read again and has nothing of this person\n", n)
	return err
}

// whom finds the local person whom an operator calls so.
func whom(ctx context.Context, s *storage.Store, name string) (mastodon.Person, error) {
	p, err := s.Whom(ctx, name)
	if errors.Is(err, mastodon.ErrNoPerson) {
		return p, fmt.Errorf("nothing is kept here about %q; try the name alone, the actor URL or the account id", name)
	}
	return p, err
}
