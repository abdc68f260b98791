package edge

import (
	"context"
	"log/slog"
	"slices"

	"go.uber.org/zap/zapcore"
)

// bridge passes on what certmagic logs. Its informational messages are details here; of its fields only
// those pass that are known to carry no token, key or client address.
type bridge struct {
	log   *slog.Logger
	attrs []slog.Attr
}

// told are the fields that pass.
var told = []string{
	"error", "identifier", "identifiers", "subjects", "domain", "issuer", "ca", "challenge", "challenge_type",
	"attempt", "retrying_in", "elapsed", "remaining", "not_after", "expiration", "renewal", "problem",
}

// Enabled reports whether l would be written.
func (b bridge) Enabled(l zapcore.Level) bool {
	return b.log.Enabled(context.Background(), levelOf(l))
}

func levelOf(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

// With adds fields to everything logged.
func (b bridge) With(fields []zapcore.Field) zapcore.Core {
	return bridge{b.log, append(slices.Clip(b.attrs), attrsOf(fields)...)}
}

// Check adds b to those that write e.
func (b bridge) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return c.AddCore(e, b)
	}
	return c
}

// Write logs e. What is said of a client is a detail: strangers could fill the log with it.
func (b bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := levelOf(e.Level)
	if slices.ContainsFunc(fields, func(f zapcore.Field) bool { return f.Key == "remote_addr" }) {
		level = slog.LevelDebug
	}
	attrs := append([]slog.Attr{slog.String("event", e.Message)}, b.attrs...)
	b.log.LogAttrs(context.Background(), level, "certificate manager", append(attrs, attrsOf(fields)...)...)
	return nil
}

// Sync has nothing to do.
func (b bridge) Sync() error { return nil }

func attrsOf(fields []zapcore.Field) []slog.Attr {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		if slices.Contains(told, f.Key) {
			f.AddTo(m)
		}
	}
	var attrs []slog.Attr
	for _, key := range told {
		if v, ok := m.Fields[key]; ok {
			attrs = append(attrs, slog.Any(key, v))
		}
	}
	return attrs
}
