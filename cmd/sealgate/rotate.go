package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/storage"
)

func rotateKeyCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "rotate-key",
		Short: "Put the store under a new encryption key, also while the gateway serves",
		Long: "Make a new storage.encryption_key and put the store under it; requests wait for a moment, none fails. The former key stays\n" +
			"beside the new one for as long as you keep backups that were made under it. Then delete it.",
		Args: noArguments,
		RunE: s.does("rotate-key", func(cmd *cobra.Command, config configs.Config, _ []string) error {
			return operate(cmd.Context(), config, "rotate-key", nil, cmd.OutOrStdout())
		}),
	}
	s.bind(cmd)
	return cmd
}

func rotateKey(ctx context.Context, config configs.Config, s *storage.Store, w io.Writer) error {
	path, ok := config.Storage.EncryptionKey.File()
	if !ok {
		return errors.New("the key is not in a file, so that nobody could write the new one: set storage.encryption_key to file:PATH")
	}
	former, err := s.RotateKeyFile(ctx, path)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s is the new key: copy it to where you keep the backup of the other\n%s was the key until now: older backups need it\n", path, former)
	return err
}
