package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	runner "github.com/sealgate/sealgate/cmd/demo/gateway"
)

const (
	readme     = "../../README.md"
	operations = "../../docs/operations.md"
)

// site is a gateway that was installed on a machine as README says, before an instance.
type site struct {
	*battered
	*machine

	upstream, admin string // addresses: of the instance, and admin.listen
	front           string // nginx's address
	unit            string // under which it runs
	command         string // how to call the program beside it
	backups         string // where it may write them
	reload          string // has it read its policy again
}

// install is README, with this test's addresses, and a log that can be read here.
func (s *site) install() {
	s.t.Helper()
	s.unit, s.command, s.backups, s.reload = "sealgate", "sealgate", "/var/backups/", "systemctl reload sealgate"
	s.run(s.t, `mkdir bin configs /etc/sealgate /etc/systemd/system/sealgate.service.d; `+
		`printf '[Service]\nStandardError=append:/var/log/gateway\n' >/etc/systemd/system/sealgate.service.d/log.conf; touch /var/log/gateway`)
	s.run(s.t, "cp "+buildGateway(s.t)+" bin/sealgate")
	s.copyUnits()
	s.write("site.yaml", s.configuration())
	s.writeKey(s.dir, s.alice)
	s.writeKey(s.dir, s.bob)
	s.run(s.t, "cp site.yaml /etc/sealgate/sealgate.yaml")
	begin, start, found := strings.Cut(block(s.t, readme, "useradd"), "runuser -u sealgate -- sealgate check")
	if !found {
		s.t.Fatal("README does not have the configuration checked")
	}
	s.run(s.t, begin+"install -d -o sealgate -g sealgate -m 0700 /var/lib/sealgate/keys; install -o sealgate -m 0600 alice.pem bob.pem /var/lib/sealgate/keys/\n"+
		"runuser -u sealgate -- sealgate check"+start)
	s.process = &runner.Process{URL: "http://" + s.home.Host(), Admin: "http://" + s.admin}
	s.awaitReady()
}

// configuration is README's, with this test's addresses and what only loopback needs.
func (s *site) configuration() string {
	s.t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		s.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "```yaml\n")
	config, _, _ := strings.Cut(after, "```")
	config = strings.NewReplacer("social.example ", s.home.Host()+" ", "127.0.0.1:8420", s.home.Host(), "127.0.0.1:3000", s.upstream,
		"127.0.0.1:4000", s.upstream, "127.0.0.1:9420", s.admin).Replace(config)
	return config + "signing: {source: file, file: /var/lib/sealgate/keys}\npolicy: {preset: open}\nmailbox: {unenrolled: keep}\n" +
		"federation: {allow_plain_http: true, allow_networks: [127.0.0.0/8]}\n"
}

// copyUnits has configs/ beside the program, with this test's address.
func (s *site) copyUnits() {
	s.t.Helper()
	for _, name := range []string{"sealgate.service", "sealgate.socket"} {
		text, err := os.ReadFile(filepath.Join("../../configs", name))
		if err != nil {
			s.t.Fatal(err)
		}
		s.write(filepath.Join("configs", name), strings.Replace(string(text), "ListenStream=127.0.0.1:8420", "ListenStream="+s.home.Host(), 1))
	}
}

// build puts the program there.
func (s *site) build(path string, flags ...string) {
	s.t.Helper()
	args := append(append([]string{"build"}, flags...), "-o", filepath.Join(s.dir, path), ".")
	if out, err := exec.CommandContext(s.t.Context(), "go", args...).CombinedOutput(); err != nil {
		s.t.Fatalf("build: %v\n%s", err, out)
	}
}

