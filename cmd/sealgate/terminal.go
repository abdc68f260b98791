package main

import (
	"fmt"
	"io"
	"os"
	"sync"
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

// ticking writes on a terminal for how many seconds something has been done that does not say how far it has come. end takes the
// line away.
func ticking(w io.Writer, doing string) (end func()) {
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
				line(fmt.Sprintf("%s, %d s ", doing, n))
			case <-done:
				wipe()
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(done); <-gone })
}

// tickingUntil is ticking on stderr while stdout is written, whose first words on a terminal end it.
func tickingUntil(stdout, stderr io.Writer, doing string) (out io.Writer, end func()) {
	end = ticking(stderr, doing)
	if line, _ := terminal(stdout); line != nil {
		return afterwards{stdout, end}, end
	}
	return stdout, end
}

// afterwards is a writer before whose words something ends.
type afterwards struct {
	io.Writer
	end func()
}

func (a afterwards) Write(p []byte) (int, error) {
	a.end()
	return a.Writer.Write(p)
}
