package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker when a release is built: -ldflags "-X main.version=…".
var version = "devel"

// build is what `sealgate version` tells.
type build struct {
	Version string            `json:"version"`
	Commit  string            `json:"commit"`
	Go      string            `json:"go"`
	Modules map[string]string `json:"modules"`
	order   []string
}

func versionCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print version, commit, Go and module versions",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := readBuild()
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(b)
			}
			return b.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func readBuild() build {
	b := build{Version: version, Commit: "unknown", Go: runtime.Version(), Modules: map[string]string{}}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value
		}
	}
	for _, m := range info.Deps {
		b.order = append(b.order, m.Path)
		b.Modules[m.Path] = m.Version
	}
	return b
}

func (b build) print(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "sealgate %s\ncommit %s\ngo %s\n", b.Version, b.Commit, b.Go); err != nil {
		return fmt.Errorf("print the version: %w", err)
	}
	for _, path := range b.order {
		if _, err := fmt.Fprintf(w, "  %s %s\n", path, b.Modules[path]); err != nil {
			return fmt.Errorf("print the version: %w", err)
		}
	}
	return nil
}
