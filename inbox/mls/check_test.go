package mls_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

func TestCheckVerifiesEverySuite(t *testing.T) {
	for suite := mls.Suite(1); suite <= 7; suite++ {
		if verdict, err := newDraft(t, suite).check(t); verdict != mls.Verified || err != nil {
			t.Errorf("%s: %q %v", suite, verdict, err)
		}
	}
}

func TestCheckLeavesUnknownSuitesUnverified(t *testing.T) {
	for _, suite := range []mls.Suite{0, 8, 0x0a0a, 0xeaea, 0xf007, 0xffff} {
		d := newDraft(t, suite)
		d.sigKey = bytes.Repeat([]byte{1}, 60_000) // as long as a post-quantum key may get
		if verdict, err := d.check(t); verdict != mls.Unverified || err != nil {
			t.Errorf("%s: %q %v", suite, verdict, err)
		}
		k := parse(t, d.bytes(t)).KeyPackage
		if _, err := k.Ref(); !errors.Is(err, mls.ErrUnknownSuite) {
			t.Errorf("%s: Ref: %v", suite, err)
		}
		d.credential = basic(alice)
		if verdict, err := d.check(t); verdict != "" || !errors.Is(err, mls.ErrIdentity) {
			t.Errorf("%s naming somebody else: %q %v", suite, verdict, err)
		}
	}
}

func TestCheckNamesTheBrokenRule(t *testing.T) {
	flipped := func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
	for name, c := range map[string]struct {
		spoil func(*draft)
		want  error
	}{
		"leaf of an update":               {func(d *draft) { d.source = 2 }, mls.ErrSource},
		"leaf of a commit":                {func(d *draft) { d.source = 3 }, mls.ErrSource},
		"one key for both":                {func(d *draft) { d.encKey = d.initKey }, mls.ErrSameKey},
		"short init key":                  {func(d *draft) { d.initKey = d.initKey[1:] }, mls.ErrKey},
		"empty init key":                  {func(d *draft) { d.initKey = nil }, mls.ErrKey},
		"long encryption key":             {func(d *draft) { d.encKey = append(d.encKey, 0) }, mls.ErrKey},
		"empty signature key":             {func(d *draft) { d.sigKey = nil }, mls.ErrSignatureKey},
		"short signature key":             {func(d *draft) { d.sigKey = d.sigKey[1:] }, mls.ErrSignatureKey},
		"two leaf extensions of a type":   {func(d *draft) { d.leafExtensions = append(extension(0xdada), extension(0xdada, 1)...) }, mls.ErrDuplicateExtension},
		"two extensions of a type":        {func(d *draft) { d.extensions = append(extension(10), extension(10)...) }, mls.ErrDuplicateExtension},
		"leaf extension not listed":       {func(d *draft) { d.leafExtensions = extension(0xeaea) }, mls.ErrCapabilities},
		"extension 6 not listed":          {func(d *draft) { d.leafExtensions = extension(6) }, mls.ErrCapabilities},
		"extension 0 not listed":          {func(d *draft) { d.leafExtensions = extension(0) }, mls.ErrCapabilities},
		"version not listed":              {func(d *draft) { d.versions = nil }, mls.ErrCapabilities},
		"suite not listed":                {func(d *draft) { d.suites = []uint16{0x0a0a} }, mls.ErrCapabilities},
		"credential not listed":           {func(d *draft) { d.credentials = []uint16{2} }, mls.ErrCapabilities},
		"somebody else":                   {func(d *draft) { d.credential = basic(alice) }, mls.ErrIdentity},
		"identity with a suffix":          {func(d *draft) { d.credential = basic(bob + "\x00") }, mls.ErrIdentity},
		"no identity":                     {func(d *draft) { d.credential = basic("") }, mls.ErrIdentity},
		"x509 without chain":              {func(d *draft) { d.credential = x509Chain() }, mls.ErrCertificate},
		"x509 with garbage":               {func(d *draft) { d.credential = x509Chain([]byte("certificate")) }, mls.ErrCertificate},
		"ends before it begins":           {func(d *draft) { d.notAfter = d.notBefore - 1 }, mls.ErrLifetime},
		"300 years":                       {func(d *draft) { d.notAfter = d.notBefore + 300*365*86400 }, mls.ErrLifetime},
		"for ever":                        {func(d *draft) { d.notBefore, d.notAfter = 0, 1<<64-1 }, mls.ErrLifetime},
		"tomorrow":                        {func(d *draft) { d.notBefore += 8 * 86400 }, mls.ErrNotYetValid},
		"yesterday":                       {func(d *draft) { d.notAfter = d.notBefore + 6*86400 }, mls.ErrExpired},
		"leaf signature changed":          {func(d *draft) { d.leafSignature = flipped }, mls.ErrLeafSignature},
		"signature changed":               {func(d *draft) { d.signature = flipped }, mls.ErrPackageSignature},
		"leaf signature empty":            {func(d *draft) { d.leafSignature = func([]byte) []byte { return nil } }, mls.ErrLeafSignature},
		"signature empty":                 {func(d *draft) { d.signature = func([]byte) []byte { return nil } }, mls.ErrPackageSignature},
		"byte after the signature's end":  {func(d *draft) { d.signature = func(b []byte) []byte { return append(b, 0) } }, mls.ErrPackageSignature},
		"byte before the signature's end": {func(d *draft) { d.leafSignature = func(b []byte) []byte { return b[:len(b)-1] } }, mls.ErrLeafSignature},
	} {
		for suite := mls.Suite(1); suite <= 7; suite++ {
			d := newDraft(t, suite)
			c.spoil(d)
			if verdict, err := d.check(t); verdict != "" || !errors.Is(err, c.want) {
				t.Errorf("%s, %s: %q %v, want %v", name, suite, verdict, err, c.want)
			}
		}
	}
}

