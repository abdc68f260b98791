package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU time in /proc, 1/100 s on every Linux Go runs on.
const clockTick = 10 * time.Millisecond

var (
	errWrk = errors.New("wrk's answer cannot be used")
	lines  = regexp.MustCompile(`(?m)^\s*(50%|99%|Requests/sec:|\d+ requests in)\s*([\d.]*)(us|ms|s|m)?`)
)

// load is a kind of request.
type load struct {
	name string
	path string
	body string // empty: GET
	kind string // of the body
}

// loads are what the fronts are compared by.
func loads() []load {
	text := strings.Repeat("a", 10<<10)
	note := `{"@context":"https://www.w3.org/ns/activitystreams","id":"https://a.example/1","type":"Create",` +
		`"actor":"https://a.example/u","object":{"type":"Note","content":"` + text[:10000] + `"}}`
	return []load{
		{name: "GET 1 KiB", path: "/1k"},
		{name: "GET 100 KiB", path: "/100k"},
		{name: "POST 10 KiB", path: "/post", body: text, kind: "text/plain"},
		{name: "POST 10 KiB note to an inbox", path: "/inbox", body: note, kind: "application/activity+json"},
	}
}

// reading is one run of one load against one front.
type reading struct {
	perSecond, cpuMicros, rssMiB float64
	p50, p99                     time.Duration
}

// measure is wrk, once more if the first run cannot be used: on a busy machine a request may time out.
func (o options) measure(ctx context.Context, f front, l load, directory string) (reading, error) {
	s, err := o.wrk(ctx, f, l, directory)
	if errors.Is(err, errWrk) {
		return o.wrk(ctx, f, l, directory)
	}
	return s, err
}

// wrk runs one load against f.
func (o options) wrk(ctx context.Context, f front, l load, directory string) (s reading, err error) {
	args := []string{"-t2", "-c" + strconv.Itoa(o.connections), "-d" + o.duration.String(), "--latency"}
	if l.body != "" {
		script := filepath.Join(directory, "post.lua")
		text := fmt.Sprintf("wrk.method = 'POST'\nwrk.headers['Content-Type'] = %q\nwrk.body = %q\n", l.kind, l.body)
		if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
			return s, fmt.Errorf("write wrk's script: %w", err)
		}
		args = append(args, "-s", script)
	}
	before, err := cpuOf(f.pid)
	if err != nil {
		return s, err
	}
	out, err := exec.CommandContext(ctx, "wrk", append(args, "http://"+f.address+l.path)...).CombinedOutput()
	if err != nil {
		return s, fmt.Errorf("run wrk (apt-get install wrk): %w: %s", err, out)
	}
	after, err := cpuOf(f.pid)
	if err != nil {
		return s, err
	}
	s, n, err := parseWrk(out)
	if err != nil {
		return s, fmt.Errorf("%s, %s: %w: %s", f.name, l.name, err, out)
	}
	s.cpuMicros = float64((after - before).Microseconds()) / n
	s.rssMiB, err = rssOf(f.pid)
	return s, err
}

// parseWrk reads wrk's summary; an answer that is no success makes it worthless.
func parseWrk(out []byte) (s reading, requests float64, err error) {
	if bytes.Contains(out, []byte("Non-2xx")) || bytes.Contains(out, []byte("Socket errors")) {
		return s, 0, errWrk
	}
	for _, m := range lines.FindAllStringSubmatch(string(out), -1) {
		switch {
		case m[1] == "50%" || m[1] == "99%":
			d, err := time.ParseDuration(m[2] + m[3])
			if err != nil {
				return s, 0, fmt.Errorf("%w: %w", errWrk, err)
			}
			if m[1] == "50%" {
				s.p50 = d
			} else {
				s.p99 = d
			}
		case m[1] == "Requests/sec:":
			s.perSecond, err = strconv.ParseFloat(m[2], 64)
		default:
			requests, err = strconv.ParseFloat(strings.Fields(m[1])[0], 64)
		}
		if err != nil {
			return s, 0, fmt.Errorf("%w: %w", errWrk, err)
		}
	}
	if s.perSecond == 0 || s.p99 == 0 || requests == 0 {
		return s, 0, errWrk
	}
	return s, requests, nil
}

// family is pid and its children: nginx works in those.
func family(pid int) []string {
	all := []string{strconv.Itoa(pid)}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return all
	}
	return append(all, strings.Fields(string(children))...)
}

// cpuOf is the processor time a front has used.
func cpuOf(pid int) (time.Duration, error) {
	var ticks int
	for _, p := range family(pid) {
		stat, err := os.ReadFile("/proc/" + p + "/stat")
		if err != nil {
			return 0, fmt.Errorf("read processor time: %w", err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // the name may hold spaces
		fields := strings.Fields(rest)
		user, err := strconv.Atoi(fields[11])
		system, err2 := strconv.Atoi(fields[12])
		if err = errors.Join(err, err2); err != nil {
			return 0, fmt.Errorf("read processor time: %w", err)
		}
		ticks += user + system
	}
	return time.Duration(ticks) * clockTick, nil
}

// rssOf is the resident memory of a front, in MiB.
func rssOf(pid int) (float64, error) { return memoryOf(pid, "VmRSS:") }

// anonOf is what of it is not pages of files, which go when the memory is needed.
func anonOf(pid int) (float64, error) { return memoryOf(pid, "RssAnon:") }

func memoryOf(pid int, field string) (float64, error) {
	var kib float64
	for _, p := range family(pid) {
		status, err := os.ReadFile("/proc/" + p + "/status")
		if err != nil {
			return 0, fmt.Errorf("read memory: %w", err)
		}
		_, rest, _ := strings.Cut(string(status), field)
		n, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
		if err != nil {
			return 0, fmt.Errorf("read memory: %w", err)
		}
		kib += n
	}
	return kib / 1024, nil
}
