package main

import (
	"crypto/rand"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestInstalled goes through the life of an installation with the commands of README and docs/operations.md as they stand
// there: install, upgrade, roll back, leave, uninstall, under the units that are shipped, with a real systemd and nginx. In
// each state the gateway does all its work: forward, take, hand out, deliver, back up, read its policy again.
func TestInstalled(t *testing.T) {
	m := bootMachine(t)
	b, upstream := neighbours(t, freeAddress(t), func(home http.Handler) http.Handler { return home })
	s := &site{battered: b, machine: m, admin: freeAddress(t), upstream: strings.TrimPrefix(upstream, "http://")}
	s.install()
	s.join()
	s.publish(1)
	s.works()
	s.isConfined()
	s.bindsAPrivilegedPort()
	s.holdsItsSocket()
	s.upgrades()
	s.rollsBack()
	s.keepsQuiet()
	s.leaves()
	s.runsInAContainer()
}

// works has the gateway do its work.
func (s *site) works() {
	s.t.Helper()
	if status, _, body := s.do(s.t.Context(), s.request(http.MethodGet, s.process.URL+"/@bob", "", "")); status != http.StatusOK {
		s.t.Errorf("a page: %d %s", status, body)
	}
	for _, other := range s.others[:3] {
		if id, status := s.post(s.t.Context(), other, other.Name); status != http.StatusAccepted {
			s.t.Errorf("%s: %d", id, status)
		}
	}
	if s.claim(s.t.Context(), s.others[0]); len(s.ledger.claimed) != 1 {
		s.t.Error("no key package was handed out")
	}
	if status := s.send(s.t.Context()); status != http.StatusCreated {
		s.t.Errorf("alice's outbox: %d", status)
	}
	s.audit()
	s.auditDeliveries()
	s.says("bob has the test message", s.command+" check --send bob")
	s.says("every checksum holds", s.command+" check --store")
	s.says("read back and whole", s.command+" backup "+s.backups+rand.Text())
	same := s.counts("policy is the same as before")
	s.run(s.t, s.reload)
	s.await("the policy to be read again", func() bool { return s.counts("policy is the same as before") > same })
}

// isConfined looks at what the kernel holds the running gateway to, and then tries what a program under the same unit can do.
func (s *site) isConfined() {
	s.t.Helper()
	s.run(s.t, "systemd-analyze verify /etc/systemd/system/sealgate.service configs/sealgate.socket")
	s.run(s.t, "systemd-analyze security --threshold=14 --offline=true /etc/systemd/system/sealgate.service")
	s.holds(s.run(s.t, "id -u sealgate"))
	for command, may := range map[string]bool{
		"true":                                   true,
		"touch /var/lib/sealgate/a /tmp/a":       true,
		"touch /usr/a":                           false, // ProtectSystem
		"touch /etc/sealgate/a":                  false,
		"test -e " + s.dir:                       false, // PrivateTmp: it is below /tmp
		"ls /root":                               false, // ProtectHome
		"test -e /dev/kmsg":                      false, // PrivateDevices
		"unshare --user true":                    false, // RestrictNamespaces
		"mount -t tmpfs tmpfs /var/lib/sealgate": false,
		"chroot / true":                          false, // SystemCallFilter
		"ip link":                                false, // RestrictAddressFamilies: AF_NETLINK
		"setarch i686 true":                      false, // LockPersonality
	} {
		s.run(s.t, `sed -e "s|^ExecStart=.*|ExecStart=sh -c '`+command+`'|" -e 's|^Restart=.*|Type=oneshot|' /etc/systemd/system/sealgate.service >/etc/systemd/system/tried.service; systemctl daemon-reload`)
		if out, err := s.try(s.t.Context(), "systemctl start tried"); (err == nil) != may {
			s.t.Errorf("%s: %v %s", command, err, out)
		}
	}
	s.run(s.t, "rm /etc/systemd/system/tried.service; systemctl daemon-reload")
}

// holds checks the user, capabilities, privileges and system call filter of the running gateway.
func (s *site) holds(user string) {
	s.t.Helper()
	status := s.run(s.t, "cat /proc/$(systemctl show --property MainPID --value "+s.unit+")/status")
	for _, line := range []string{"Uid:\t" + strings.TrimSpace(user) + "\t", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(status, line) {
			s.t.Errorf("the kernel does not say %q of the gateway:\n%s", line, status)
		}
	}
}

// bindsAPrivilegedPort follows the comment in the unit.
func (s *site) bindsAPrivilegedPort() {
	s.t.Helper()
	port := privilegedAddress(s.t)
	s.run(s.t, "cp /etc/systemd/system/sealgate.service was; sed -i 's|^listen: .*|listen: ["+s.home.Host()+", "+port+"]|' /etc/sealgate/sealgate.yaml")
	if first, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil && strings.TrimSpace(string(first)) == "1024" {
		denied := s.counts("takes CAP_NET_BIND_SERVICE")
		s.run(s.t, "systemctl restart sealgate")
		s.await("the port to be refused", func() bool { return s.counts("takes CAP_NET_BIND_SERVICE") > denied })
	}
	s.run(s.t, "sed -i -e 's/^CapabilityBoundingSet=$/&CAP_NET_BIND_SERVICE/' -e 's/^AmbientCapabilities=$/&CAP_NET_BIND_SERVICE/' -e '/^PrivateUsers=yes$/d' /etc/systemd/system/sealgate.service; "+
		"systemctl daemon-reload; systemctl restart sealgate")
	s.awaitReady()
	getWhenReady(s.t, s.client, "http://"+port+"/e2ee/actor").Body.Close()
	s.run(s.t, "mv was /etc/systemd/system/sealgate.service; cp site.yaml /etc/sealgate/sealgate.yaml; chgrp sealgate /etc/sealgate/sealgate.yaml; systemctl daemon-reload; systemctl restart sealgate")
	s.awaitReady()
}

// holdsItsSocket follows the comment in the socket's unit.
func (s *site) holdsItsSocket() {
	s.t.Helper()
	commented, err := os.ReadFile("../../configs/sealgate.socket")
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(commented)) {
		if command, ok := strings.CutPrefix(line, "#   "); ok {
			s.run(s.t, command)
		}
	}
	s.awaitReady()
	s.works()
}

