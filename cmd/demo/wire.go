package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
)

const (
	activityType = "application/activity+json"
	maxAnswer    = 4 << 20 // bytes
	maxPages     = 100
	deliveryTime = 15 * time.Second // how long a gateway may take to deliver
)

var (
	errStatus = errors.New("unexpected status")
	errTooFew = errors.New("the mailbox does not hold what was delivered")
)

// actor is what the demonstration reads of an actor document.
type actor struct {
	Inbox       string
	KeyPackages string
	Messages    string
}

// activity is what the demonstration reads of a Create.
type activity struct {
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

// object is the ActivityStreams object that carries message, as the draft writes it; a key package is
// for everybody.
func object(kind, to string, message []byte) map[string]any {
	return map[string]any{
		"type": []string{"Object", kind}, "to": []string{to},
		"mediaType": "message/mls", "encoding": "base64", "content": message, // encoding/json does base64
	}
}

// submit posts an object to a person's outbox, as their client: the gateway makes an activity of it,
// keeps it for those who live here, and signs and delivers it to everybody else.
func submit(ctx context.Context, from *instance.Person, token string, o map[string]any) error {
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("write an object: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, from.Actor+"/outbox", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post to the outbox of %s: %w", from.Name, err)
	}
	r.Header.Set("Content-Type", activityType)
	r.Header.Set("Authorization", "Bearer "+token)
	status, text, err := send(r)
	if err != nil {
		return err
	}
	if status != http.StatusCreated {
		return fmt.Errorf("post to the outbox of %s: %w %d: %s", from.Name, errStatus, status, text)
	}
	return nil
}

// awaitMessages reads a mailbox until it holds n messages, oldest first.
func awaitMessages(ctx context.Context, url, token string, n int) ([]activity, error) {
	ctx, cancel := context.WithTimeout(ctx, deliveryTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		kept, err := readMessages(ctx, url, token)
		if err != nil || len(kept) >= n {
			return kept, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %d of %d", errTooFew, len(kept), n)
		}
	}
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
