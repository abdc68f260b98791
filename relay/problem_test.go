package relay

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/inbox/mls"
	"github.com/sealgate/sealgate/policy"
)

// TestAnErrorWithoutACause: some have a method for it and none to give.
func TestAnErrorWithoutACause(t *testing.T) {
	nowhere := &url.Error{Op: "Get", URL: "https://far.example/", Err: &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "far.example"}}}
	for sentinel, status := range map[error]int{policy.ErrKeyUnavailable: 503, errOutside: 502, errAddress: 400} {
		if p := describe(fmt.Errorf("%w: %w", sentinel, nowhere)); p.Status != status {
			t.Errorf("%v: %+v", sentinel, p)
		}
	}
}

// TestLimitsOfActors: not every limit counts addresses.
func TestLimitsOfActors(t *testing.T) {
	p := describe(&policy.LimitError{Key: "limits.signed_requests"})
	if p.Status != 429 || p.Detail != "Too much of this in a short time (limits.signed_requests): try again later." {
		t.Errorf("%+v", p)
	}
}

// TestProblemsNameNoPackage: what people are told is what is wrong, and not in which package of ours.
func TestProblemsNameNoPackage(t *testing.T) {
	names := regexp.MustCompile(`(?:: |\()(activity|actorkey|inbox|intake|mastodon|mls|outbox|policy|push|relay|signature): `)
	explained := 0
	for _, a := range answers {
		detail := describe(fmt.Errorf("look at it: %w: number %d", a.err, 7)).Detail
		if name := names.FindString(detail); name != "" {
			t.Errorf("%q names %q", detail, name)
		}
		if a.explain {
			explained++
		}
		if a.explain != (strings.HasPrefix(detail, a.detail+" (look at it: ") && strings.HasSuffix(detail, ": number 7)")) {
			t.Errorf("%q explains %v", detail, a.err)
		}
	}
	if explained < 10 {
		t.Errorf("only %d answers are explained", explained)
	}
	err := fmt.Errorf("%w: %w: it ended %d s ago", errKeyRule, mls.ErrExpired, 5)
	if got, want := describe(err).Detail, "The key package breaks a rule. (lifetime is over: it ended 5 s ago)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !strings.HasPrefix(err.Error(), "relay: ") {
		t.Errorf("the log is told less: %q", err)
	}
}