// upgrades puts a newer program in place while people ask: none of them is refused.
func (s *site) upgrades() {
	s.t.Helper()
	s.run(s.t, "cp bin/sealgate bin/first; echo >>bin/sealgate") // not the same file, as the former one and its newer one are not
	var askers sync.WaitGroup
	var asked atomic.Int64
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop); askers.Wait() })
	defer end()
	for range 4 {
		askers.Go(func() { s.asks(stop, &asked) })
	}
	s.run(s.t, block(s.t, operations, "rm -f /var/backups/sealgate-former"))
	s.awaitProgram("bin/sealgate")
	before := asked.Load()
	s.await("answers", func() bool { return asked.Load() > before+10 })
	end()
	s.works()
}

// asks over a new connection each time.
func (s *site) asks(stop chan struct{}, asked *atomic.Int64) {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	for {
		select {
		case <-stop:
			return
		default:
		}
		resp, err := c.Get(s.process.URL + "/e2ee/actor")
		if err != nil {
			s.t.Errorf("during the upgrade: %v", err)
			return
		}
		resp.Body.Close()
		asked.Add(1)
	}
}

// rollsBack goes back to the former program: with the same format of the store, and from a newer one to the backup.
func (s *site) rollsBack() {
	s.t.Helper()
	former := block(s.t, operations, "install -m 0755 /usr/local/bin/sealgate-former")
	s.run(s.t, former)
	s.awaitProgram("bin/first")
	s.works()

	s.build("bin/sealgate", "-overlay="+s.newerFormat())
	took, sent := maps.Clone(s.ledger.took), s.ledger.sent
	s.run(s.t, block(s.t, operations, "rm -f /var/backups/sealgate-former"))
	s.awaitProgram("bin/sealgate")
	s.works()
	late, status := s.post(s.t.Context(), s.others[0], "late")
	if status != http.StatusAccepted {
		s.t.Fatal(status)
	}
	s.run(s.t, former)
	s.await("the former program to refuse", func() bool { return s.counts("unknown store format") > 0 })
	s.run(s.t, block(s.t, operations, "systemctl stop sealgate"))
	s.awaitProgram("bin/first")
	s.ledger.took, s.ledger.sent = took, sent
	s.works()
	if out := s.run(s.t, "sealgate user export bob"); strings.Contains(out, late) {
		s.t.Error("what came after the backup is there")
	}
	s.run(s.t, "install -m 0755 bin/sealgate /usr/local/bin/sealgate-newer")
	s.says(late, "runuser -u sealgate -- env SEALGATE_STORAGE_PATH=/var/lib/sealgate/store-before SEALGATE_ADMIN_SOCKET=/var/lib/sealgate/none sealgate-newer user export bob")
}

