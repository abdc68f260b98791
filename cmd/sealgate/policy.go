package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
)

func policyCommand() *cobra.Command {
	return group("policy", "Check, test, try, explain and change the abuse policy",
		policyCheckCommand(), policyTestCommand(), policyPresetCommand(), policyStatusCommand(), policyReloadCommand(),
		policyExplainCommand(), policyReplayCommand(), policyShadowCommand(), policyDiffCommand(), policyHistoryCommand(), policyRollbackCommand(),
	)
}

func policyPresetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "preset NAME", Short: "Print a preset (open, normal or quiet), to begin a policy of your own with",
		Args: one("name: open, normal or quiet"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := configs.Preset(args[0])
			if err != nil {
				return usageError{err}
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}

// checkedPolicy is what check and test print.
type checkedPolicy struct {
	File     string           `json:"file"`
	OK       bool             `json:"ok"`
	Policy   string           `json:"policy,omitempty"`
	Rules    int              `json:"rules"`
	Problems []*rules.Problem `json:"problems,omitempty"`
	Warnings []string         `json:"warnings,omitempty"`
	Tests    []rules.Outcome  `json:"tests,omitempty"`
}

// errPolicy is how a check ends that found something; it was printed.
var errPolicy = errors.New("policy: it does not load; each line above says what cures it")

func policyCheckCommand() *cobra.Command {
	return policyFileCommand("check [FILE]", "Say what is wrong with a policy, without loading it", checkedPolicy.printCheck)
}

func policyTestCommand() *cobra.Command {
	return policyFileCommand("test [FILE]", "Run the tests in a policy, without loading it", checkedPolicy.printTests)
}

// policyFileCommand looks at FILE, or at the configured policy. Neither asks a running gateway.
func policyFileCommand(use, short string, show func(checkedPolicy, io.Writer) error) *cobra.Command {
	var s settings
	var asJSON bool
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			origin, err := originOf(&s, args)
			if err != nil {
				return err
			}
			c := checkPolicy(origin)
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(c)
			} else {
				err = show(c, cmd.OutOrStdout())
			}
			if err == nil && !c.OK {
				err = errPolicy
			}
			return err
		},
	}
	s.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func originOf(s *settings, args []string) (policy.Origin, error) {
	if len(args) == 1 {
		return policyFile(args[0]), nil
	}
	config, err := s.load()
	return policyOrigin(config.Policy), err
}

func checkPolicy(o policy.Origin) checkedPolicy {
	c := checkedPolicy{File: filepath.Base(o.Name)}
	text, err := o.Read()
	if err != nil {
		c.Problems = []*rules.Problem{{File: o.Name, Reason: err.Error()}}
		return c
	}
	now := time.Now()
	p, err := rules.Parse(rules.Source{Name: c.File, Text: text, Open: o.Open, Now: now})
	if err != nil {
		c.Problems = rules.Problems(err)
		return c
	}
	c.OK, c.Policy, c.Rules, c.Warnings, c.Tests = true, p.Hash(), len(p.Rules()), p.Warnings(now), p.Test(now)
	return c
}

func (c checkedPolicy) printCheck(w io.Writer) error {
	for _, p := range c.Problems {
		_, _ = fmt.Fprintln(w, p)
	}
	for _, text := range c.Warnings {
		sayf(w, "%s: note: %s", c.File, text)
	}
	if !c.OK {
		return nil
	}
	_, err := fmt.Fprintf(w, "%s: policy %s loads: %d rules, %d tests pass\n", c.File, c.Policy, c.Rules, len(c.Tests))
	return err
}

func (c checkedPolicy) printTests(w io.Writer) error {
	for _, t := range c.Tests {
		sayf(w, "ok    %s", t.Name)
	}
	return c.printCheck(w)
}
