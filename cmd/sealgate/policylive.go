package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
)

// liveCommand asks the running gateway and prints the answer.
type liveCommand[T any] struct {
	use, short string
	args       int // at most
	flags      func(*cobra.Command)
	question   func(args []string) (question, error)
	show       func(io.Writer, T)
}

func (l liveCommand[T]) command() *cobra.Command {
	var s settings
	var asJSON bool
	cmd := &cobra.Command{
		Use: l.use, Short: l.short,
		Args: atMost(l.args),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			q, err := l.question(args)
			if err != nil {
				return err
			}
			return interrupted(cmd.Context(), l.run(cmd.Context(), cmd.OutOrStdout(), config, q, asJSON))
		},
	}
	s.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	if l.flags != nil {
		l.flags(cmd)
	}
	return cmd
}

func (l liveCommand[T]) run(ctx context.Context, w io.Writer, config configs.Config, q question, asJSON bool) error {
	var v T
	found, err := ask(ctx, config, q, &v)
	if err != nil {
		return err
	}
	switch {
	case asJSON && !found:
		_, err = io.WriteString(w, "{}\n")
	case asJSON:
		err = json.NewEncoder(w).Encode(v)
	case !found:
		_, err = io.WriteString(w, "nothing has changed\n")
	default:
		out := bufio.NewWriter(w) // which keeps the first error
		l.show(out, v)
		err = out.Flush()
	}
	return err
}

func at(path string) func([]string) (question, error) {
	return func([]string) (question, error) { return question{path: path}, nil }
}

// first is a query with the first argument, if there is one.
func first(key string, args []string) url.Values {
	if len(args) == 0 {
		return url.Values{}
	}
	return url.Values{key: args[:1]}
}

func policyStatusCommand() *cobra.Command {
	return liveCommand[policy.Status]{
		use: "status", short: "Say which policy is in force, and why another one is not", question: at("/policy"), show: showStatus,
	}.command()
}

func policyReloadCommand() *cobra.Command {
	return liveCommand[policy.Change]{
		use: "reload", short: "Load the policy file now, as kill -HUP does", show: showChange,
		question: func([]string) (question, error) {
			return question{method: http.MethodPost, path: "/policy/reload"}, nil
		},
	}.command()
}

func policyRollbackCommand() *cobra.Command {
	return liveCommand[policy.Change]{
		use: "rollback [CHANGE]", short: "Write an earlier policy over the policy file and load it", args: 1, show: showChange,
		question: func(args []string) (question, error) {
			return question{method: http.MethodPost, path: "/policy/rollback", query: first("change", args)}, nil
		},
	}.command()
}

func policyHistoryCommand() *cobra.Command {
	return liveCommand[[]policy.Change]{
		use: "history [CHANGE]", short: "List what was loaded and what was refused, or one change with its diff", args: 1,
		question: func(args []string) (question, error) {
			return question{path: "/policy/history", query: first("change", args)}, nil
		},
		show: func(w io.Writer, all []policy.Change) {
			for _, c := range all {
				showChange(w, c)
			}
		},
	}.command()
}

func policyDiffCommand() *cobra.Command {
	return liveCommand[string]{
		use: "diff [CHANGE]", short: "Show what a reload would change, or what has changed since a change", args: 1,
		question: func(args []string) (question, error) {
			return question{path: "/policy/diff", query: first("change", args)}, nil
		},
		show: func(w io.Writer, text string) { _, _ = io.WriteString(w, text) },
	}.command()
}

func policyExplainCommand() *cobra.Command {
	var given []string
	return liveCommand[policy.Explanation]{
		use: "explain [DECISION]", short: "Say what every rule says about a decision, or about a case given with --given", args: 1,
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringArrayVar(&given, "given", nil, "a `NAME=VALUE` of the case, as rel=stranger or msg.kind=welcome; may be repeated")
		},
		question: func(args []string) (question, error) {
			if len(args) == 0 && len(given) == 0 {
				return question{}, usageError{errors.New("give a decision, or what is given, as --given msg.kind=welcome")}
			}
			query := first("id", args)
			query["given"] = given
			return question{path: "/policy/explain", query: query}, nil
		},
		show: showExplanation,
	}.command()
}

func policyShadowCommand() *cobra.Command {
	var since string
	return liveCommand[policy.Tally]{
		use: "shadow [RULE]", short: "Say what rules in mode shadow would have done", args: 1, flags: sinceFlag(&since),
		question: func(args []string) (question, error) {
			d, err := days(since)
			query := first("rule", args)
			query["mode"], query["since"] = []string{rules.ShadowMode}, []string{d.String()}
			return question{path: "/policy/tally", query: query}, err
		},
		show: showTally,
	}.command()
}

func policyReplayCommand() *cobra.Command {
	var since, file string
	return liveCommand[policy.Replay]{
		use: "replay", short: "Say how another policy would have decided what was decided",
		flags: func(cmd *cobra.Command) {
			sinceFlag(&since)(cmd)
			cmd.Flags().StringVar(&file, "policy", "", "the other policy's `FILE`; without it the configured one, as it is on disk")
		},
		question: func([]string) (question, error) {
			d, err := days(since)
			if err != nil {
				return question{}, err
			}
			query := url.Values{"since": {d.String()}, "name": {filepath.Base(file)}}
			packed, err := candidate(file)
			return question{method: http.MethodPost, path: "/policy/replay", query: query, body: packed}, err
		},
		show: showReplay,
	}.command()
}

func sinceFlag(since *string) func(*cobra.Command) {
	return func(cmd *cobra.Command) {
		cmd.Flags().StringVar(since, "since", "7d", "how much `TIME` to look back on: 7d, 12h")
	}
}

// maxDays is longer than anything is kept.
const maxDays = 100_000

func days(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if n, ok := strings.CutSuffix(text, "d"); ok {
		var count int
		count, err = strconv.Atoi(n)
		d = time.Duration(max(0, min(count, maxDays))) * 24 * time.Hour
	}
	if err != nil || d <= 0 {
		return 0, usageError{fmt.Errorf("--since %q is no time: write 7d or 12h", text)}
	}
	return d, nil
}

// candidate packs a policy with the files of its lists, for the gateway need not be able to read them. Of "" there is nothing.
func candidate(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	c := policy.Candidate{Name: filepath.Base(file), Files: map[string][]byte{}}
	origin := policyFile(file)
	text, err := origin.Read()
	if err != nil {
		return nil, err
	}
	c.Text = text
	_, err = rules.Parse(rules.Source{Name: c.Name, Text: text, Now: time.Now(), Open: func(path string) ([]byte, error) {
		list, err := origin.Open(path)
		c.Files[path] = list
		return list, err
	}})
	if err != nil {
		return nil, err
	}
	return c.Pack()
}
