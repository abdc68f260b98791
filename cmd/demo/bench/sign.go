package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/policy/signature"
)

const messageBytes = 4 << 10

// sign returns n complete HTTP requests to the gateway, each a Create of the sender's
// that carries the same MLS message to one of the people.
func (s *scene) sign(ctx context.Context, message []byte, n int) ([][]byte, error) {
	content := base64.StdEncoding.EncodeToString(message)
	requests := make([][]byte, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for i := range requests {
		group.Go(func() (err error) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			requests[i], err = signOne(ctx, s.sender, s.people[i%len(s.people)], s.host, content)
			return err
		})
	}
	return requests, group.Wait()
}

func signOne(ctx context.Context, from, to *instance.Person, host, content string) ([]byte, error) {
	id := from.Actor + "/activities/" + rand.Text()
	body, err := json.Marshal(map[string]any{
		"@context": "https://www.w3.org/ns/activitystreams",
		"type":     "Create", "id": id, "actor": from.Actor, "to": []string{to.Actor},
		"object": map[string]any{
			"type": []string{"Object", "PrivateMessage"}, "id": id + "/object", "attributedTo": from.Actor,
			"to": []string{to.Actor}, "mediaType": "message/mls", "encoding": "base64", "content": content,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("write an activity: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/inbox", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	r.Header.Set("Content-Type", "application/activity+json")
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", rand8(), rand8())) // a client may have a share of the places only
	if err := signature.SignHTTP(r, body, signature.Signer{KeyID: from.KeyID, Key: from.Key}, time.Now()); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		return nil, fmt.Errorf("write a request: %w", err)
	}
	return wire.Bytes(), nil
}

func rand8() int { return mathrand.IntN(256) }
