package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/storage"
)

// openKeys makes the key directory over the store.
func openKeys(config configs.Config, store *storage.Store, in *inbox.Inbox, metrics prometheus.Registerer) (*inbox.Directory, error) {
	key, err := logKey().loadOrMake(config)
	if err != nil {
		return nil, err
	}
	c := config.KeyPackages
	return inbox.NewDirectory(inbox.DirectoryOptions{
		Store: store, Key: key, MaxPerDevice: c.MaxPerDevice, MaxLifetime: time.Duration(c.MaxLifetime), LowWater: c.LowWater,
		Tell: in.Tell, Metrics: metrics,
	}), nil
}

func keysCommand() *cobra.Command {
	return group("keys", "Look at people's key logs", keysVerifyCommand())
}

func keysVerifyCommand() *cobra.Command {
	var asJSON bool
	var pinned string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check an exported key log, without asking anybody",
		Long: "Check that a key log (GET …/keyPackages?history=1) is unbroken and signed by one key. The answers of several\n" +
			"pages can stand one after the other in FILE. What this proves and what not: docs/key-directory.md.",
		Args: one("file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := base64.StdEncoding.DecodeString(pinned)
			if err != nil || len(key) != 0 && len(key) != ed25519.PublicKeySize {
				return usageError{fmt.Errorf("--key is not an Ed25519 key in base64; take publicKey from a log you trust")}
			}
			result, err := verifyKeyLog(args[0], key)
			if err != nil {
				return fmt.Errorf("verify %s: %w", args[0], err)
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(result)
			}
			return result.print(cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&pinned, "key", "", "the gateway's public `KEY` as known from before, in base64")
	return cmd
}

// verified is what a log that verifies says of itself.
type verified struct {
	Actor    string `json:"actor"`
	Entries  uint64 `json:"entries"`
	Complete bool   `json:"complete"` // as far as the file says
	Head     string `json:"head"`
	Key      string `json:"publicKey"`
	Pinned   bool   `json:"keyWasGiven"`
}

// verifyKeyLog reads one LogFile, or several that follow each other.
func verifyKeyLog(path string, pinned []byte) (verified, error) {
	f, err := os.Open(path)
	if err != nil {
		return verified{}, err
	}
	defer func() { _ = f.Close() }()
	var first *inbox.LogFile
	var head inbox.Head
	var total uint64
	for in := json.NewDecoder(f); ; {
		var page inbox.LogFile
		if err := in.Decode(&page); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return verified{}, fmt.Errorf("it is no log as GET …/keyPackages?history=1 gives it: %w", err)
		}
		if first == nil {
			first = &page
		}
		if err := sameLog(first, &page, pinned); err != nil {
			return verified{}, err
		}
		if head, err = inbox.VerifyLog(head, page.Entries, page.Actor, page.PublicKey); err != nil {
			return verified{}, err
		}
		total = max(total, page.Total)
	}
	if first == nil {
		return verified{}, errors.New("the file is empty")
	}
	return verified{
		Actor: first.Actor, Entries: head.Count, Complete: head.Count == total, Head: hex.EncodeToString(head.Hash[:]),
		Key: base64.StdEncoding.EncodeToString(first.PublicKey), Pinned: len(pinned) > 0,
	}, nil
}

func sameLog(first, page *inbox.LogFile, pinned []byte) error {
	switch {
	case len(page.PublicKey) != ed25519.PublicKeySize || page.Actor == "":
		return errors.New("the file is no key log: it lacks attributedTo or publicKey")
	case page.Actor != first.Actor:
		return fmt.Errorf("the pages are of two people: %q and %q", first.Actor, page.Actor)
	case !bytes.Equal(page.PublicKey, first.PublicKey):
		return errors.New("the pages name different keys")
	case len(pinned) > 0 && !bytes.Equal(page.PublicKey, pinned):
		return errors.New("the log is not of the key given with --key")
	}
	return nil
}

func (v verified) print(w io.Writer) error {
	text := fmt.Sprintf("%d entries of %s are unbroken\nhead %s\nkey  %s\n", v.Entries, v.Actor, v.Head, v.Key)
	if !v.Complete {
		text += "the file is not the whole log: fetch what its last page has in next and append it\n"
	}
	if !v.Pinned {
		text += "the key is the file's own word: compare it with one from before (--key)\n"
	}
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}