// Where the curve does not take every string of the right length, a key must be a point of it.
func TestCheckPointsOfTheCurve(t *testing.T) {
	for _, suite := range []mls.Suite{2, 5, 7} {
		for name, spoil := range map[string]func(*draft){
			"init key":       func(d *draft) { d.initKey[9] ^= 1 },
			"encryption key": func(d *draft) { d.encKey[9] ^= 1 },
		} {
			d := newDraft(t, suite)
			spoil(d)
			if _, err := d.check(t); !errors.Is(err, mls.ErrKey) {
				t.Errorf("suite %d, %s off the curve: %v", suite, name, err)
			}
		}
	}
}

// Both ends of a lifetime are inside it, and one may be as long as allowed.
func TestCheckLifetimeBounds(t *testing.T) {
	d := newDraft(t, 1)
	d.notBefore, d.notAfter = uint64(start.Unix()), uint64(start.Unix())+100
	k := parse(t, d.bytes(t)).KeyPackage
	for _, c := range []struct {
		after int64
		most  time.Duration
		want  error
	}{
		{0, 100 * time.Second, nil},
		{100, 100 * time.Second, nil},
		{-1, 100 * time.Second, mls.ErrNotYetValid},
		{101, 100 * time.Second, mls.ErrExpired},
		{50, 99 * time.Second, mls.ErrLifetime},
		{50, 0, mls.ErrLifetime},
		{50, -time.Hour, mls.ErrLifetime},
		{-start.Unix() - 5, 100 * time.Second, mls.ErrNotYetValid}, // before 1970
	} {
		_, err := k.Check(mls.CheckOptions{Identity: bob, Now: start.Add(time.Duration(c.after) * time.Second), MaxLifetime: c.most})
		if !errors.Is(err, c.want) {
			t.Errorf("%d s in, at most %s: %v, want %v", c.after, c.most, err, c.want)
		}
	}
}

// Values nobody knows pass: GREASE in capabilities and extensions, and the default leaf
// extensions, which need no listing.
func TestCheckIgnoresTheUnknown(t *testing.T) {
	d := newDraft(t, 1)
	d.extensionTypes = []uint16{0x0a0a, 0xeaea, 0xeaea}
	d.leafExtensions = append(append(extension(0xeaea, 1, 2), extension(1, 3)...), extension(5)...)
	d.extensions = extension(0x1a1a, 0xff)
	d.credentials = []uint16{0x2a2a, 1}
	if verdict, err := d.check(t); verdict != mls.Verified || err != nil {
		t.Errorf("%q %v", verdict, err)
	}
}

func TestCheckCertificate(t *testing.T) {
	for _, suite := range []mls.Suite{1, 2, 3, 5, 7} {
		d := newDraft(t, suite)
		good := certificate(t, d, bob, start)
		d.credential = x509Chain(good, []byte("an issuer nobody reads"))
		if verdict, err := d.check(t); verdict != mls.Verified || err != nil {
			t.Errorf("%s: %q %v", suite, verdict, err)
		}
		d.credential = x509Chain(certificate(t, d, alice, start))
		if _, err := d.check(t); !errors.Is(err, mls.ErrIdentity) {
			t.Errorf("%s: another's certificate: %v", suite, err)
		}
		d.credential = x509Chain(certificate(t, d, bob, start.AddDate(-3, 0, 0)))
		if _, err := d.check(t); !errors.Is(err, mls.ErrCertificate) {
			t.Errorf("%s: expired certificate: %v", suite, err)
		}
		d.credential = x509Chain(certificate(t, newDraft(t, suite), bob, start))
		if _, err := d.check(t); !errors.Is(err, mls.ErrCertificate) {
			t.Errorf("%s: certificate of another key: %v", suite, err)
		}
	}
}

func certificate(t *testing.T, d *draft, identity string, from time.Time) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "device"},
		NotBefore: from, NotAfter: from.AddDate(1, 0, 0), URIs: []*url.URL{must(url.Parse(identity))(t)},
	}
	return must(x509.CreateCertificate(rand.Reader, template, template, d.signer.Public(), d.signer))(t)
}

func TestLastResort(t *testing.T) {
	component := func(id uint16) []byte { return vec(nil, extension(id)) }
	for name, c := range map[string]struct {
		extensions []byte
		want       bool
	}{
		"none":                      {nil, false},
		"extension":                 {extension(0x000a), true},
		"extension after another":   {append(extension(0x0a0a, 7), extension(0x000a)...), true},
		"extension with data":       {extension(0x000a, 1), false},
		"component":                 {extension(0x0006, component(4)...), true},
		"another component":         {extension(0x0006, component(5)...), false},
		"dictionary that is broken": {extension(0x0006, append(component(4), 0)...), false},
		"empty dictionary":          {extension(0x0006), false},
	} {
		d := newDraft(t, 1)
		d.extensions = c.extensions
		if verdict, err := d.check(t); verdict != mls.Verified || err != nil {
			t.Errorf("%s: %q %v", name, verdict, err)
		}
		if got := parse(t, d.bytes(t)).KeyPackage.LastResort(); got != c.want {
			t.Errorf("%s: last resort %v", name, got)
		}
	}
}
