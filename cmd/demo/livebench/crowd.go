package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// crowd is an instance on which everybody called p0, p1 and so on has an account. The token of p7 is
// "of-p7".
type crowd struct{ host string }

func (c crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/api/v1/accounts/verify_credentials":
		c.account(w, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer of-"))
	case "/api/v1/accounts/lookup":
		c.account(w, r.URL.Query().Get("acct"))
	case "/oauth/token/info":
		_, _ = fmt.Fprint(w, `{"scope":["read","write"]}`)
	default:
		_, _ = fmt.Fprint(w, `{}`)
	}
}

func (c crowd) account(w http.ResponseWriter, name string) {
	if !strings.HasPrefix(name, "p") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = fmt.Fprintf(w, `{"id":%q,"username":%q,"acct":%q,"uri":"http://%s/users/%s"}`, "1"+name[1:], name, name, c.host, name)
}

func (s *scene) serve(ctx context.Context, h http.Handler, address string) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("listen for an instance: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(l) }() // ends with close
	return l.Addr().String(), nil
}
