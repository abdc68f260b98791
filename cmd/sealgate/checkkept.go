package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sealgate/sealgate/relay/edge"
	"github.com/sealgate/sealgate/storage"
)

// listeners warns of an administration listener that others reach.
func (c *checker) listeners() {
	network, address := c.config.Admin.Listen.Split()
	host, _, _ := net.SplitHostPort(address)
	addr, err := netip.ParseAddr(host)
	if network == "unix" || host == "localhost" || err == nil && addr.IsLoopback() {
		return
	}
	c.note("admin", "admin.listen "+address+" is not on loopback: whoever reaches it reads metrics and profiles",
		"set admin.listen: 127.0.0.1:9420, or let nobody else into that network")
}

// certificate tries what tls.mode needs.
func (c *checker) certificate() {
	switch c.config.TLS.Mode {
	case "files":
		c.certificateFiles()
	case "acme":
		if err := edge.CheckACME(acmeOptions(c.config, nil, nil)); err != nil {
			c.wrong("certificate", err.Error(), "tls.acme.path is a directory in which the gateway's user writes; tls.acme.ca_file, if set, is PEM")
		}
	}
}

func (c *checker) certificateFiles() {
	t := c.config.TLS
	const about, cure = "certificate", "tls.certificate is the chain in PEM, leaf first, for domain; tls.key is its key, without a passphrase; the gateway's user reads both"
	files, err := edge.NewFiles(edge.FilesOptions{Certificate: t.Certificate, Key: t.Key})
	if err != nil {
		c.wrong(about, err.Error(), cure)
		return
	}
	found, _ := files.Certificate(nil) // it has no error
	end := found.Leaf.NotAfter
	switch err := found.Leaf.VerifyHostname(hostOf(c.config.Domain)); {
	case err != nil:
		c.wrong(about, err.Error(), cure)
	case time.Now().After(end):
		c.wrong(about, "tls.certificate expired on "+end.Format(time.DateOnly), cure)
	case edge.EndsSoon(found.Leaf, time.Now()):
		c.note(about, "tls.certificate is good only until "+end.Format(time.DateOnly), "put a newer pair at tls.certificate and tls.key, which are read again by themselves")
	default:
		c.ok(about, "tls.certificate is good until "+end.Format(time.DateOnly))
	}
}

// policy loads the configured policy as the start does, and runs its tests.
func (c *checker) policy() {
	origin := policyOrigin(c.config.Policy)
	checked := checkPolicy(origin)
	var problems []string
	for _, p := range checked.Problems {
		problems = append(problems, p.Error())
	}
	if !checked.OK {
		c.wrong("policy", strings.Join(problems, "; "), "until it loads the last good one is in force, or policy.preset; correct policy.file, or leave it out")
		return
	}
	for _, text := range checked.Warnings {
		c.note("policy", text, "")
	}
	c.ok("policy", fmt.Sprintf("%s loads: %d rules, %d tests pass", origin.Name, checked.Rules, len(checked.Tests)))
}

// secrets warns of what everybody on this machine can read.
func (c *checker) secrets() {
	for key, path := range c.config.SecretFiles() {
		c.exposed(key, path)
	}
	if c.config.TLS.Mode == "files" {
		c.exposed("tls.key", c.config.TLS.Key)
	}
	c.exposed("keys", actorKey().path(c.config))
	c.exposed("keys", logKey().path(c.config))
	c.exposed("keys", pushKey().path(c.config))
}

func (c *checker) exposed(about, path string) {
	if everybodyReads(path) {
		c.note(about, "everybody on this machine can read "+path, "chmod o= "+path)
	}
}

// everybodyReads tells whether a file and all directories above it let everybody in.
func everybodyReads(path string) bool {
	path, err := filepath.Abs(path)
	for may := fs.FileMode(0o004); err == nil; may = 0o001 {
		var about fs.FileInfo
		if about, err = os.Stat(path); err == nil && about.Mode()&may == 0 {
			return false
		}
		if path == filepath.Dir(path) {
			break
		}
		path = filepath.Dir(path)
	}
	return err == nil
}

// ownKeys reads the keys beside the store that the first start made.
func (c *checker) ownKeys() {
	if _, err := os.Stat(c.config.Storage.Path); errors.Is(err, fs.ErrNotExist) {
		return
	}
	lookAtKey(c, actorKey())
	lookAtKey(c, logKey())
	lookAtKey(c, pushKey())
}

func lookAtKey[K crypto.Signer](c *checker, f keyFile[K]) {
	switch _, err := f.load(c.config); {
	case errors.Is(err, fs.ErrNotExist):
		c.note("keys", f.what+" is not there: "+f.path(c.config), "put it back from your backup; without it the next start makes a new one")
	case err != nil:
		c.wrong("keys", err.Error(), "the gateway's user must be able to read it")
	}
}

func (c *checker) storeServed(ctx context.Context) {
	var state struct{ Checks map[string]string }
	if err := c.ask(ctx, "/readyz", &state); err != nil {
		c.wrong("store", err.Error(), "look into the gateway's log")
		return
	}
	if said, looked := state.Checks["store"]; looked && said != "ok" {
		c.wrong("store", said, "look into the gateway's log")
		return
	}
	c.ok("store", "it can be written")
}

func (c *checker) storeAtRest() {
	path := c.config.Storage.Path
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		c.note("store", "there is none yet at "+path, "the first start makes it")
		if _, err := existingKey(c.config.Storage); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.wrong("store", err.Error(), "")
		}
		return
	}
	var leaving bool
	err := atRest(c.config, func(s *storage.Store) (err error) {
		leaving, err = isLeaving(context.Background(), s)
		return err
	})
	if err != nil {
		c.wrong("store", err.Error(), "")
		return
	}
	c.ok("store", "it opens with storage.encryption_key")
	if leaving {
		c.noteLeaving()
	}
}

func (c *checker) noteLeaving() {
	c.note("leaving", "no messages are taken since sealgate leave", "sealgate leave --undo takes them again")
}

// storeVerified reads all of it, in the running gateway or here.
func (c *checker) storeVerified(ctx context.Context) {
	var said strings.Builder
	if err := operate(ctx, c.config, "check", nil, &said); err != nil {
		c.wrong("store", err.Error(), "")
		return
	}
	c.ok("store", said.String())
}

func verifyStore(ctx context.Context, s *storage.Store, _ url.Values, w io.Writer) error {
	amount, err := s.Verify(ctx)
	if err != nil {
		return withCure(err)
	}
	_, err = fmt.Fprintf(w, "%d rows, %d bytes, every checksum holds\n", amount.Rows, amount.Bytes)
	return err
}

// withCure says what to do with a damaged store.
func withCure(err error) error {
	if errors.Is(err, storage.ErrDamaged) {
		return fmt.Errorf("%w; move it away (storage.path) and restore the last backup", err)
	}
	return err
}
