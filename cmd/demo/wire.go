package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/policy/signature"
)

const (
	activityType = "application/activity+json"
	maxAnswer    = 4 << 20 // bytes
	maxPages     = 100
)

var errStatus = errors.New("unexpected status")

// actor is what the demonstration reads of an actor document.
type actor struct {
	ID          string
	Inbox       string
	KeyPackages string
	Messages    string
	Endpoints   struct{ SharedInbox string }
}

// activity is what the demonstration reads of a Create.
type activity struct {
	ID     string
	Actor  string
	Object struct {
		Type    []string
		Content []byte // encoding/json undoes base64
	}
}

// collection is an OrderedCollection or one page of it.
type collection struct {
	First        json.RawMessage
	Next         string
	OrderedItems []activity
}

// wrap returns the Create that carries message to recipient, as the draft writes it.
func wrap(from *instance.Person, recipient, kind string, message []byte) ([]byte, error) {
	id := from.Actor + "/activities/" + rand.Text()
	return json.Marshal(map[string]any{
		"@context": []string{"https://www.w3.org/ns/activitystreams", "https://purl.archive.org/socialweb/mls"},
		"type":     "Create",
		"id":       id,
		"actor":    from.Actor,
		"to":       []string{recipient},
		"object": map[string]any{
			"type":         []string{"Object", kind},
			"id":           id + "/object",
			"attributedTo": from.Actor,
			"to":           []string{recipient},
			"mediaType":    "message/mls",
			"encoding":     "base64",
			"content":      base64.StdEncoding.EncodeToString(message),
		},
	})
}

// post signs body as from and delivers it to an inbox, as another server would.
func post(ctx context.Context, from *instance.Person, inbox string, body []byte) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, inbox, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("post to %s: %w", inbox, err)
	}
	r.Header.Set("Content-Type", activityType)
	if err := signature.SignHTTP(r, body, signature.Signer{KeyID: from.KeyID, Key: from.Key}, time.Now()); err != nil {
		return 0, fmt.Errorf("sign as %s: %w", from.Actor, err)
	}
	status, _, err := send(r)
	return status, err
}

// get reads a document as JSON into v; token may be empty.
func get(ctx context.Context, url, token string, v any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("get %s: %w", url, err)
	}
	r.Header.Set("Accept", activityType)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	status, body, err := send(r)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("get %s: %w %d: %s", url, errStatus, status, body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("read %s: %w", url, err)
	}
	return nil
}

func send(r *http.Request) (int, []byte, error) {
	client := http.Client{Timeout: 15 * time.Second}
	answer, err := client.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("ask: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer: %w", err)
	}
	return answer.StatusCode, body, nil
}

// readMessages returns everything in a messages collection, oldest first, by
// following first and next as clients do.
func readMessages(ctx context.Context, url, token string) ([]activity, error) {
	var all []activity
	for range maxPages {
		var page collection
		if err := get(ctx, url, token, &page); err != nil {
			return nil, err
		}
		all = append(all, page.OrderedItems...)
		url = page.Next
		if len(page.First) > 0 && len(page.OrderedItems) == 0 {
			url = reference(page.First)
		}
		if url == "" {
			break
		}
	}
	slices.Reverse(all)
	return all, nil
}

// reference is the id of a node that is written as a string or embedded.
func reference(node json.RawMessage) string {
	var id string
	if json.Unmarshal(node, &id) == nil {
		return id
	}
	var object struct{ ID string }
	if json.Unmarshal(node, &object) != nil {
		return ""
	}
	return strings.TrimSpace(object.ID)
}
