package main

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealgate/sealgate/relay/admin"
)

func requestsCommand() *cobra.Command {
	return group("requests", "List and answer message requests, cut somebody off",
		requestsListCommand(), decideCommand("accept", "Deliver a message request, in order"),
		decideCommand("drop", "Forget a message request and what follows it"), severCommand())
}

func requestsListCommand() *cobra.Command {
	var person string
	return liveCommand[admin.RequestList]{
		use: "list", short: "Show who asks whom, since when and how much; never what",
		flags: func(cmd *cobra.Command) { cmd.Flags().StringVar(&person, "person", "", "only what `NAME` is asked") },
		question: func([]string) (question, error) {
			return question{path: "/requests", query: url.Values{"person": {person}}}, nil
		},
		show: showRequests,
	}.command()
}

func showRequests(w io.Writer, list admin.RequestList) {
	for _, r := range list.Requests {
		sayf(w, "%s  %s asks %s since %s: %d messages, %d bytes; ends %s", r.ID, r.Actor, r.Person,
			r.Since.Format(time.DateTime), r.Messages, r.Bytes, r.Ends.Format(time.DateTime))
	}
	for _, s := range list.Severed {
		sayf(w, "severed  %s for %s, %s, by %s", s.Who, cmp.Or(s.Person, "everybody"), s.At.Format(time.DateTime), s.By)
	}
	if len(list.Requests)+len(list.Severed) == 0 {
		sayf(w, "nobody waits, nobody is severed")
	}
}

func decideCommand(action, short string) *cobra.Command {
	var person string
	return liveCommand[admin.Decided]{
		use: action + " ID", short: short, args: 1,
		flags: func(cmd *cobra.Command) { cmd.Flags().StringVar(&person, "person", "", "`NAME` of who is asked") },
		question: func(args []string) (question, error) {
			if len(args) != 1 || person == "" {
				return question{}, usageError{errors.New("give the request's id, and --person who is asked; see 'sealgate requests list'")}
			}
			return question{
				method: http.MethodPost, path: "/requests/" + url.PathEscape(args[0]),
				query: url.Values{"person": {person}, "action": {action}},
			}, nil
		},
		show: func(w io.Writer, d admin.Decided) { sayf(w, "%s: %s", d.ID, d.Action) },
	}.command()
}

func severCommand() *cobra.Command {
	var person string
	var yes, undo bool
	return liveCommand[admin.Severing]{
		use: "sever ACTOR|HOST", args: 1,
		short: "Drop everything from an actor or host from now on; a preview without --yes",
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.StringVar(&person, "person", "", "only for `NAME`; else for everybody here")
			f.BoolVar(&yes, "yes", false, "do it")
			f.BoolVar(&undo, "undo", false, "take it back")
		},
		question: func(args []string) (question, error) {
			if len(args) != 1 {
				return question{}, usageError{errors.New("give an actor's id or a host")}
			}
			q := question{method: http.MethodPost, path: "/sever", query: url.Values{"who": {args[0]}, "person": {person}}}
			if yes {
				q.query.Set("done", "1")
			}
			if undo {
				q.path = "/rejoin"
			}
			return q, nil
		},
		show: showSevering,
	}.command()
}

func showSevering(w io.Writer, s admin.Severing) {
	whom := cmp.Or(s.Person, "everybody")
	if s.Undone {
		sayf(w, "%s is no longer severed for %s", s.Who, whom)
		return
	}
	for _, a := range s.Affected {
		sayf(w, "%s: shares %d groups, has %d requests", a.Person, a.Groups, a.Requests)
	}
	if s.Done {
		sayf(w, "%s is severed for %s; %d people are told to remove them from their groups", s.Who, whom, len(s.Affected))
		return
	}
	sayf(w, "This is a preview. With --yes, all that %s sends to %s is dropped.", s.Who, whom)
	if len(s.Affected) == 0 {
		sayf(w, "Nobody here is known to share a group with them.")
		return
	}
	sayf(w, "Groups of the people above break for them unless a member removes %s: their commits no longer arrive.", s.Who)
}
