package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/policy"
)

// openPolicy puts the configured policy in force.
func (g *gateway) openPolicy() (err error) {
	o := bookOptions(g.config, g.store)
	o.Log, o.Metrics = g.log, g.metrics
	g.book, err = policy.OpenBook(context.Background(), o)
	return err
}

func bookOptions(config configs.Config, journal policy.Journal) policy.BookOptions {
	preset, err := configs.Preset(config.Policy.Preset)
	if err != nil {
		panic("bug: policy.preset was not validated: " + err.Error())
	}
	return policy.BookOptions{Origin: policyOrigin(config.Policy), Fallback: preset, Journal: journal}
}

// runPolicy loads the policy again when its files change, and on SIGHUP.
func (g *gateway) runPolicy(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.book.Run(ctx) })
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hangups:
				if _, err := g.book.Reload(ctx, "signal"); errors.Is(err, policy.ErrSame) {
					g.log.Info("policy is the same as before", "by", "signal")
				}
			}
		}
	})
	return group.Wait()
}

// policyOrigin is policy.file, or the preset.
func policyOrigin(c configs.Policy) policy.Origin {
	if c.File != "" {
		return policyFile(c.File)
	}
	return policy.Origin{Name: "preset " + c.Preset, Read: func() ([]byte, error) { return configs.Preset(c.Preset) }}
}

// policyFile is a policy on disk; the files of its lists are named from its directory.
func policyFile(path string) policy.Origin {
	list := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(path), name)
	}
	return policy.Origin{
		Name: path,
		Read: func() ([]byte, error) { return readAtMost(path, maxPolicyFile) },
		Open: func(name string) ([]byte, error) { return readAtMost(list(name), maxListFile) },
		Sum: func(name string) ([sha256.Size]byte, error) {
			if name == "" {
				return sumAtMost(path, maxPolicyFile)
			}
			return sumAtMost(list(name), maxListFile)
		},
		Write: func(text []byte) error { return replaceFile(path, text) },
	}
}

// What is read of a file; package rules refuses shorter ones already.
const (
	maxPolicyFile = 1 << 20
	maxListFile   = 65 << 20
)

// readAtMost reads a file as far as who checks its length needs to see.
func readAtMost(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	return io.ReadAll(io.LimitReader(f, most))
}

// sumAtMost is the SHA-256 of what readAtMost reads.
func sumAtMost(path string, most int64) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	h := sha256.New()
	_, err = io.Copy(h, io.LimitReader(f, most))
	return [sha256.Size]byte(h.Sum(nil)), err
}

// replaceFile writes path whole or not at all, with the mode it had.
func replaceFile(path string, text []byte) error {
	about, err := os.Stat(path)
	if err != nil {
		return err
	}
	switch err := writeWhole(path, text, about.Mode()); {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the gateway may not write to the directory of policy.file: move it to that of storage.path: %w", err)
	case err != nil:
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}