// keepsQuiet searches what the gateway has logged so far for whom it was about.
func (s *site) keepsQuiet() {
	s.t.Helper()
	words := []string{privateMessage(1), s.alice.Actor, s.bob.Actor, "/activities/", s.tokens[s.alice], s.tokens[s.bob]}
	for _, p := range s.others {
		words = append(words, p.Actor)
	}
	for _, word := range words {
		if n := s.counts(word); n > 0 {
			s.t.Errorf("the log has %q %d times", word, n)
		}
	}
}

// leaves takes the gateway away again, from behind nginx.
func (s *site) leaves() {
	s.t.Helper()
	stock, changed := s.frontWithNginx()
	changed()
	actor, mls := strings.TrimPrefix(s.alice.Actor, s.process.URL), "/e2ee/users/alice/keyPackages"
	if status, body := s.through(actor); status != http.StatusOK || !strings.Contains(body, mls) {
		s.t.Errorf("alice's actor through nginx: %d %s", status, body)
	}
	s.says("what stays behind", "sealgate leave")
	if _, status := s.post(s.t.Context(), s.others[0], "refused"); status != http.StatusForbidden {
		s.t.Errorf("a message to who is leaving: %d", status)
	}
	s.audit() // it is read as before
	s.says("passed", "systemctl disable --now sealgate.socket; echo passed")
	stock()
	s.run(s.t, block(s.t, operations, "nginx -t"))

	if status, body := s.through(actor); status != http.StatusOK || strings.Contains(body, "e2ee") {
		s.t.Errorf("alice's actor without the gateway: %d %s", status, body)
	}
	if status, body := s.through(mls); status != http.StatusNotFound {
		s.t.Errorf("what peers cached of alice: %d %s", status, body)
	}
	if left := s.run(s.t, "find /etc /usr/local /var /run -name '*sealgate*' ! -path '/var/backups/*' ! -path '*/systemd-private-*'; getent passwd sealgate || true; systemctl list-units --all --no-legend 'sealgate*'"); left != "" {
		s.t.Errorf("it leaves behind:\n%s", left)
	}
}

// runsInAContainer has what the image has, and no more than docs/operations.md gives it.
func (s *site) runsInAContainer() {
	s.t.Helper()
	s.run(s.t, "cp bin/first bin/sealgate")
	s.write("contained.yaml", strings.ReplaceAll(s.configuration(), "/var/lib/sealgate/", "/data/"))
	s.write("contained.service", container)
	s.run(s.t, "mkdir -p /run/image; cp --parents --dereference $(ldd bin/first | grep -o '/[^ ]*') /run/image/ || true") // a test's binary is not static
	s.run(s.t, "groupadd --gid 65532 contained; useradd --uid 65532 --gid 65532 contained")                               // systemd wants a name
	s.run(s.t, "mkdir -p /run/image/data/keys /run/image/etc/sealgate /run/image/etc/ssl/certs; cp bin/sealgate /run/image/; cp contained.yaml /run/image/etc/sealgate/sealgate.yaml; "+
		"cp /etc/ssl/certs/ca-certificates.crt /run/image/etc/ssl/certs/ || true; cp *.pem /run/image/data/keys/; chmod 644 /run/image/etc/sealgate/sealgate.yaml; "+
		"chown -R 65532:65532 /run/image/data; cp contained.service /etc/systemd/system/; systemctl daemon-reload; systemctl start contained")
	s.unit, s.backups, s.reload = "contained", "/data/", "systemctl kill --signal HUP contained"                                    // docker kill
	s.command = "nsenter -t $(systemctl show --property MainPID --value contained) --mount --root --wd -S 65532 -G 65532 /sealgate" // docker exec
	s.awaitReady()
	s.ledger.took, s.ledger.claimed, s.ledger.sent = map[string][]string{}, map[string]string{}, nil
	s.join()
	s.publish(1)
	s.works()
	s.holds("65532")
	if out, err := s.try(s.t.Context(), "nsenter -t $(systemctl show --property MainPID --value contained) --mount --root --wd touch /run/image/a"); err == nil {
		s.t.Errorf("its root can be written: %s", out)
	}
}

// container is how docs/operations.md has docker run the image: --read-only --cap-drop=ALL --security-opt=no-new-privileges.
const container = `[Service]
RootDirectory=/run/image
MountAPIVFS=yes
User=65532
Group=65532
WorkingDirectory=/
ExecStart=/sealgate serve
StandardError=append:/var/log/gateway
ReadOnlyPaths=+/
ReadWritePaths=+/data
CapabilityBoundingSet=
NoNewPrivileges=yes
SystemCallFilter=@system-service
`
