package main

import (
	"crypto/rsa"
	"net/http"
	"net/netip"
	"time"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/signature"
	"github.com/sealgate/sealgate/relay"
)

// publicBase is what the gateway's own URLs begin with. People's ids are https; only a domain on
// loopback with a port, where plain http is allowed, is http: tests and the demonstration.
func publicBase(config configs.Config) string {
	port, err := netip.ParseAddrPort(config.Domain)
	if err == nil && port.Addr().IsLoopback() && config.Federation.AllowPlainHTTP && config.TLS.Mode == "off" {
		return "http://" + config.Domain
	}
	return "https://" + config.Domain
}

// newClient makes a client for other servers, with what o says beyond the configuration. It closes with the gateway.
func (g *gateway) newClient(o actorkey.ClientOptions) *http.Client {
	f := g.config.Federation
	o.Timeout, o.AllowPlainHTTP, o.AllowNetworks = time.Duration(f.Timeout), f.AllowPlainHTTP, f.AllowNetworks
	o.UserAgent, o.Metrics = "Sealgate/"+version+" (+"+relay.OwnActor(publicBase(g.config))+")", g.metrics
	client := actorkey.NewClient(o)
	g.later(func() error { client.CloseIdleConnections(); return nil })
	return client
}

// signAs gives what signs GETs as the gateway's own actor.
func (g *gateway) signAs(own *rsa.PrivateKey) func(*http.Request) error {
	signer := signature.Signer{KeyID: relay.OwnKeyID(publicBase(g.config)), Key: own}
	return func(r *http.Request) error { return signature.SignHTTP(r, nil, signer, time.Now()) }
}
