package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/gateway"
	"github.com/sealgate/sealgate/cmd/demo/instance"
)

// place is one sample instance behind its own gateway.
type place struct {
	*instance.Instance
	gateway *gateway.Process
	keys    string // directory of its people's keys, which its gateway may use
	server  *http.Server
	served  chan error
}

// open starts a place below directory. ids is how its actors are spelled.
func open(ctx context.Context, binary, directory string, ids instance.IDs) (*place, error) {
	public, err := gateway.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	directory = filepath.Join(directory, string(ids))
	keys := filepath.Join(directory, "keys")
	if err := os.MkdirAll(keys, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory for the gateway: %w", err)
	}
	p := &place{Instance: instance.New(instance.Options{Origin: "http://" + public, IDs: ids}), keys: keys}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the sample instance: %w", err)
	}
	p.server = &http.Server{Handler: p.Instance, ReadHeaderTimeout: 10 * time.Second}
	p.served = make(chan error, 1)
	go func() { p.served <- p.server.Serve(l) }()
	p.gateway, err = gateway.Start(ctx, gateway.Options{
		Binary: binary, Directory: directory, Listen: public, Upstream: "http://" + l.Addr().String(), Keys: keys,
	})
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// move lets a person live here, and the gateway sign what they send.
func (p *place) move(name string) (*instance.Person, error) {
	person, err := p.AddPerson(name)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(person.Key)})
	if err := os.WriteFile(filepath.Join(p.keys, name+".pem"), text, 0o600); err != nil {
		return nil, fmt.Errorf("give the gateway the key of %s: %w", name, err)
	}
	return person, nil
}

// close stops the gateway, then the instance behind it.
func (p *place) close() error {
	var err error
	if p.gateway != nil {
		err = p.gateway.Stop()
	}
	err = errors.Join(err, p.server.Close())
	if served := <-p.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
