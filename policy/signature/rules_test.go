package signature_test

import (
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/signature"
)

const keyID = "https://peer.example/users/alice#main-key"

// signed is a request signed at a moment by Sign, to be bent afterwards.
func signed(t testing.TB, scheme string, at time.Time, covered ...string) *signature.Request {
	t.Helper()
	r := request("Content-Type: application/activity+json")
	fields, err := signature.Sign(r, signature.Signer{KeyID: keyID, Key: edKey, Scheme: scheme, Covered: covered}, at)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = append(r.Header, fields...)
	return r
}

// TestLeapSecond: a date in one is a date. It was changed after signing, so that the signature is what does not hold.
func TestLeapSecond(t *testing.T) {
	r := signed(t, signature.Cavage, now)
	for i, f := range r.Header {
		if strings.EqualFold(f.Name, "Date") {
			r.Header[i].Value = now.UTC().Format("Mon, 02 Jan 2006 15:04:60 GMT")
		}
	}
	if err := verdict(r, edKey.Public()); !errors.Is(err, signature.ErrMismatch) {
		t.Error(err)
	}
}

func TestDates(t *testing.T) {
	f := func(scheme string, age time.Duration, want error, covered ...string) {
		t.Helper()
		if err := verdict(signed(t, scheme, now.Add(-age), covered...), edKey.Public()); !errors.Is(err, want) {
			t.Errorf("%s %v old: %v, want %v", scheme, age, err, want)
		}
	}
	created := []string{"(request-target)", "(created)", "host", "digest"}
	for _, scheme := range []string{signature.Cavage, signature.RFC9421} {
		f(scheme, 0, nil)
		f(scheme, 12*time.Hour, nil)
		f(scheme, 12*time.Hour+time.Second, signature.ErrStale)
		f(scheme, -5*time.Minute, nil)
		f(scheme, -5*time.Minute-time.Second, signature.ErrStale)
		f(scheme, 20*365*24*time.Hour, signature.ErrStale)
	}
	f(signature.Cavage, 12*time.Hour, nil, created...)
	f(signature.Cavage, 12*time.Hour+time.Second, signature.ErrStale, created...)
	f(signature.Cavage, -5*time.Minute, nil, created...)
	f(signature.Cavage, -5*time.Minute-time.Second, signature.ErrStale, created...)
}

// The skew is ours and not the library's ten seconds, also by the wall clock.
func TestCreatedAheadOfTheWallClock(t *testing.T) {
	at := time.Now()
	r := signed(t, signature.Cavage, at.Add(4*time.Minute), "(request-target)", "(created)", "host", "digest")
	s, err := signature.Parse(r, signature.Rules{Domain: domain, Now: at})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(edKey.Public()); err != nil {
		t.Fatal(err)
	}
}

func TestCoverage(t *testing.T) {
	f := func(scheme string, want error, covered ...string) {
		t.Helper()
		if err := verdict(signed(t, scheme, now, covered...), edKey.Public()); !errors.Is(err, want) {
			t.Errorf("%s %v: %v, want %v", scheme, covered, err, want)
		}
	}
	f(signature.Cavage, nil, "(request-target)", "host", "date", "digest")
	f(signature.Cavage, signature.ErrCoverage, "date")
	f(signature.Cavage, signature.ErrCoverage, "host", "date", "digest")
	f(signature.Cavage, signature.ErrCoverage, "(request-target)", "date", "digest")
	f(signature.Cavage, signature.ErrCoverage, "(request-target)", "host", "digest")
	f(signature.Cavage, signature.ErrCoverage, "(request-target)", "host", "date")
	f(signature.RFC9421, nil, "@method", "@target-uri", "content-digest")
	f(signature.RFC9421, nil, "@method", "@authority", "@path", "content-digest")
	f(signature.RFC9421, nil, "@method", "@scheme", "@authority", "@path", "@query", "content-digest")
	f(signature.RFC9421, nil, "@method", "host", "@request-target", "content-digest")
	f(signature.RFC9421, signature.ErrCoverage, "@target-uri", "content-digest")
	f(signature.RFC9421, signature.ErrCoverage, "@method", "content-digest")
	f(signature.RFC9421, signature.ErrCoverage, "@method", "@path", "content-digest")
	f(signature.RFC9421, signature.ErrCoverage, "@method", "@authority", "content-digest")
	f(signature.RFC9421, signature.ErrCoverage, "@method", "@target-uri")
	f(signature.RFC9421, signature.ErrCoverage, "@method", "@target-uri", "content-type")
}

