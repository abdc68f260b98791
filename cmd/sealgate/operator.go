package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/relay/admin"
	"github.com/sealgate/sealgate/storage"
)

// deed is something done to the store for the operator: by the running gateway, which has it open, or by the command
// itself where none runs.
type deed func(ctx context.Context, s *storage.Store, args url.Values, w io.Writer) error

// deeds by the name of their command.
func deeds(config configs.Config) map[string]deed {
	return map[string]deed{
		"backup": writeBackup,
		"backup/done": func(ctx context.Context, s *storage.Store, _ url.Values, _ io.Writer) error {
			return s.BackupIsDone(ctx)
		},
		"check": verifyStore,
		"leave": leaveAtRest,
		"rotate-key": func(ctx context.Context, s *storage.Store, _ url.Values, w io.Writer) error {
			return rotateKey(ctx, config, s, w)
		},
		"user/export": exportUser,
		"user/delete": deleteUser,
	}
}

// commands are the deeds as the running gateway does them.
func (g *gateway) commands() map[string]admin.Command {
	out := map[string]admin.Command{}
	for name, do := range deeds(g.config) {
		out[name] = func(ctx context.Context, args url.Values, w io.Writer) error { return do(ctx, g.store, args, w) }
	}
	erase := out["user/delete"]
	out["user/delete"] = func(ctx context.Context, args url.Values, w io.Writer) error {
		if p, err := whom(ctx, g.store, args.Get("actor")); err == nil {
			defer g.people.ForgetPerson(p)
		}
		return erase(ctx, args, w)
	}
	out["leave"] = g.leave
	return out
}

// errInterrupted is how a command ends that was told to (SIGINT, SIGTERM).
var errInterrupted = errors.New("interrupted")

// interrupted calls what went wrong because ctx ended by that name.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// operate asks the running gateway for a deed, or does it at rest. What comes of it is written to w.
func operate(ctx context.Context, config configs.Config, name string, args url.Values, w io.Writer) error {
	return interrupted(ctx, perform(ctx, config, name, args, w))
}

func perform(ctx context.Context, config configs.Config, name string, args url.Values, w io.Writer) error {
	address := "http://sealgate/command/" + name + "?" + args.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := toGateway(config, req)
	if errors.Is(err, errNotRunning) {
		return atRest(config, func(s *storage.Store) error { return deeds(config)[name](ctx, s, args, w) })
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	if resp.StatusCode != http.StatusOK {
		return refused(resp.StatusCode, resp.Body)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

// atRest opens the store that nobody serves.
func atRest(config configs.Config, do func(*storage.Store) error) (err error) {
	if _, err := os.Stat(config.Storage.Path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no store at %s (storage.path): the gateway's first start makes it; is this the gateway's configuration (--config)?", config.Storage.Path)
	} else if err != nil {
		return fmt.Errorf("look at storage.path: %w", err)
	}
	if err := isOurs(config.Storage.Path); err != nil {
		return err
	}
	if _, err := existingKey(config.Storage); err != nil {
		return err
	}
	s, err := openStore(config, storeOptions(config))
	if errors.Is(err, storage.ErrLocked) {
		return fmt.Errorf("%w, or give the running gateway's own configuration (--config): nobody answers at %s (admin.socket)", err, config.Admin.Socket)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(s)
}

// isOurs refuses root where the store belongs to somebody else, who could not open what root writes there.
func isOurs(store string) error {
	about, err := os.Stat(filepath.Dir(store))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the directory of storage.path: %w", err)
	}
	owner, ok := about.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || owner.Uid == 0 {
		return nil
	}
	name := strconv.FormatUint(uint64(owner.Uid), 10)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	return fmt.Errorf("%s (storage.path) belongs to user %s, who could not read what root writes there: runuser -u %s -- sealgate …", filepath.Dir(store), name, name)
}

// openStore opens it with storage.encryption_key, which a first start makes when it is a file.
func openStore(config configs.Config, o storage.Options) (*storage.Store, error) {
	if path, ok := config.Storage.EncryptionKey.File(); ok {
		return storage.OpenFile(o, path)
	}
	var err error
	if o.Key, err = storeKey(config.Storage); err != nil {
		return nil, err
	}
	return storage.Open(o)
}
