package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// withinNetwork is set in the process that has a network of its own.
const withinNetwork = "TEST_WITHIN_NETWORK"

// TestClientsThatVanish: clients whose network goes away, without a word, while they are being sent something or listen in silence are
// noticed: the former when they have acknowledged nothing for twice limits.write_timeout, the latter by keep-alive probes. What was
// held for them is given back, and others are served meanwhile. Gateway and instance have a network of their own, the clients another.
func TestClientsThatVanish(t *testing.T) {
	if os.Getenv(withinNetwork) == "" {
		repeatInNetwork(t)
		return
	}
	run(t, "ip link set lo up")
	clients := assail(t, assault{}, true)
	enter := fmt.Sprintf("nsenter -t %d -n ", clients.cmd.Process.Pid)
	run(t, fmt.Sprintf("ip link add near address 02:00:00:00:00:01 type veth peer name far address 02:00:00:00:00:02 netns %d", clients.cmd.Process.Pid))
	run(t, "ip addr add 10.77.0.1/24 dev near; ip link set near up; ip neigh replace 10.77.0.2 lladdr 02:00:00:00:00:02 dev near nud permanent")
	run(t, enter+"ip addr add 10.77.0.2/24 dev far; "+enter+"ip link set far up")

	t.Setenv("SEALGATE_LIMITS_WRITE_TIMEOUT", "2s")
	t.Setenv("SEALGATE_LIMITS_CONNECTIONS_PER_CLIENT", "20000")
	listen := freeAddress(t)
	_, port, _ := strings.Cut(listen, ":")
	t.Setenv("SEALGATE_LISTEN", listen+",10.77.0.1:"+port)
	s := newBesiegedAt(t, listen)
	request := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: " + listen + "\r\n\r\n" }
	a := assault{Address: "10.77.0.1:" + port, Count: 200, Together: 100, Hold: true, Requests: []string{request("/talks")}, Hear: "HTTP/1.1 200"}
	within := 30 * time.Second
	if soaking() {
		within = 2 * time.Minute // the first probe goes out after 15 s, and the second tells
		a.Count, a.Requests = 4900, append(s.streams(5000), a.Requests[0], request("/endless"))
	}
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	clients.says(t, string(text))
	clients.awaits(t, "done")
	stop := s.meanwhile()
	run(t, enter+"ip link set far down")
	times, longest := stop()
	s.peak(fmt.Sprintf("%d that vanish", a.Count), times, longest)
	stop = s.meanwhile()
	s.recovers("vanished", within)
	stop()
}

func run(t *testing.T, commands string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "sh", "-e", "-c", commands).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", commands, err, out)
	}
}

// repeatInNetwork runs the test in a process that has a network of its own.
func repeatInNetwork(t *testing.T) {
	t.Helper()
	for _, program := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil || os.Getuid() != 0 {
			t.Skipf("NOT TESTED: clients that vanish need root, and ip (iproute2) and nsenter: %v", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), withinNetwork+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Skipf("NOT TESTED: clients that vanish need a network of their own: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(out)
}
