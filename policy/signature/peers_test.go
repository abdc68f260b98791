package signature_test

import (
	"crypto"
	"errors"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/policy/signature"
)

// Every row of the table in interop.md, written out as the peer sends it: the
// signed text is spelled here, not built by the code under test.
func TestPeers(t *testing.T) {
	type peer struct {
		name   string
		lines  []string
		text   string // what is signed
		header string // the signature header, SIG standing for the signature
		input  string // Signature-Input, for RFC 9421
		key    crypto.Signer
		keyID  string
		target string
	}
	const inbox = "/users/bob/inbox"
	d, digest, cd := date(now), "Digest: SHA-256="+sha(body), "Content-Digest: sha-256=:"+sha(body)+":"
	low := func(l string) string {
		n, v, _ := strings.Cut(l, ": ")
		return strings.ToLower(n) + ": " + v
	}
	quoted := func(l string) string {
		n, v, _ := strings.Cut(l, ": ")
		return `"` + strings.ToLower(n) + `": ` + v
	}
	ct := "Content-Type: application/activity+json"
	created := unixIn(0)
	rt := "(request-target): post " + inbox
	uri := `"@target-uri": https://social.example` + inbox
	mastodon9421 := `("@method" "@target-uri" "content-digest");created=` + created + `;keyid="https://peer.example/actor#main-key"`
	mastodon47 := `("@method" "@target-uri" "content-digest");created=` + created + `;keyid="https://peer.example/users/alice#rsa-7d3f"`
	ed47 := `("@method" "@target-uri" "content-digest");created=` + created + `;keyid="https://peer.example/users/alice#ed25519-key"`
	fedify := `("@method" "@target-uri" "@authority" "host" "date" "content-digest");alg="rsa-v1_5-sha256";keyid="https://peer.example/users/alice#main-key";created=` + created
	bot := `("@method" "@target-uri" "date" "user-agent" "content-type" "content-digest");keyid="https://peer.example/user/ok/publickey";alg="rsa-v1_5-sha256";created=` + created
	bonfire := `("@method" "@target-uri" "content-digest");created=` + created + `;keyid="https://peer.example/pub/actors/alice#main-key";alg="rsa-v1_5-sha256"`
	peers := []peer{
		{
			name:   "Mastodon 4.5 and 4.6",
			lines:  []string{d, digest, ct},
			text:   strings.Join([]string{"host: social.example", low(d), low(digest), low(ct), rt}, "\n"),
			header: `keyId="https://peer.example/users/alice#main-key",algorithm="rsa-sha256",headers="host date digest content-type (request-target)",signature="SIG"`,
			keyID:  "https://peer.example/users/alice#main-key",
		},
		{
			name:  "Mastodon 4.5 accepts, so may send: RFC 9421 without alg",
			lines: []string{d, ct, cd},
			text:  strings.Join([]string{`"@method": POST`, uri, quoted(cd), `"@signature-params": ` + mastodon9421}, "\n"),
			input: "sig1=" + mastodon9421, header: "sig1=:SIG:", keyID: "https://peer.example/actor#main-key",
		},
		{
			name:   "Mastodon 4.7, first knock: cavage with a key named #rsa-…",
			lines:  []string{d, digest, ct},
			text:   strings.Join([]string{"host: social.example", low(d), low(digest), low(ct), rt}, "\n"),
			header: `keyId="https://peer.example/users/alice#rsa-7d3f",algorithm="rsa-sha256",headers="host date digest content-type (request-target)",signature="SIG"`,
			keyID:  "https://peer.example/users/alice#rsa-7d3f",
		},
		{
			name:  "Mastodon 4.7, second knock: RFC 9421",
			lines: []string{d, ct, cd},
			text:  strings.Join([]string{`"@method": POST`, uri, quoted(cd), `"@signature-params": ` + mastodon47}, "\n"),
			input: "sig1=" + mastodon47, header: "sig1=:SIG:", keyID: "https://peer.example/users/alice#rsa-7d3f",
		},
		{
			name:  "Mastodon 4.7 with an Ed25519 key",
			lines: []string{d, ct, cd},
			text:  strings.Join([]string{`"@method": POST`, uri, quoted(cd), `"@signature-params": ` + ed47}, "\n"),
			input: "sig1=" + ed47, header: "sig1=:SIG:", keyID: "https://peer.example/users/alice#ed25519-key", key: edKey,
		},
		{
			name:   "Emissary: the key id is the actor, no fragment",
			lines:  []string{d, digest},
			text:   strings.Join([]string{rt, "host: social.example", low(d), low(digest)}, "\n"),
			header: `keyId="https://peer.example/@alice",algorithm="rsa-sha256",headers="(request-target) host date digest",signature="SIG"`,
			keyID:  "https://peer.example/@alice",
		},
		{
			name:   "Bonfire, cavage: RFC 9530 value in the legacy Digest",
			lines:  []string{d, "digest: sha-256=:" + sha(body) + ":", "content-length: 54"},
			text:   strings.Join([]string{rt, "content-length: 54", low(d), "digest: sha-256=:" + sha(body) + ":", "host: social.example"}, "\n"),
			header: `keyId="https://peer.example/pub/actors/alice#main-key",algorithm="rsa-sha256",headers="(request-target) content-length date digest host",signature="SIG"`,
			keyID:  "https://peer.example/pub/actors/alice#main-key",
		},
		{
			name:  "Bonfire, RFC 9421",
			lines: []string{d, cd},
			text:  strings.Join([]string{`"@method": POST`, uri, quoted(cd), `"@signature-params": ` + bonfire}, "\n"),
			input: "sig=" + bonfire, header: "sig=:SIG:", keyID: "https://peer.example/pub/actors/alice#main-key",
		},
		{
			name:  "Fedify, first knock: RFC 9421",
			lines: []string{d, cd, "Host: social.example"},
			text: strings.Join([]string{
				`"@method": POST`, uri, `"@authority": social.example`,
				`"host": social.example`, quoted(d), quoted(cd), `"@signature-params": ` + fedify,
			}, "\n"),
			input: "sig1=" + fedify, header: "sig1=:SIG:", keyID: "https://peer.example/users/alice#main-key",
		},
		{
			name:   "Fedify, second knock: cavage",
			lines:  []string{d, digest, ct},
			text:   strings.Join([]string{rt, low(ct), low(d), low(digest), "host: social.example"}, "\n"),
			header: `keyId="https://peer.example/users/alice#main-key",headers="(request-target) content-type date digest host",signature="SIG"`,
			keyID:  "https://peer.example/users/alice#main-key",
		},
		{
			name:  "activitypub-bot, first knock: RFC 9421, key document of its own",
			lines: []string{d, "User-Agent: bot/1", ct, cd},
			text: strings.Join([]string{
				`"@method": POST`, uri, quoted(d), `"user-agent": bot/1`, quoted(ct), quoted(cd),
				`"@signature-params": ` + bot,
			}, "\n"),
			input: "sig1=" + bot, header: "sig1=:SIG:", keyID: "https://peer.example/user/ok/publickey",
		},
		{
			name:   "activitypub-bot, second knock: cavage, parameters in another order",
			lines:  []string{d, "User-Agent: bot/1", ct, "Digest: sha-256=" + sha(body)},
			text:   strings.Join([]string{rt, "host: social.example", low(d), "user-agent: bot/1", low(ct), "digest: sha-256=" + sha(body)}, "\n"),
			header: `keyId="https://peer.example/user/ok/publickey",headers="(request-target) host date user-agent content-type digest",signature="SIG",algorithm="rsa-sha256"`,
			keyID:  "https://peer.example/user/ok/publickey",
		},
		{
			name:   "GoToSocial: hs2019, main-key without fragment",
			lines:  []string{d, digest},
			text:   strings.Join([]string{rt, "host: social.example", low(d), low(digest)}, "\n"),
			header: `keyId="https://peer.example/users/alice/main-key",algorithm="hs2019",headers="(request-target) host date digest",signature="SIG"`,
			keyID:  "https://peer.example/users/alice/main-key",
		},
		{
			name:   "snac",
			lines:  []string{d, digest},
			text:   strings.Join([]string{rt, "host: social.example", low(digest), low(d)}, "\n"),
			header: `keyId="https://peer.example/alice#main-key",algorithm="rsa-sha256",headers="(request-target) host digest date",signature="SIG"`,
			keyID:  "https://peer.example/alice#main-key",
		},
		{
			name:   "spaces after commas, quoted algorithm in lower case, a comma in the key id",
			lines:  []string{d, digest},
			text:   strings.Join([]string{rt, "host: social.example", low(d), low(digest)}, "\n"),
			header: `keyId = "https://peer.example/a,b#main-key" , algorithm="RSA-SHA256",  headers="(request-target)  Host date digest", signature="SIG"`,
			keyID:  "https://peer.example/a,b#main-key",
		},
		{
			name:   "the query is signed",
			target: inbox + "?x=%2F",
			lines:  []string{d, digest},
			text:   strings.Join([]string{rt + "?x=%2F", "host: social.example", low(d), low(digest)}, "\n"),
			header: `keyId="https://peer.example/k",headers="(request-target) host date digest",signature="SIG"`,
			keyID:  "https://peer.example/k",
		},
		{
			name:   "the query is not signed",
			target: inbox + "?x=%2F",
			lines:  []string{d, digest},
			text:   strings.Join([]string{rt, "host: social.example", low(d), low(digest)}, "\n"),
			header: `keyId="https://peer.example/k",headers="(request-target) host date digest",signature="SIG"`,
			keyID:  "https://peer.example/k",
		},
		{
			name:   "the raw path is signed, not the decoded one",
			target: "/users/b%6Fb/inbox",
			lines:  []string{d, digest},
			text:   strings.Join([]string{"(request-target): post /users/b%6Fb/inbox", "host: social.example", low(d), low(digest)}, "\n"),
			header: `keyId="https://peer.example/k",headers="(request-target) host date digest",signature="SIG"`,
			keyID:  "https://peer.example/k",
		},
		{
			name:   "(created) and (expires) instead of a date, hs2019",
			lines:  []string{digest},
			text:   strings.Join([]string{rt, "(created): " + unixIn(0), "(expires): " + unixIn(1e9), "host: social.example", low(digest)}, "\n"),
			header: `keyId="https://peer.example/k",algorithm="hs2019",created=` + unixIn(0) + `,expires=` + unixIn(1e9) + `,headers="(request-target) (created) (expires) host digest",signature="SIG"`,
			keyID:  "https://peer.example/k",
		},
		{
			name:   "a lying algorithm",
			lines:  []string{d, digest},
			text:   strings.Join([]string{rt, "host: social.example", low(d), low(digest)}, "\n"),
			header: `keyId="https://peer.example/k",algorithm="hmac-sha1",headers="(request-target) host date digest",signature="SIG"`,
			keyID:  "https://peer.example/k",
		},
		{
			name:   "cavage with Ed25519",
			lines:  []string{d, digest},
			text:   strings.Join([]string{rt, "host: social.example", low(d), low(digest)}, "\n"),
			header: `keyId="https://peer.example/k",algorithm="rsa-sha256",headers="(request-target) host date digest",signature="SIG"`,
			keyID:  "https://peer.example/k", key: edKey,
		},
		{
			name:   "cavage with ECDSA",
			lines:  []string{d, digest},
			text:   strings.Join([]string{rt, "host: social.example", low(d), low(digest)}, "\n"),
			header: `keyId="https://peer.example/k",headers="(request-target) host date digest",signature="SIG"`,
			keyID:  "https://peer.example/k", key: ecKey(),
		},
		{
			name:   "in the Authorization header",
			lines:  []string{d, digest},
			text:   strings.Join([]string{rt, "host: social.example", low(d), low(digest)}, "\n"),
			header: `Authorization: Signature keyId="https://peer.example/k",headers="(request-target) host date digest",signature="SIG"`,
			keyID:  "https://peer.example/k",
		},
	}
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			key := p.key
			if key == nil {
				key = rsaKey()
			}
			build := func() *signature.Request {
				r := target(inbox, p.lines...)
				if p.target != "" {
					r.Target = p.target
				}
				name, header := "Signature", p.header
				if n, v, ok := strings.Cut(header, ": "); ok {
					name, header = n, v
				}
				if p.input != "" {
					add(r, "Signature-Input", p.input)
				}
				return add(r, name, strings.Replace(header, "SIG", sign(t, key, p.text), 1))
			}
			s := mustHold(t, build(), key.Public())
			if s.KeyID != p.keyID {
				t.Errorf("key id %q, want %q", s.KeyID, p.keyID)
			}
			want := signature.Cavage
			if p.input != "" {
				want = signature.RFC9421
			}
			if s.Scheme != want {
				t.Errorf("scheme %q, want %q", s.Scheme, want)
			}
			mustNotSurviveTampering(t, build, key.Public())
		})
	}
}