func TestAQueryMustBeCovered(t *testing.T) {
	r := target("/users/bob/inbox?a=b")
	s := signature.Signer{KeyID: keyID, Key: edKey, Scheme: signature.RFC9421, Covered: []string{"@method", "@authority", "@path", "content-digest"}}
	fields, err := signature.Sign(r, s, now)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = fields
	if err := verdict(r, edKey.Public()); !errors.Is(err, signature.ErrCoverage) {
		t.Fatalf("%v, want ErrCoverage: the query is not signed", err)
	}
}

func TestASignedGetNeedsNoDigest(t *testing.T) {
	for _, scheme := range []string{signature.Cavage, signature.RFC9421} {
		r := &signature.Request{Method: "GET", Target: "/e2ee/activities/1", Host: domain}
		fields, err := signature.Sign(r, signature.Signer{KeyID: keyID, Key: rsaKey(), Scheme: scheme}, now)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = fields
		mustHold(t, r, rsaKey().Public())
		r.Body = []byte("smuggled")
		if err := verdict(r, rsaKey().Public()); !errors.Is(err, signature.ErrCoverage) {
			t.Errorf("%s: a GET with a body that is not signed: %v", scheme, err)
		}
	}
}

func TestHost(t *testing.T) {
	f := func(host, ours, scheme string, want error) {
		t.Helper()
		r := request()
		r.Host, r.Scheme = host, scheme
		fields, err := signature.Sign(r, signature.Signer{KeyID: keyID, Key: edKey}, now)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = fields
		if _, err := signature.Parse(r, signature.Rules{Domain: ours, Now: now}); !errors.Is(err, want) {
			t.Errorf("%q at %q: %v, want %v", host, ours, err, want)
		}
	}
	f("social.example", "social.example", "https", nil)
	f("Social.Example:443", "social.example", "https", nil)
	f("social.example:80", "social.example", "https", signature.ErrHost)
	f("social.example:80", "social.example", "http", nil)
	f("127.0.0.1:4711", "127.0.0.1:4711", "http", nil)
	f("127.0.0.1:4712", "127.0.0.1:4711", "http", signature.ErrHost)
	f("social.example.evil.example", "social.example", "https", signature.ErrHost)
	f("", "social.example", "https", signature.ErrHost)
}

// resign puts another Digest header in and signs it properly.
func resign(t *testing.T, scheme, header string, values ...string) *signature.Request {
	t.Helper()
	r := request()
	for _, v := range values {
		add(r, header, v)
	}
	fields, err := signature.Sign(r, signature.Signer{KeyID: keyID, Key: edKey, Scheme: scheme}, now)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = append(r.Header, fields...)
	return r
}

func TestDigests(t *testing.T) {
	good, wrong := sha(body), sha("other")
	d512 := sha512.Sum512([]byte(body))
	good512 := base64.StdEncoding.EncodeToString(d512[:])
	legacy := func(want error, values ...string) {
		t.Helper()
		if err := verdict(resign(t, signature.Cavage, "Digest", values...), edKey.Public()); !errors.Is(err, want) {
			t.Errorf("Digest %q: %v, want %v", values, err, want)
		}
	}
	legacy(nil, "SHA-256="+good)
	legacy(nil, "sha-256="+good)
	legacy(nil, "Sha-256=:"+good+":")
	legacy(nil, "sha-512=:"+good512+":")
	legacy(nil, "SHA-256="+strings.TrimRight(good, "="))
	legacy(nil, "MD5=xyz, SHA-256="+good)
	legacy(nil, "SHA-256="+good+",SHA-512="+good512)
	legacy(nil, "SHA-256="+good, "SHA-512="+good512)
	legacy(signature.ErrDigest, "SHA-256="+wrong)
	legacy(signature.ErrDigest, "SHA-256="+good+", SHA-256="+wrong)
	legacy(signature.ErrDigest, "SHA-256="+good+", SHA-512="+wrong)
	legacy(signature.ErrDigest, "SHA-256="+good[:20])
	legacy(signature.ErrDigest, "MD5=xyz")
	legacy(signature.ErrDigest, "sha-256=::")
	legacy(signature.ErrMalformed, "SHA-256=!!")
	legacy(signature.ErrMalformed, "nonsense")
	legacy(signature.ErrMalformed, "")
	rfc := func(want error, values ...string) {
		t.Helper()
		if err := verdict(resign(t, signature.RFC9421, "Content-Digest", values...), edKey.Public()); !errors.Is(err, want) {
			t.Errorf("Content-Digest %q: %v, want %v", values, err, want)
		}
	}
	rfc(nil, "sha-256=:"+good+":")
	rfc(nil, "sha-512=:"+good512+":, sha-256=:"+good+":")
	rfc(nil, "sha-512=:"+good512+":", "sha-256=:"+good+":")
	rfc(nil, "md5=:AAAA:, sha-256=:"+good+":")
	rfc(signature.ErrDigest, "sha-256=:"+wrong+":")
	rfc(signature.ErrDigest, "sha-512=:"+good512+":, sha-256=:"+wrong+":")
	rfc(signature.ErrDigest, "md5=:AAAA:")
	rfc(signature.ErrMalformed, "sha-256="+good)
	rfc(signature.ErrMalformed, "sha-256=1")
	rfc(signature.ErrMalformed, "sha-256=(1 2)")
}

