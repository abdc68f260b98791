package policy

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/metric"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/policy/signature"
)

// gateMetrics never carry an actor, a domain or an address.
type gateMetrics struct {
	checks  *prometheus.CounterVec // signature_checks_total{result,scheme}
	limited *prometheus.CounterVec // limit_exceeded_total{limit}

	decisions  *prometheus.CounterVec // policy_decisions_total{stage,action,rule,mode}
	failed     *prometheus.CounterVec // policy_evaluation_errors_total{rule}
	unrecorded *prometheus.CounterVec // policy_unrecorded_total{reason}
}

func newGateMetrics(reg prometheus.Registerer) gateMetrics {
	return gateMetrics{
		checks:  metric.Counter(reg, "sealgate_signature_checks_total", "HTTP signatures checked, by result and scheme.", "result", "scheme"),
		limited: metric.Exceeded(reg),
		decisions: metric.Counter(reg, "sealgate_policy_decisions_total",
			"Decisions by stage, action, rule and mode; redeliveries are not counted again.", "stage", "action", "rule", "mode"),
		failed: metric.Counter(reg, "sealgate_policy_evaluation_errors_total",
			"Conditions that could not be evaluated, by rule: they did not match.", "rule"),
		unrecorded: metric.Counter(reg, "sealgate_policy_unrecorded_total",
			"Decisions that are not in the log, by reason: entries, verdicts, full, unwritten.", "reason"),
	}
}

// tellForgotten shows how many keys have given way in the tables of limits: those of the policy together.
func (g *Gate) tellForgotten(reg prometheus.Registerer) {
	for limit, forgotten := range map[string]func() uint64{
		"policy": func() uint64 { return g.policy().Forgotten() }, "failed_signatures": g.failures.Forgotten, "signed_requests": g.signers.Forgotten,
	} {
		metric.Register(reg, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sealgate_limit_forgotten_total", Help: "Senders that a full table of a limit has forgotten while they owed something, by limit.",
			ConstLabels: prometheus.Labels{"limit": limit},
		}, func() float64 { return float64(forgotten()) }))
	}
}

// count counts a verdict and what shadow rules would have done.
func (g *Gate) count(at rules.Stage, v rules.Verdict) {
	g.metrics.decisions.WithLabelValues(string(at), string(v.Action), v.Rule, rules.Enforce).Inc()
	for _, s := range v.Shadow {
		g.metrics.decisions.WithLabelValues(string(at), string(s.Action), s.Rule, rules.ShadowMode).Inc()
	}
	for _, f := range v.Failed {
		g.metrics.failed.WithLabelValues(f.Rule).Inc()
		g.tellFailed(f)
	}
}

// tellFailed logs a condition that failed, of each rule once in an hour so that it is seen, for strangers can make it fail. The
// error can name them: it is for debugging.
func (g *Gate) tellFailed(f rules.Failure) {
	const message = "condition of a rule could not be evaluated: it did not match"
	g.log.Debug(message, "rule", f.Rule, "error", f.Err)
	if g.failing.Take(g.failing.Of(f.Rule), g.clock()) == 0 {
		g.log.Warn(message, "rule", f.Rule)
	}
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