// newerFormat is an overlay (go help build) with which the program writes format 2 of the store, and makes it of 1.
func (s *site) newerFormat() string {
	s.t.Helper()
	path, err := filepath.Abs("../../storage/format.go")
	if err != nil {
		s.t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	text := string(source)
	for old, changed := range map[string]string{
		"formatVersion = 1": "formatVersion = 2",
		"\tif value[0] != formatVersion ||": "\tif value[0] == 1 {\n\t\tvalue[0] = formatVersion\n\t\ttxn := s.db.NewTransactionAt(s.durable.Load(), true)\n\t\tdefer txn.Discard()\n" +
			"\t\tif err := errors.Join(s.disk.claim(), txn.Set([]byte{formatKey}, value), s.persist(txn)); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n\tif value[0] != formatVersion ||",
	} {
		if !strings.Contains(text, old) {
			s.t.Fatalf("storage/format.go has no %q", old)
		}
		text = strings.Replace(text, old, changed, 1)
	}
	s.write("format.go", text)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{path: filepath.Join(s.dir, "format.go")}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("overlay.json", string(overlay))
	return filepath.Join(s.dir, "overlay.json")
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// says runs commands that must succeed and say so.
func (s *site) says(what, commands string) {
	s.t.Helper()
	if out := s.run(s.t, commands); !strings.Contains(out, what) {
		s.t.Errorf("%s: want %q, got\n%s", commands, what, out)
	}
}

// counts says how often a word is in the gateway's log.
func (s *site) counts(word string) int {
	s.t.Helper()
	return strings.Count(s.run(s.t, "cat /var/log/gateway"), word)
}

func (s *site) awaitReady() {
	s.t.Helper()
	s.await("the gateway", func() bool {
		status, _, _ := s.do(s.t.Context(), s.request(http.MethodGet, s.process.Admin+"/readyz", "", ""))
		return status == http.StatusOK
	})
}

// awaitProgram waits until the gateway runs from a copy of the file, and is ready.
func (s *site) awaitProgram(file string) {
	s.t.Helper()
	s.await(file, func() bool {
		_, err := s.try(s.t.Context(), "cmp "+file+" /proc/$(systemctl show --property MainPID --value sealgate)/exe")
		return err == nil
	})
	s.awaitReady()
}

func (s *site) await(what string, done func() bool) {
	s.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("waited for %s in vain; the gateway said:\n%s", what, s.run(s.t, "tail -n 30 /var/log/gateway; systemctl status --no-pager "+s.unit+" || true"))
		}
	}
}

// privilegedAddress is a loopback address with a port below 1024 that nobody listens on.
func privilegedAddress(t *testing.T) string {
	t.Helper()
	for port := 1023; port > 500; port-- {
		address := "127.0.0.1:" + strconv.Itoa(port)
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("every privileged port is taken")
	return ""
}

// frontWithNginx gives what puts nginx's one line as it was, and as README has it with the gateway.
func (s *site) frontWithNginx() (stock, changed func()) {
	s.t.Helper()
	s.front = freeAddress(s.t)
	text, err := os.ReadFile(readme)
	if err != nil {
		s.t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "```nginx\nupstream backend {\n")
	line, rest, _ := strings.Cut(after, "\n")
	_, after, both := strings.Cut(rest, "```nginx\n")
	if !found || !both {
		s.t.Fatal("README has no line for nginx")
	}
	ours, _, _ := strings.Cut(after, "\n")
	with := func(line string) string {
		line = strings.NewReplacer("127.0.0.1:3000", s.upstream, "127.0.0.1:8420", s.home.Host()).Replace(line)
		return fmt.Sprintf("upstream backend {\n%s\n}\nserver {\n listen %s;\n location / {\n  proxy_set_header Host $http_host;\n  proxy_set_header X-Real-IP $remote_addr;\n"+
			"  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n  proxy_set_header X-Forwarded-Proto $scheme;\n  proxy_pass http://backend;\n }\n}\n", line, s.front)
	}
	s.write("stock.conf", with(line))
	s.write("ours.conf", with(ours))
	s.run(s.t, "rm -f /etc/nginx/sites-enabled/*; cp /lib/systemd/system/nginx.service /etc/systemd/system/; systemctl daemon-reload")
	return func() { s.run(s.t, "cp stock.conf /etc/nginx/sites-enabled/mastodon") },
		func() { s.run(s.t, "cp ours.conf /etc/nginx/sites-enabled/mastodon; systemctl restart nginx") }
}

// through asks nginx.
func (s *site) through(path string) (status int, body string) {
	s.t.Helper()
	r := s.request(http.MethodGet, "http://"+s.front+path, "", "")
	r.Host = s.home.Host()
	r.Header.Set("Accept", "application/activity+json")
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