func TestMalformedCavage(t *testing.T) {
	ok := signed(t, signature.Cavage, now)
	text := ok.Get("Signature")
	f := func(want error, header string) {
		t.Helper()
		r := set(signed(t, signature.Cavage, now), "Signature", header)
		if err := verdict(r, edKey.Public()); !errors.Is(err, want) {
			t.Errorf("%.120q: %v, want %v", header, err, want)
		}
	}
	f(nil, text)
	f(nil, text+`,nonce="ignored"`)
	f(nil, text+",")
	f(nil, text+`,created=`+unixIn(0))
	f(signature.ErrStale, text+`,created=`+unixIn(-24*time.Hour))
	f(signature.ErrStale, text+`,expires=`+unixIn(0))
	f(signature.ErrMalformed, "")
	f(signature.ErrMalformed, "garbage")
	f(signature.ErrMalformed, text+`,keyId="https://evil.example/k"`)
	f(signature.ErrMalformed, text+`,created=1e9`)
	f(signature.ErrMalformed, text+`,created=-5`)
	f(signature.ErrMalformed, text+`,created=99999999999999999999`)
	f(signature.ErrMalformed, text+`,x="open`)
	f(signature.ErrMalformed, strings.Replace(text, keyID, "", 1))
	f(signature.ErrMalformed, strings.Replace(text, keyID, strings.Repeat("k", 3000), 1))
	f(signature.ErrMalformed, strings.Replace(text, `signature="`, `signature="!`, 1))
	f(signature.ErrMalformed, strings.Replace(text, `signature="`, `sig="`, 1))
	f(signature.ErrMalformed, strings.Replace(text, "host", "host host", 1))
	f(signature.ErrMalformed, strings.Replace(text, "host", "host x-absent", 1))
	f(signature.ErrMalformed, strings.Replace(text, "host", "host (created)", 1))
	f(signature.ErrMalformed, strings.Replace(text, "host", "host (unknown)", 1))
	f(signature.ErrMalformed, strings.Replace(text, "host", "host signature", 1))
	f(signature.ErrMalformed, strings.Replace(text, "host", `host \"date\"`, 1))
	f(signature.ErrMalformed, text+strings.Repeat(" ", 20000)+`,x=1`)
	f(signature.ErrMalformed, `keyId="k",signature="AAAA",headers="`+strings.Repeat("date ", 60)+`"`)
	f(signature.ErrCoverage, `keyId="k",signature="AAAA"`) // the default is date alone
	twice := add(signed(t, signature.Cavage, now), "Signature", text)
	if err := verdict(twice, edKey.Public()); !errors.Is(err, signature.ErrMalformed) {
		t.Errorf("two Signature headers: %v", err)
	}
	if err := verdict(drop(ok, "Signature"), edKey.Public()); !errors.Is(err, signature.ErrUnsigned) {
		t.Errorf("no signature: %v", err)
	}
	if err := verdict(add(ok, "Authorization", "Bearer abc"), edKey.Public()); !errors.Is(err, signature.ErrUnsigned) {
		t.Errorf("a bearer token is no signature: %v", err)
	}
	dated := set(signed(t, signature.Cavage, now), "Date", "yesterday")
	if err := verdict(dated, edKey.Public()); !errors.Is(err, signature.ErrMalformed) {
		t.Errorf("a date that is none: %v", err)
	}
	absolute := signed(t, signature.Cavage, now)
	absolute.Target = "https://social.example/users/bob/inbox"
	if err := verdict(absolute, edKey.Public()); !errors.Is(err, signature.ErrMalformed) {
		t.Errorf("absolute-form target: %v", err)
	}
}

