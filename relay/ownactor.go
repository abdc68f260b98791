package relay

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"

	"github.com/valyala/fasthttp"
)

// ownKeyFragment is how the key in the gateway's own actor document is named.
const ownKeyFragment = "#main-key"

// OwnActor is the id of the actor that signs the gateway's own fetches, and
// OwnKeyID of its key, for a base such as https://social.example.
func OwnActor(base string) string { return base + "/e2ee/actor" }

// OwnKeyID is the keyId in the signatures of the gateway's own fetches.
func OwnKeyID(base string) string { return OwnActor(base) + ownKeyFragment }

// ownName is the actor's name in WebFinger. A dot after "sealgate" and the
// domain behind it: no local person can have it.
func (r *Relay) ownName() string { return "sealgate." + r.domain }

type publicKey struct {
	ID    string `json:"id"`
	Owner string `json:"owner"`
	PEM   string `json:"publicKeyPem"`
}

// describeOwnActor writes the Application actor that peers fetch to verify the
// gateway's signed fetches. Its inbox is the instance's shared one: nothing is
// ever addressed to it.
func (r *Relay) describeOwnActor(key *rsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	return jsonOf(struct {
		Context   []string  `json:"@context"`
		ID        string    `json:"id"`
		Type      string    `json:"type"`
		Name      string    `json:"name"`
		Username  string    `json:"preferredUsername"`
		Summary   string    `json:"summary"`
		Inbox     string    `json:"inbox"`
		Outbox    string    `json:"outbox"`
		Approves  bool      `json:"manuallyApprovesFollowers"`
		PublicKey publicKey `json:"publicKey"`
	}{
		Context: []string{"https://www.w3.org/ns/activitystreams", "https://w3id.org/security/v1"},
		ID:      OwnActor(r.base), Type: "Application", Name: "Sealgate", Username: r.ownName(),
		Summary: "Fetches keys for end-to-end encrypted messages. It reads and posts nothing.",
		Inbox:   r.base + "/inbox", Outbox: r.base + "/actor/outbox", Approves: true,
		PublicKey: publicKey{
			ID: OwnKeyID(r.base), Owner: OwnActor(r.base),
			PEM: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		},
	}), nil
}

func (r *Relay) serveOwnActor(ctx *fasthttp.RequestCtx) {
	if r.ownActor == nil {
		r.refuse(ctx, problem{Status: fasthttp.StatusNotFound, Detail: "This gateway signs no fetches."})
		return
	}
	writeActivity(ctx, "public, max-age=180", r.ownActor)
	tellSeen(ctx)
}

// webFinger answers for the gateway's own actor and passes everything else on.
func (r *Relay) webFinger(ctx *fasthttp.RequestCtx) {
	resource := bytes.ToLower(ctx.QueryArgs().Peek("resource"))
	isOurs := string(resource) == "acct:"+r.ownName()+"@"+r.domain || string(resource) == OwnActor(r.base)
	if r.ownActor == nil || !isOurs {
		r.web.Pass(ctx)
		return
	}
	type link struct {
		Rel  string `json:"rel"`
		Type string `json:"type"`
		Href string `json:"href"`
	}
	body := jsonOf(struct {
		Subject string   `json:"subject"`
		Aliases []string `json:"aliases"`
		Links   []link   `json:"links"`
	}{
		Subject: "acct:" + r.ownName() + "@" + r.domain,
		Aliases: []string{OwnActor(r.base)},
		Links:   []link{{"self", activityJSON, OwnActor(r.base)}},
	})
	allowOrigin(ctx)
	write(ctx, reply{status: fasthttp.StatusOK, kind: "application/jrd+json", cache: "public, max-age=180", body: body})
}
