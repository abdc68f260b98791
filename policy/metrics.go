package policy

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/signature"
)

// gateMetrics never carry an actor, a domain or an address.
type gateMetrics struct {
	checks  *prometheus.CounterVec // signature_checks_total{result,scheme}
	limited *prometheus.CounterVec // limit_exceeded_total{limit}
}

func newGateMetrics(reg prometheus.Registerer) gateMetrics {
	return gateMetrics{
		checks: counter(reg, prometheus.CounterOpts{
			Name: "sealgate_signature_checks_total", Help: "HTTP signatures checked, by result and scheme.",
		}, "result", "scheme"),
		limited: counter(reg, prometheus.CounterOpts{
			Name: "sealgate_limit_exceeded_total", Help: "Requests and connections over a limit.",
		}, "limit"),
	}
}

// counter registers a counter, or finds it when another package counts the same.
func counter(reg prometheus.Registerer, o prometheus.CounterOpts, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(o, labels)
	if reg == nil {
		return v
	}
	err := reg.Register(v)
	if err == nil {
		return v
	}
	if are, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if old, ok := are.ExistingCollector.(*prometheus.CounterVec); ok {
			return old
		}
	}
	panic("bug: " + o.Name + " is registered as something else: " + err.Error())
}

// resultOf is the label of an outcome.
func resultOf(err error) string {
	for _, r := range []struct {
		is   error
		name string
	}{
		{ErrBusy, "busy"},
		{ErrKeyUnavailable, "key_unavailable"},
		{actorkey.ErrNoKey, "no_key"},
		{signature.ErrUnsigned, "unsigned"},
		{signature.ErrMalformed, "malformed"},
		{signature.ErrUnsupported, "unsupported"},
		{signature.ErrCoverage, "coverage"},
		{signature.ErrHost, "host"},
		{signature.ErrStale, "stale"},
		{signature.ErrDigest, "digest"},
		{signature.ErrMismatch, "mismatch"},
	} {
		if errors.Is(err, r.is) {
			return r.name
		}
	}
	return "ok"
}

// schemeOf is the label of a request that did not come to a signature.
func schemeOf(r *signature.Request) string {
	switch {
	case r.Get("Signature-Input") != "":
		return signature.RFC9421
	case r.Get("Signature") != "":
		return signature.Cavage
	default:
		return "none"
	}
}
