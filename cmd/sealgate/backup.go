package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/storage"
)

func backupCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the store into FILE, also while the gateway serves",
		Long: "Copy everything the store holds at this moment into FILE, encrypted under storage.encryption_key. The key files beside\n" +
			"the store are not in it: keep a copy of store.key, actor.pem and keylog.pem elsewhere. Only rotate-key changes one.",
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			b := backup{config: config, progress: progress(cmd.ErrOrStderr())}
			amount, err := b.make(cmd.Context(), args[0])
			if err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s holds %d rows, %d bytes, read back and whole\n", args[0], amount.Rows, amount.Bytes)
			return err
		},
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
		Args: oneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := s.load()
			if err != nil {
				return err
			}
			amount, err := restore(cmd.Context(), config, args[0], progress(cmd.ErrOrStderr()))
			if err != nil {
				return fmt.Errorf("restore: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has %d rows, %d bytes; start the gateway\n", config.Storage.Path, amount.Rows, amount.Bytes)
			return err
		},
	}
	s.bind(cmd)
	return cmd
}

func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("give one file; see '%s --help'", cmd.CommandPath())}
	}
	return nil
}

// progress writes one line over and over, on a terminal; elsewhere nothing.
func progress(w io.Writer) storage.Progress {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if about, err := f.Stat(); err != nil || about.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return func(a storage.Amount) {
		if a.Rows > 0 {
			_, _ = fmt.Fprintf(f, "\r%d rows, ", a.Rows)
		} else {
			_, _ = fmt.Fprint(f, "\r")
		}
		_, _ = fmt.Fprintf(f, "%d MiB ", a.Bytes>>20)
	}
}

type backup struct {
	config   configs.Config
	progress storage.Progress
}

// make writes path whole, synced and read back, or leaves nothing there.
func (b backup) make(ctx context.Context, path string) (storage.Amount, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return storage.Amount{}, errors.Join(fmt.Errorf("%s is there already; give another name", path), err)
	}
	key, err := existingKey(b.config.Storage)
	if err != nil {
		return storage.Amount{}, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".backup-*") // mode 0600
	if err != nil {
		return storage.Amount{}, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // what is left is a second name, or of no use
	defer f.Close()           //nolint:errcheck // synced before
	if err := operate(ctx, b.config, "backup", nil, &meteredFile{f: f, told: b.progress}); err != nil {
		return storage.Amount{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return storage.Amount{}, err
	}
	amount, err := storage.VerifyBackup(ctx, key, f, b.progress)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Link(f.Name(), path) // which never replaces
	}
	return amount, err
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
