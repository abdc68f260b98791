package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is a Debian of its own to install on: a real systemd in namespaces, with copies of /etc, /usr/local and /var.
// The network is this one's.
type machine struct {
	dir   string // where its commands run; of this machine, too
	group string // its control group
	init  *exec.Cmd
	said  bytes.Buffer // of init
}

// bootMachine needs root, and the rights that a container may lack.
func bootMachine(t *testing.T) *machine {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("NOT TESTED: a machine to install on needs root on Linux")
	}
	for _, program := range []string{"/lib/systemd/systemd", "unshare", "nsenter", "nginx"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("NOT TESTED: a machine to install on: %v", err)
		}
	}
	m := &machine{dir: t.TempDir(), group: "sealgate-test-" + rand.Text()}
	own := filepath.Join(m.dir, "machine")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/machine/boot.sh")
	if err != nil {
		t.Fatal(err)
	}
	m.init = exec.Command("/bin/sh", script, own, m.group)
	m.init.Stdout, m.init.Stderr = &m.said, &m.said
	m.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC, Pdeathsig: syscall.SIGKILL,
	}
	runtime.LockOSThread() // Pdeathsig is about the thread
	t.Cleanup(runtime.UnlockOSThread)
	if err := m.init.Start(); err != nil {
		t.Skipf("NOT TESTED: a machine to install on: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- m.init.Wait() }()
	t.Cleanup(func() { m.powerOff(t, ended) })
	m.awaitBoot(t, ended)
	return m
}

func (m *machine) awaitBoot(t *testing.T, ended chan error) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if out, err := m.try(t.Context(), "systemctl is-active basic.target"); err == nil && out == "active\n" {
			return
		}
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			t.Skipf("NOT TESTED: a machine to install on does not boot here: %v\n%s", err, &m.said)
		case <-deadline:
			t.Fatal("the machine did not boot")
		}
	}
}

// powerOff ends every process of it, and removes its control group.
func (m *machine) powerOff(t *testing.T, ended chan error) {
	_ = m.init.Process.Kill() // the kernel kills the rest of the namespace
	<-ended
	at := filepath.Join(m.dir, "machine", "cgroup")
	remove := fmt.Sprintf("mount -t cgroup2 none %[1]s && find %[1]s/%[2]s -depth -type d -exec rmdir {} ';'", at, m.group)
	if out, err := exec.Command("unshare", "--mount", "sh", "-c", remove).CombinedOutput(); err != nil {
		t.Logf("its control group stays: %v %s", err, out)
	}
}

// try runs shell commands as root of the machine.
func (m *machine) try(ctx context.Context, commands string) (string, error) {
	cmd := exec.CommandContext(ctx, "nsenter", "-t", strconv.Itoa(m.init.Process.Pid), "-m", "-p", "-u", "-i", "-C", "--wd="+m.dir, "sh", "-e", "-c", commands)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run is try for commands that must succeed.
func (m *machine) run(t *testing.T, commands string) string {
	t.Helper()
	out, err := m.try(t.Context(), commands)
	if err != nil {
		t.Fatalf("%s\n%v\n%s", commands, err, out)
	}
	return out
}

// block returns the commands of a documentation file that are set off by four spaces and begin so.
func block(t *testing.T, file, begin string) string {
	t.Helper()
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(doc), "\n    "+begin)
	if !found {
		t.Fatalf("%s has no command %q", file, begin)
	}
	commands := begin
	for i, line := range strings.Split(after, "\n") {
		if i > 0 && !strings.HasPrefix(line, "    ") {
			break
		}
		if i > 0 {
			commands += "\n"
		}
		commands += strings.TrimPrefix(line, "    ")
	}
	return commands + "\n"
}