func TestMalformedMessage(t *testing.T) {
	ok := signed(t, signature.RFC9421, now)
	input := ok.Get("Signature-Input")
	f := func(want error, in string) {
		t.Helper()
		r := set(signed(t, signature.RFC9421, now), "Signature-Input", in)
		if err := verdict(r, edKey.Public()); !errors.Is(err, want) {
			t.Errorf("%.160q: %v, want %v", in, err, want)
		}
	}
	swap := func(from, to string) string { return strings.Replace(input, from, to, 1) }
	f(nil, input)
	f(signature.ErrMismatch, input+`;nonce="n"`) // parameters are signed too
	f(signature.ErrUnsigned, "")
	f(signature.ErrMalformed, "garbage(")
	f(signature.ErrMalformed, "sig1=5")
	f(signature.ErrMalformed, "sig1")
	f(signature.ErrMalformed, swap("sig1=", "sig2="))
	f(signature.ErrMalformed, swap(`;keyid="`+keyID+`"`, ""))
	f(signature.ErrMalformed, swap(`"`+keyID+`"`, "7"))
	f(signature.ErrMalformed, swap("created="+unixIn(0), `created="now"`))
	f(signature.ErrMalformed, swap("created="+unixIn(0), "created=-1"))
	f(signature.ErrCoverage, swap("created="+unixIn(0), "x=1"))
	f(signature.ErrStale, input+";expires="+unixIn(-time.Second))
	f(signature.ErrUnsupported, swap("ed25519", "hmac-sha256"))
	f(signature.ErrUnsupported, swap("ed25519", "none"))
	f(signature.ErrMismatch, swap("ed25519", "rsa-v1_5-sha256"))
	f(signature.ErrUnsupported, swap(`"content-digest"`, `"content-digest";sf`))
	f(signature.ErrUnsupported, swap(`"content-digest"`, `"content-digest";bs`))
	f(signature.ErrUnsupported, swap(`"content-digest"`, `"content-digest" "@query-param";name="a"`))
	f(signature.ErrUnsupported, swap(`"content-digest"`, `"content-digest" "@status"`))
	f(signature.ErrUnsupported, swap(`"content-digest"`, `"content-digest" "@signature-params"`))
	f(signature.ErrMalformed, swap(`"content-digest"`, `"content-digest" "content-digest"`))
	f(signature.ErrMalformed, swap(`"content-digest"`, `"Content-Digest"`))
	f(signature.ErrMalformed, swap(`"content-digest"`, `"content-digest" token`))
	f(signature.ErrMalformed, swap(`"content-digest"`, `"content-digest" "x-absent"`))
	f(signature.ErrMalformed, `sig1=(`+strings.Repeat(`"a" `, 9000)+`)`)
	bad := set(signed(t, signature.RFC9421, now), "Signature", "sig1=?1")
	if err := verdict(bad, edKey.Public()); !errors.Is(err, signature.ErrMalformed) {
		t.Errorf("a value that is no byte sequence: %v", err)
	}
}

func TestSeveralLabels(t *testing.T) {
	r := signed(t, signature.RFC9421, now)
	in, value := r.Get("Signature-Input"), r.Get("Signature")
	// A proxy signed as well, and less than we ask for: the peer's counts.
	set(r, "Signature-Input", `proxy=("@method");created=`+unixIn(0)+`;keyid="p", `+in)
	set(r, "Signature", "proxy=:AAAA:, "+value)
	s := mustHold(t, r, edKey.Public())
	if s.Label != "sig1" || s.KeyID != keyID {
		t.Errorf("took %q by %q", s.Label, s.KeyID)
	}
	// On lines of their own.
	r = signed(t, signature.RFC9421, now)
	r.Header = append([]signature.Field{
		{Name: "Signature-Input", Value: `proxy=("@status");created=1`}, {Name: "Signature", Value: "proxy=:AAAA:"},
	}, r.Header...)
	mustHold(t, r, edKey.Public())
	// Nobody is made to check a hundred.
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf(`s%d=("@method")`, i))
	}
	set(r, "Signature-Input", strings.Join(many, ", "))
	if err := verdict(r, edKey.Public()); !errors.Is(err, signature.ErrMalformed) {
		t.Errorf("a hundred labels: %v", err)
	}
}

func TestRepeatedHeadersAreJoined(t *testing.T) {
	for _, c := range []struct{ scheme, target, digest string }{
		{signature.Cavage, "(request-target)", "digest"}, {signature.RFC9421, "@target-uri", "content-digest"},
	} {
		covered := []string{c.target, "host", "date", c.digest, "x-many"}
		if c.scheme == signature.RFC9421 {
			covered = append(covered, "@method")
		}
		r := request("X-Many:   one ", date(now), "X-Other: 1", "x-many: two\r\n folded")
		fields, err := signature.Sign(r, signature.Signer{KeyID: keyID, Key: edKey, Scheme: c.scheme, Covered: covered}, now)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = append(r.Header, fields...)
		mustHold(t, r, edKey.Public())
		set(r, "X-Many", "one, two folded")
		r.Header[3].Name = "X-Gone"
		mustHold(t, r, edKey.Public()) // the same value on one line
	}
}

func TestVerifyNeverPanicsOnKeys(t *testing.T) {
	for _, scheme := range []string{signature.Cavage, signature.RFC9421} {
		s, err := signature.Parse(signed(t, scheme, now), rules)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range badKeys() {
			if err := s.Verify(key); !errors.Is(err, signature.ErrMismatch) {
				t.Errorf("%s, key %T: %v", scheme, key, err)
			}
		}
	}
}
