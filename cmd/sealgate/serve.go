package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/relay/forward"
)

// settings are the flags every command with a configuration has.
type settings struct {
	file  string
	flags configs.Flags
}

func (s *settings) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.file, "config", "", "configuration `FILE` (default ./sealgate.yaml, then /etc/sealgate/sealgate.yaml)")
	f.StringVar(&s.flags.Domain, "domain", "", "the `HOST` in your actors' ids (domain)")
	f.StringVar(&s.flags.Listen, "listen", "", "`ADDRESS` to listen on (listen)")
	f.StringVar(&s.flags.Upstream, "upstream", "", "`URL` of the instance (upstream.web)")
	f.StringVar(&s.flags.Data, "data", "", "`DIRECTORY` of everything kept (storage.path and its neighbours)")
}

// load reads the configuration: file, environment, flags. Its error has a line for every problem.
func (s *settings) load() (configs.Config, error) {
	lookup, err := s.flags.Over(os.LookupEnv) //nolint:forbidigo // configs is handed the environment here
	if err != nil {
		return configs.Config{}, err
	}
	config, err := configs.Load(s.file, lookup)
	unknown := configs.UnknownVariables(os.Environ(), programVariables()...) //nolint:forbidigo // as above
	return config, errors.Join(err, unknown)
}

// does is the RunE of a command that loads the configuration first; what goes wrong then is said under its name.
func (s *settings) does(name string, do func(*cobra.Command, configs.Config, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		config, err := s.load()
		if err != nil {
			return err
		}
		if err := do(cmd, config, args); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
}

// programVariables are the SEALGATE_ variables that the tests and the build of this project use.
func programVariables() []string {
	return []string{"SEALGATE_VECTORS", "SEALGATE_SAMPLES", "SEALGATE_CACHE", "SEALGATE_SEED", "SEALGATE_SEEDS", "SEALGATE_SOAK", "SEALGATE_TEST_WAVE"}
}

func serveCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Args:  noArguments,
		RunE: s.does("serve", func(cmd *cobra.Command, config configs.Config, _ []string) error {
			return serve(cmd.Context(), config, newLog(cmd.ErrOrStderr(), config.Log))
		}),
	}
	s.bind(cmd)
	return cmd
}

// garbage is for how many percent of what is in use the collector waits, within the budget (`memory`): where messages are taken all the time it
// runs less often than for 100, and the threads that serve clients find a place in the scheduler sooner.
const garbage = 400

func serve(ctx context.Context, config configs.Config, log *slog.Logger) error {
	if err := isOurs(config.Storage.Path); err != nil {
		return err
	}
	debug.SetMemoryLimit(int64(config.Memory))
	debug.SetGCPercent(garbage)
	g, err := newGateway(config, log)
	if err != nil {
		return err
	}
	// The threads that serve clients, which go before all others, find a place in the scheduler at once: there are more than all others
	// have use for. What newGateway made has counted the processors before.
	if places := runtime.GOMAXPROCS(0); places <= runtime.NumCPU() { // tests come here again
		runtime.GOMAXPROCS(forward.PlacesEach * places)
		if g.certificates == nil { // TLS is not on those threads
			g.front.Prefer()
		}
	}
	return g.run(ctx)
}

// newLog writes to w as log.level and log.format say; Validate has checked both.
func newLog(w io.Writer, c configs.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToUpper(c.Level))); err != nil {
		panic("bug: log.level was not validated: " + err.Error())
	}
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
