package main

import (
	"fmt"
	"io"
)

const shown = 88 // characters of a long text

// tale prints a story: numbered steps, and facts below them. That a terminal is
// gone is no reason to stop, so errors of the writer are left alone.
type tale struct {
	out   io.Writer
	count int
}

func newTale(out io.Writer) *tale { return &tale{out: out} }

func (t *tale) step(text string) {
	t.count++
	_, _ = fmt.Fprintf(t.out, "\n%d. %s\n", t.count, text)
}

func (t *tale) factf(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, "   %s\n", fmt.Sprintf(format, args...))
}

// plain prints lines that people copy.
func (t *tale) plain(lines ...string) {
	for _, line := range lines {
		_, _ = fmt.Fprintln(t.out, line)
	}
}

// shorten keeps the beginning of a long text and says how much is missing.
func shorten(text string) string {
	if len(text) <= shown {
		return text
	}
	return fmt.Sprintf("%s… (%d more)", text[:shown], len(text)-shown)
}
