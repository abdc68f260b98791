package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// terminal returns what writes one line over and over to w, nil when that is no terminal. end takes the line away.
func terminal(w io.Writer) (line func(string), end func()) {
	const wipe = "\r\x1b[K"
	f, ok := w.(*os.File)
	if !ok {
		return nil, func() {}
	}
	if about, err := f.Stat(); err != nil || about.Mode()&os.ModeCharDevice == 0 {
		return nil, func() {}
	}
	line = func(text string) { _, _ = io.WriteString(f, wipe+text) }
	return line, func() { line("") }
}

// checking writes on a terminal for how many seconds that has been done, for it says nothing of how far it has come. end takes the
// line away.
func checking(w io.Writer) (end func()) {
	line, wipe := terminal(w)
	if line == nil {
		return wipe
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-tick.C:
				line(fmt.Sprintf("checking, %d s ", n))
			case <-done:
				wipe()
				return
			}
		}
	}()
	return func() { close(done); <-gone }
}
