package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay"
)

// checkTimeout bounds each question of `sealgate check`.
const checkTimeout = 10 * time.Second

// finding is one line of `sealgate check`. Cure is empty when nothing is wrong.
type finding struct {
	About string `json:"about"`
	State string `json:"state"` // ok, note or wrong
	Found string `json:"found"`
	Cure  string `json:"cure,omitempty"`
}

// The states of a finding: only wrong makes the command fail.
const (
	stateOK    = "ok"
	stateNote  = "note"
	stateWrong = "wrong"
)

// errFindings is how a check with something wrong ends; the findings were printed.
var errFindings = errors.New("check: something is wrong; each line above says what cures it")

func checkCommand() *cobra.Command {
	var (
		s      settings
		asJSON bool
		send   string
		store  bool
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with the configuration, the instance and the proxy in front",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if store && send != "" {
				return usageError{errors.New("--store and --send are two checks: give one of them")}
			}
			config, err := s.load()
			if err != nil {
				return err
			}
			c, end := newChecker(config), ticking(cmd.ErrOrStderr(), "checking")
			switch {
			case store:
				c.storeVerified(cmd.Context())
			case send != "":
				c.send(cmd.Context(), nameHere(send, config))
			default:
				c.all(cmd.Context())
			}
			end()
			write := writeText
			if asJSON {
				write = writeJSON
			}
			return errors.Join(write(cmd.OutOrStdout(), c.findings), verdict(c.findings))
		},
	}
	s.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&store, "store", false, "read the whole store, and verify every checksum and every record")
	cmd.Flags().StringVar(&send, "send", "", "pass a test message to the mailbox of `NAME` through the public front")
	return cmd
}

func verdict(findings []finding) error {
	if slices.ContainsFunc(findings, func(f finding) bool { return f.State == stateWrong }) {
		return errFindings
	}
	return nil
}

func writeJSON(w io.Writer, findings []finding) error { return json.NewEncoder(w).Encode(findings) }

func writeText(w io.Writer, findings []finding) error {
	for _, f := range findings {
		if _, err := fmt.Fprintf(w, "%-6s %s: %s\n", f.State, f.About, f.Found); err != nil {
			return err
		}
		if f.Cure != "" {
			if _, err := fmt.Fprintf(w, "       %s\n", f.Cure); err != nil {
				return err
			}
		}
	}
	return nil
}

// checker asks everything that can be asked from outside the running gateway.
type checker struct {
	config   configs.Config
	base     string
	public   *http.Client // through the proxy in front, as everybody
	socket   *http.Client // the running gateway
	findings []finding
}

func newChecker(config configs.Config) *checker {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", config.Admin.Socket)
	}
	return &checker{
		config: config, base: publicBase(config),
		public: &http.Client{Timeout: checkTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
		socket: &http.Client{Timeout: checkTimeout, Transport: &http.Transport{DialContext: dial}},
	}
}

func (c *checker) ok(about, found string)          { c.add(stateOK, about, found, "") }
func (c *checker) note(about, found, cure string)  { c.add(stateNote, about, found, cure) }
func (c *checker) wrong(about, found, cure string) { c.add(stateWrong, about, found, cure) }

// add notes a finding, each in one line whatever another program's error looks like.
func (c *checker) add(state, about, found, cure string) {
	c.findings = append(c.findings, finding{About: about, State: state, Found: strings.Join(strings.Fields(found), " "), Cure: cure})
}

func (c *checker) all(ctx context.Context) {
	c.ok("configuration", "every key is valid")
	c.listeners()
	c.certificate()
	c.secrets()
	c.policy()
	c.upstream(ctx)
	if c.serving(ctx) {
		c.storeServed(ctx)
		c.front(ctx)
	} else {
		c.storeAtRest()
	}
	c.ownKeys()
	c.signing(ctx)
}

func (c *checker) upstream(ctx context.Context) {
	if _, err := adminToken(c.config)(); err != nil {
		c.wrong("upstream", err.Error(), "put an administrator's token there, or leave upstream.admin_token out: the public list of blocks counts then")
	}
	people, err := newPeople(c.config, nobody{}, slog.New(slog.DiscardHandler))
	if err != nil {
		c.wrong("upstream", err.Error(), "set upstream.web")
		return
	}
	defer people.Close()
	name, err := people.Software(ctx)
	if err != nil {
		c.wrong("upstream", fmt.Sprintf("%s does not answer as an instance does (%v)", c.config.Upstream.Web, err),
			"start the instance, or set upstream.web to where it listens; if it answers 403, set domain to the host in its actors' ids")
		return
	}
	c.ok("upstream", fmt.Sprintf("%s answers at %s", name, c.config.Upstream.Web))
}

