package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sealgate/sealgate/policy/rules"
)

// pulse is how the machine is doing, looked at every few seconds at most.
type pulse struct {
	path string // on the disk that matters

	mu   sync.Mutex
	last rules.Server
	at   time.Time
}

const pulseEvery = 5 * time.Second

func newPulse(path string) *pulse { return &pulse{path: path} }

func (p *pulse) read() rules.Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.at) > pulseEvery {
		p.at, p.last = now, rules.Server{Load: machineLoad(), Disk: diskUsed(p.path)}
	}
	return p.last
}

// machineLoad is the load average of a minute for each processor; 1 is full.
func machineLoad() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load / float64(runtime.NumCPU())
}

// diskUsed is which part of a disk nobody can write to any more.
func diskUsed(path string) float64 {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil || st.Blocks == 0 {
		return 0
	}
	return 1 - float64(st.Bavail)/float64(st.Blocks)
}
