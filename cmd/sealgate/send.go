package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
	"github.com/sealgate/sealgate/policy/signature"
	"github.com/sealgate/sealgate/relay"
)

// maxDocument bounds what send reads of an answer, in bytes.
const maxDocument = 1 << 20

// recipient is what a sender needs of an actor document.
type recipient struct {
	ID       string `json:"id"`
	Inbox    string `json:"inbox"`
	Messages string `json:"messages"`
}

// send does what a peer does: finds name by WebFinger, fetches the actor document, and posts an MLS
// message to its inbox, all through the public front, signed by the gateway's own actor. The
// message belongs to no group, so that clients pass it over.
func (c *checker) send(ctx context.Context, name string) {
	to, err := c.findRecipient(ctx, name)
	if err != nil {
		c.wrong("actor", err.Error(), "the name is that of a person here; "+c.base+" (domain) has to lead through the proxy in front to the gateway, and the instance has to run")
		return
	}
	if to.Messages == "" {
		c.wrong("actor", to.ID+" has no messages: the gateway did not see the request",
			"in the proxy in front, send everything to the gateway (listen) instead of the instance; if it does so only since a moment ago, "+
				"its cache may have what the instance said before: try again when that has expired (Mastodon allows three minutes)")
		return
	}
	c.ok("actor", to.ID+" offers "+to.Messages)
	id, err := c.deliver(ctx, to)
	if err != nil {
		c.wrong("delivery", err.Error(), "if that does not say why, look into the gateway's log")
		return
	}
	c.ok("delivery", "accepted at "+to.Inbox)
	var answer struct {
		Has   bool
		Error string
	}
	path := "/mailbox/" + url.PathEscape(name) + "/has?id=" + url.QueryEscape(id)
	switch err := c.ask(ctx, path, &answer); {
	case err != nil:
		c.wrong("mailbox", err.Error(), "run this command on the gateway's machine, as its user (admin.socket)")
	case answer.Error != "":
		c.wrong("mailbox", answer.Error, "look into the gateway's log")
	case !answer.Has:
		c.wrong("mailbox", "the message was accepted and is not in the mailbox of "+name, "look into the gateway's log")
	default:
		c.ok("mailbox", name+" has the test message; clients pass over it, and it expires by itself")
	}
}

func (c *checker) findRecipient(ctx context.Context, name string) (recipient, error) {
	var to recipient
	var finger struct {
		Links []struct{ Rel, Type, Href string }
	}
	account := url.QueryEscape("acct:" + name + "@" + c.config.Domain)
	if err := c.fetch(ctx, c.base+"/.well-known/webfinger?resource="+account, "application/jrd+json", &finger); err != nil {
		return to, err
	}
	for _, l := range finger.Links {
		if l.Rel == "self" {
			err := c.fetch(ctx, l.Href, "application/activity+json", &to)
			return to, err
		}
	}
	return to, fmt.Errorf("WebFinger for %s names no actor", name)
}

// fetch gets a JSON document as a peer would: signed, for instances in authorized-fetch mode.
func (c *checker) fetch(ctx context.Context, address, kind string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", kind)
	body, err := c.exchange(req, nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s is not JSON: %w", address, err)
	}
	return nil
}

// deliver posts a test message and returns its activity id.
func (c *checker) deliver(ctx context.Context, to recipient) (string, error) {
	id := c.base + "/e2ee/activities/" + rand.Text()
	body, err := testActivity(id, relay.OwnActor(c.base), to.ID)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.Inbox, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/activity+json")
	_, err = c.exchange(req, body)
	return id, err
}

// exchange signs req, sends it and returns the body of a 2xx answer.
func (c *checker) exchange(req *http.Request, body []byte) ([]byte, error) {
	key, err := actorKey().load(c.config)
	if err != nil {
		return nil, fmt.Errorf("%w; start the gateway once, and run this command as its user", err)
	}
	signer := signature.Signer{KeyID: relay.OwnKeyID(c.base), Key: key}
	if err := signature.SignHTTP(req, body, signer, time.Now()); err != nil {
		return nil, err
	}
	resp, err := c.public.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", req.URL, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s answers %d: %s", req.Method, req.URL, resp.StatusCode, said(answer))
	}
	return answer, nil
}

// said is the sentence of a problem (RFC 9457), or the beginning of whatever else somebody answered.
func said(answer []byte) string {
	var problem struct{ Detail string }
	if json.Unmarshal(answer, &problem) == nil && problem.Detail != "" {
		return problem.Detail
	}
	return fmt.Sprintf("%.200q", answer)
}

// testActivity is a Create of a PrivateMessage for a group that does not exist.
func testActivity(id, from, to string) ([]byte, error) {
	noise := make([]byte, 64)
	if _, err := rand.Read(noise); err != nil {
		return nil, err
	}
	m := mls.Message{
		Framed: true, WireFormat: mls.FormatPrivateMessage,
		Private: &mls.PrivateMessage{
			GroupID: []byte("sealgate check"), ContentType: mls.ContentApplication,
			EncryptedSenderData: noise[:32], Ciphertext: noise[32:],
		},
	}
	return json.Marshal(map[string]any{
		"@context": "https://www.w3.org/ns/activitystreams",
		"id":       id, "type": "Create", "actor": from, "to": []string{to},
		"object": map[string]any{
			"type": "PrivateMessage", "attributedTo": from, "to": []string{to},
			"mediaType": "message/mls", "encoding": "base64",
			"content": base64.StdEncoding.EncodeToString(m.AppendTo(nil)),
		},
	})
}