// nobody is the Register of a command that must not open the store.
type nobody struct{}

func (nobody) Remember(context.Context, mastodon.Person) error { return nil }

func (nobody) Recall(context.Context, string) (mastodon.Person, error) {
	return mastodon.Person{}, mastodon.ErrNoPerson
}

// serving tells whether the gateway runs, by its socket.
func (c *checker) serving(ctx context.Context) bool {
	var state struct{ Ready, Leaving bool }
	err := c.ask(ctx, "/readyz", &state)
	switch {
	case err == nil:
		c.ok("gateway", "it is running ("+c.config.Admin.Socket+")")
		if state.Leaving {
			c.noteLeaving()
		}
		return true
	case errors.Is(err, os.ErrPermission):
		c.wrong("gateway", "admin.socket "+c.config.Admin.Socket+" may not be opened", "run this command as the user the gateway runs as")
	default:
		c.note("gateway", "it is not running: nobody answers at "+c.config.Admin.Socket, "start it: systemctl start sealgate, or sealgate serve as the user who owns storage.path")
	}
	return false
}

// ask gets a JSON answer, of any status, from the running gateway's socket.
func (c *checker) ask(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://sealgate"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.socket.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into); err != nil {
		return fmt.Errorf("read what the gateway says: %w", err)
	}
	return nil
}

// front asks for the gateway's own actor as everybody would, and looks at what the proxy in front
// has made of question and answer.
func (c *checker) front(ctx context.Context) {
	address := relay.OwnActor(c.base)
	resp, err := c.look(ctx, http.MethodGet, address) //nolint:bodyclose // look closes it
	if err != nil {
		c.wrong("public front", fmt.Sprintf("%s cannot be fetched (%v)", address, err),
			"set domain, point the proxy in front at the gateway (listen), and look at DNS and certificate")
		return
	}
	seen, err := relay.ParseSeen(resp.Header.Get(relay.SeenHeader))
	if resp.StatusCode != http.StatusOK || err != nil {
		c.wrong("public front", fmt.Sprintf("%s is not answered by this gateway (status %d)", address, resp.StatusCode),
			"in the proxy in front, send everything to the gateway (listen) instead of the instance")
		return
	}
	c.ok("public front", address+" is answered by this gateway")
	c.proxy(seen, resp.Header)
	c.needs(ctx)
}

// needs looks whether all that the gateway must see is sent to it.
func (c *checker) needs(ctx context.Context) {
	var missed []string
	for _, path := range relay.Needs() {
		resp, err := c.look(ctx, http.MethodOptions, c.base+path) //nolint:bodyclose // look closes it
		if err == nil {
			_, err = relay.ParseSeen(resp.Header.Get(relay.SeenHeader))
		}
		if err != nil {
			missed = append(missed, path)
		}
	}
	if missed != nil {
		c.wrong("proxy in front", "requests for "+strings.Join(missed, ", ")+" do not reach this gateway",
			`send them to it (listen), as everything or as docs/operations.md says under "In part"`)
	}
}

// look asks as everybody would, and for what reaches the gateway of it.
func (c *checker) look(ctx context.Context, method, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(address, ".json") { // which says it by itself
		req.Header.Set("Accept", "application/activity+json")
	}
	req.Header.Set(relay.SeenHeader, "?")
	resp, err := c.public.Do(req)
	if err != nil {
		return nil, err
	}
	return resp, resp.Body.Close()
}

// proxy judges the proxy in front by what reached the gateway and what came back.
func (c *checker) proxy(seen relay.Seen, answer http.Header) {
	if seen.Host != c.config.Domain {
		c.wrong("proxy in front", fmt.Sprintf("it sends Host %q", seen.Host), "nginx: proxy_set_header Host $host;")
	}
	if answer.Get("Age") != "" || answer.Get("Cache-Control") != seen.CacheControl {
		c.wrong("proxy in front", "it caches, or changes Cache-Control of, the gateway's own answers",
			"nginx: no proxy_cache and no proxy_ignore_headers for /e2ee/")
	}
	if c.config.TLS.Mode != "off" || !strings.HasPrefix(c.base, "https:") {
		return // nobody in front does TLS
	}
	if seen.Proto != "https" {
		c.wrong("proxy in front", fmt.Sprintf("X-Forwarded-Proto reached the gateway as %q", seen.Proto),
			"nginx: proxy_set_header X-Forwarded-Proto $scheme; and list the proxy in trusted_proxies")
	}
	if seen.Forwarded == "no" {
		c.wrong("proxy in front", "X-Forwarded-For did not reach the gateway",
			"nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;")
	}
}