// mustNotSurviveTampering changes one thing after another.
func mustNotSurviveTampering(t *testing.T, build func() *signature.Request, key crypto.PublicKey) {
	t.Helper()
	tamper := map[string]func(*signature.Request){
		"body":   func(r *signature.Request) { r.Body = append([]byte(" "), r.Body...) },
		"method": func(r *signature.Request) { r.Method = "PUT" },
		"path":   func(r *signature.Request) { r.Target = strings.Replace(r.Target, "/users/b", "/users/c", 1) },
		"host":   func(r *signature.Request) { r.Host = "other.example" },
	}
	for what, change := range tamper {
		r := build()
		change(r)
		if err := verdict(r, key); err == nil {
			t.Errorf("still holds with another %s", what)
		}
	}
	r := build()
	r.Header = append(r.Header, r.Header...)
	if err := verdict(r, key); err == nil {
		t.Error("still holds with every header twice")
	}
	if err := verdict(build(), edKey.Public()); key != nil && !errors.Is(err, signature.ErrMismatch) {
		if k, ok := key.(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(edKey.Public()) {
			t.Errorf("another key: %v, want ErrMismatch", err)
		}
	}
}

func verdict(r *signature.Request, key crypto.PublicKey) error {
	s, err := signature.Parse(r, rules)
	if err != nil {
		return err
	}
	return s.Verify(key)
}
