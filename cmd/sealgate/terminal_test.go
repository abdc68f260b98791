package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sealgate/sealgate/storage"
)

// newTerminal is a terminal, and what stands on it.
func newTerminal(t *testing.T) (terminal, screen *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return terminal, screen
}

// until reads from the screen up to something.
func until(t *testing.T, screen *os.File, what string) {
	t.Helper()
	var all []byte
	for part := make([]byte, 256); !strings.Contains(string(all), what); {
		n, err := screen.Read(part)
		if err != nil {
			t.Fatalf("%q, then %v; want %q", all, err, what)
		}
		all = append(all, part[:n]...)
	}
}

func TestLongWorkIsShownOnATerminal(t *testing.T) {
	const wiped = "\r\x1b[K"
	terminal, screen := newTerminal(t)
	end := ticking(terminal, "checking")
	until(t, screen, wiped+"checking, 1 s ")
	end()
	until(t, screen, wiped)
	out, end := tickingUntil(terminal, terminal, "deleting")
	until(t, screen, wiped+"deleting, 1 s ")
	fmt.Fprint(out, "7 rows")
	until(t, screen, wiped+"7 rows")
	end()
	told, end := progress(terminal)
	told(storage.Amount{Rows: 7, Bytes: 3 << 20})
	until(t, screen, wiped+"7 rows, 3 MiB ")
	end()
	until(t, screen, wiped)
}

func TestLongWorkIsSilentElsewhere(t *testing.T) {
	var out bytes.Buffer
	ticking(&out, "checking")()
	if told, end := progress(&out); told != nil {
		t.Error("there is somebody to tell")
	} else {
		end()
	}
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ticking(file, "checking")()
	if about, err := file.Stat(); err != nil || about.Size() != 0 || out.Len() != 0 {
		t.Errorf("%d bytes and %q were written, %v", about.Size(), out.String(), err)
	}
}
