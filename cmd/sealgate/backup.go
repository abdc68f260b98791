package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/storage"
)

func backupCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the store into FILE, also while the gateway serves",
		Long: "Copy everything the store holds at this moment into FILE, encrypted under storage.encryption_key. The key files beside\n" +
			"the store are not in it: keep a copy of store.key, actor.pem, keylog.pem and vapid.pem elsewhere. Only rotate-key\n" +
			"changes one.\n" +
			"Until it is whole it is FILE.part; after an interruption of any kind the same command goes on from there.",
		Args: one("file"),
		RunE: s.does("backup", func(cmd *cobra.Command, config configs.Config, args []string) error {
			told, end := progress(cmd.ErrOrStderr())
			amount, err := backup{config: config, progress: told}.make(cmd.Context(), args[0])
			end()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s holds %d rows, %d bytes, read back and whole\n", args[0], amount.Rows, amount.Bytes)
			return err
		}),
	}
	s.bind(cmd)
	return cmd
}

func restoreCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make the store anew from a backup; refuses to overwrite one",
		Long: "Make the store at storage.path from a backup, with the storage.encryption_key of then. Key packages that may have been\n" +
			"handed out since the backup are spent; their owners' clients are told and publish fresh ones.",
		Args: one("file"),
		RunE: s.does("restore", func(cmd *cobra.Command, config configs.Config, args []string) error {
			told, end := progress(cmd.ErrOrStderr())
			amount, err := restore(cmd.Context(), config, args[0], told)
			end()
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has %d rows, %d bytes; start the gateway\n", config.Storage.Path, amount.Rows, amount.Bytes)
			return err
		}),
	}
	s.bind(cmd)
	return cmd
}

// progress writes on a terminal how far it has come; elsewhere nothing. end takes the line away.
func progress(w io.Writer) (told storage.Progress, end func()) {
	line, end := terminal(w)
	if line == nil {
		return nil, end
	}
	return func(a storage.Amount) {
		rows := ""
		if a.Rows > 0 {
			rows = fmt.Sprintf("%d rows, ", a.Rows)
		}
		line(fmt.Sprintf("%s%d MiB ", rows, a.Bytes>>20))
	}, end
}

const partSuffix = ".part"

type backup struct {
	config   configs.Config
	progress storage.Progress
}

// make writes path whole, synced and read back. Until then it is path.part, and what an earlier try left there is
// gone on with.
func (b backup) make(ctx context.Context, path string) (storage.Amount, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return storage.Amount{}, errors.Join(fmt.Errorf("%s is there already; give another name", path), err)
	}
	key, err := existingKey(b.config.Storage)
	if err != nil {
		return storage.Amount{}, err
	}
	part, err := openPart(path + partSuffix)
	if err != nil {
		return storage.Amount{}, err
	}
	defer part.Close() //nolint:errcheck // synced before
	if err := b.fill(ctx, part, key); err != nil {
		return storage.Amount{}, errors.Join(err, removeEmpty(part))
	}
	if _, err := part.Seek(0, io.SeekStart); err != nil {
		return storage.Amount{}, err
	}
	amount, err := storage.VerifyBackup(ctx, key, part, b.progress)
	if err == nil {
		err = finish(part, path)
	}
	if err == nil {
		_ = operate(ctx, b.config, "backup/done", nil, io.Discard) // or the store lets go by itself, later
	}
	return amount, err
}

// openPart opens what will become a backup for one process alone.
func openPart(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no directory %s: make it first, or give another FILE", filepath.Dir(path))
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s is being written by another backup: %w", path, err), f.Close())
	}
	return f, nil
}

// fill has part hold all of a backup.
func (b backup) fill(ctx context.Context, part *os.File, key []byte) error {
	from, err := storage.FindSpot(ctx, key, part, b.progress)
	if errors.Is(err, storage.ErrBackup) {
		return fmt.Errorf("%w; remove %s and begin anew", err, part.Name())
	}
	if err != nil || from.Whole {
		return err
	}
	if err := part.Truncate(from.Offset); err != nil {
		return err
	}
	if _, err := part.Seek(from.Offset, io.SeekStart); err != nil {
		return err
	}
	spot, err := json.Marshal(from)
	if err != nil {
		return err
	}
	out := &meteredFile{f: part, told: b.progress, written: storage.Amount{Bytes: from.Offset}}
	err = operate(ctx, b.config, "backup", url.Values{"from": {string(spot)}}, out)
	if err != nil && out.written.Bytes > from.Offset {
		return fmt.Errorf("%w; within %.0f hours the same command goes on from %s", err, storage.MomentKept.Hours(), part.Name())
	}
	return err
}

// removeEmpty leaves nothing where there is nothing to go on with.
func removeEmpty(part *os.File) error {
	if about, err := part.Stat(); err != nil || about.Size() > 0 {
		return err
	}
	return os.Remove(part.Name())
}

// finish gives the synced part its name, which never replaces anything.
func finish(part *os.File, path string) error {
	if err := part.Sync(); err != nil {
		return err
	}
	if err := os.Link(part.Name(), path); err != nil {
		return err
	}
	if err := os.Remove(part.Name()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// writeBackup is the deed. Without a spot to go on from it begins.
func writeBackup(ctx context.Context, s *storage.Store, args url.Values, w io.Writer) error {
	var from storage.Spot
	if err := json.Unmarshal([]byte(args.Get("from")), &from); err != nil {
		return fmt.Errorf("read where the backup goes on: %w", err)
	}
	_, err := s.Backup(ctx, w, from, nil)
	return withCure(err)
}

// meteredFile tells how much was written.
type meteredFile struct {
	f       io.Writer
	told    storage.Progress
	written storage.Amount
	next    int64
}

func (m *meteredFile) Write(p []byte) (int, error) {
	n, err := m.f.Write(p)
	if m.written.Bytes += int64(n); m.told != nil && m.written.Bytes >= m.next {
		m.told(m.written)
		m.next = m.written.Bytes + 4<<20
	}
	return n, err
}

func restore(ctx context.Context, config configs.Config, path string, told storage.Progress) (storage.Amount, error) {
	key, err := existingKey(config.Storage)
	if err != nil {
		return storage.Amount{}, err
	}
	if err := isOurs(config.Storage.Path); err != nil {
		return storage.Amount{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return storage.Amount{}, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	o := storeOptions(config)
	o.Key = key
	return storage.Restore(ctx, o, f, told)
}

// existingKey is storeKey for those who need the key of then: a new one opens nothing.
func existingKey(c configs.Storage) ([]byte, error) {
	if path, ok := c.EncryptionKey.File(); ok {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("the key that encrypts the store is needed; put it back (storage.encryption_key): %w", err)
		}
	}
	return storeKey(c)
}
