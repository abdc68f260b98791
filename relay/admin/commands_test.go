package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay/admin"
	"github.com/sealgate/sealgate/storage"
)

// door notes what it is asked, and answers nothing or err.
type door struct {
	asked string
	err   error
}

func (d *door) List(_ context.Context, person string) (admin.RequestList, error) {
	d.asked = "list " + person
	return admin.RequestList{}, d.err
}

func (d *door) Decide(_ context.Context, person, id, action string) error {
	d.asked = fmt.Sprint(action, " ", id, " of ", person)
	return d.err
}

func (d *door) Sever(_ context.Context, s admin.Severing) (admin.Severing, error) {
	d.asked = fmt.Sprint("sever ", s.Who, " for ", s.Person, " by ", s.By, " ", s.Done)
	return s, d.err
}

func (d *door) Rejoin(_ context.Context, s admin.Severing) (admin.Severing, error) {
	d.asked = fmt.Sprint("rejoin ", s.Who, " for ", s.Person, " by ", s.By)
	return s, d.err
}

func TestDoorCommands(t *testing.T) {
	d := &door{}
	h := admin.New(admin.Options{Door: d}).Commands()
	f := func(command, asked, answer string) {
		t.Helper()
		method, target, _ := strings.Cut(command, " ")
		w := ask(h, method, target, nil)
		if d.asked != asked || w.Code != http.StatusOK || strings.TrimSpace(w.Body.String()) != answer {
			t.Errorf("%s: asked %q, answers %d %s", command, d.asked, w.Code, w.Body)
		}
	}
	f("GET /requests?person=bob", "list bob", `{"requests":null,"severed":null}`)
	f("POST /requests/7?person=bob&action=accept", "accept 7 of bob", `{"id":"7","action":"accept"}`)
	f("POST /sever?who=evil.example", "sever evil.example for  by command false", `{"who":"evil.example","done":false,"affected":null,"by":"command"}`)
	f("POST /sever?who=evil.example&person=bob&done=1", "sever evil.example for bob by command true",
		`{"who":"evil.example","person":"bob","done":true,"affected":null,"by":"command"}`)
	f("POST /rejoin?who=evil.example&person=bob", "rejoin evil.example for bob by command",
		`{"who":"evil.example","person":"bob","done":false,"affected":null,"by":"command"}`)
	d.err = errors.New("nobody has that name")
	for _, target := range []string{"/requests/7", "/sever", "/rejoin"} {
		if w := ask(h, http.MethodPost, target, nil); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "nobody has that name") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

func ask(h http.Handler, method, target string, body io.Reader) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, body))
	return w
}

// TestPolicyCommands: each question of `sealgate policy`, and what is said of one that has no answer.
func TestPolicyCommands(t *testing.T) {
	store, err := storage.Open(storage.Options{Path: t.TempDir(), Key: make([]byte, storage.KeySize), Retention: 30 * 24 * time.Hour, Quota: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	text := "version: 1\n"
	book, err := policy.OpenBook(t.Context(), policy.BookOptions{Journal: store, Fallback: []byte(text), Origin: policy.Origin{
		Name: "policy.yaml", Read: func() ([]byte, error) { return []byte(text), nil }, Write: func(b []byte) error { text = string(b); return nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	h := admin.New(admin.Options{Policy: book}).Commands()
	f := func(command string, status int, want string) {
		t.Helper()
		method, target, _ := strings.Cut(command, " ")
		if w := ask(h, method, target, http.NoBody); w.Code != status || !strings.Contains(w.Body.String(), want) || want == "" && w.Body.Len() > 0 {
			t.Errorf("%s: %d %s", command, w.Code, w.Body)
		}
	}
	f("GET /policy/tally?since=1h", http.StatusOK, `"entries":0`) // there are no rules at all
	f("POST /policy/reload", http.StatusNoContent, "")
	text = "version: 1\nrules: [{name: r, at: contact, when: 'oops', then: hold}]\n"
	f("POST /policy/reload", http.StatusUnprocessableEntity, `"problems":[{`)
	text = "version: 1\nrules: [{name: wait, at: contact, when: 'rel == \"stranger\"', then: hold}]\n"
	f("POST /policy/reload", http.StatusOK, `"who":"command"`)
	f("GET /policy", http.StatusOK, `"name":"wait"`)
	changes, err := book.Changes(t.Context())
	if err != nil || len(changes) != 3 {
		t.Fatal(changes, err)
	}
	newest, oldest := changes[0].ID, changes[2].ID
	f("GET /policy/history", http.StatusOK, oldest)
	f("GET /policy/history?change="+newest, http.StatusOK, newest)
	f("GET /policy/history?change=none", http.StatusNotFound, "none")
	f("GET /policy/text?change="+newest, http.StatusOK, "name: wait")
	f("GET /policy/diff?change="+oldest, http.StatusOK, "rules: [{name: wait")
	if w := get(h, "/policy/history?change="+newest); strings.Contains(w.Body.String(), oldest) {
		t.Errorf("one change: %s", w.Body)
	}
	f("GET /policy/explain?id=none", http.StatusNotFound, "no such decision")
	f("GET /policy/explain?given=rel=blocked", http.StatusOK, `"action":"allow"`)
	f("GET /policy/explain?given=at=contact&given=msg.kind=welcome", http.StatusOK, `"action":"hold","rule":"wait"`)
	f("GET /policy/explain?given=oops=1", http.StatusUnprocessableEntity, "oops")

	then := time.Now().Add(-30 * time.Hour)
	entry := policy.Entry{ID: policy.FirstDecisionID(then), Time: then, Case: rules.Given(), Action: rules.Hold, Rule: "wait", Mode: "enforce", Logged: true}
	if err := store.Record(t.Context(), []policy.Entry{entry}); err != nil {
		t.Fatal(err)
	}
	const counted, none = `"rule":"wait"`, `"rules":[]`
	f("GET /policy/tally?since=48h", http.StatusOK, counted)
	f("GET /policy/tally?since=48h&rule=wait&mode=enforce", http.StatusOK, counted)
	f("GET /policy/tally?since=48h&rule=wait&mode=shadow", http.StatusOK, none)
	f("GET /policy/tally?since=1h&rule=wait", http.StatusOK, `"entries":0`)
	f("GET /policy/tally?since=48h&rule=oops", http.StatusUnprocessableEntity, `no rule \"oops\"`)
	f("GET /policy/tally", http.StatusUnprocessableEntity, "duration")
	f("POST /policy/replay", http.StatusUnprocessableEntity, "duration")
	candidate := policy.Candidate{Name: "next", Text: []byte("version: 1\n")}
	packed, err := candidate.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for since, replayed := range map[string]string{"48h": `"entries":1`, "1h": `"entries":0`} {
		if w := ask(h, http.MethodPost, "/policy/replay?name=next&since="+since, bytes.NewReader(packed)); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), replayed) {
			t.Errorf("replayed since %s: %d %s", since, w.Code, w.Body)
		}
	}
	if w := ask(h, http.MethodPost, "/policy/replay?since=1h", strings.NewReader("oops")); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("nonsense replayed: %d %s", w.Code, w.Body)
	}
	f("POST /policy/rollback?change="+oldest, http.StatusOK, `"who":"command"`)
	if strings.Contains(text, "wait") {
		t.Errorf("rolled back to %s", text)
	}
	f("POST /policy/rollback?change=none", http.StatusNotFound, "no such change")
	f("GET /policy/tally?since=48h&rule=wait", http.StatusOK, counted) // which is no longer in force
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	f("GET /policy/history?change="+newest, http.StatusUnprocessableEntity, "closed")
	f("GET /policy/tally?since=48h&rule=oops", http.StatusUnprocessableEntity, "closed")
}

// TestCommand: what a command writes is the answer, piece by piece; one that fails before is refused, and one that
// fails behind cuts it off.
func TestCommand(t *testing.T) {
	began := make(chan struct{})
	var log bytes.Buffer // read when the server has closed
	h := admin.New(admin.Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Commands: map[string]admin.Command{
		"say/twice": func(_ context.Context, args url.Values, w io.Writer) error {
			_, _ = io.WriteString(w, args.Get("word"))
			<-began
			_, err := io.WriteString(w, args.Get("word"))
			return err
		},
		"refuse": func(context.Context, url.Values, io.Writer) error { return errors.New("not today") },
		"break": func(_ context.Context, _ url.Values, w io.Writer) error {
			_, _ = io.WriteString(w, "half")
			return errors.New("not today")
		},
	}}).Commands()
	server := httptest.NewServer(h)
	post := func(name string) *http.Response {
		t.Helper()
		res, err := http.Post(server.URL+"/command/"+name, "", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	res := post("say/twice?word=hush")
	defer func() { _ = res.Body.Close() }()
	first := make([]byte, 4)
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != "hush" {
		t.Errorf("at first: %s, %v", first, err)
	}
	close(began)
	if rest, err := io.ReadAll(res.Body); err != nil || string(rest) != "hush" || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("then: %s, %v", rest, err)
	}
	for name, want := range map[string]struct {
		status int
		body   string
		isCut  bool
	}{
		"refuse": {http.StatusInternalServerError, `{"error":"not today"}`, false},
		"break":  {http.StatusOK, "half", true},
		"oops":   {http.StatusNotFound, `{"error":"this gateway knows no such command: is it of another version?"}`, false},
	} {
		res := post(name)
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != want.status || strings.TrimSpace(string(body)) != want.body || (err != nil) != want.isCut {
			t.Errorf("%s: %d %s, %v", name, res.StatusCode, body, err)
		}
	}
	server.Close()
	for _, said := range []string{
		`"command begins" command=say/twice`, `"command is done" command=say/twice`, `"command is refused" command=refuse`,
		`"command failed" command=break error="not today"`,
	} {
		if strings.Count(log.String(), said) != 1 {
			t.Errorf("not once %s in\n%s", said, &log)
		}
	}
}

// TestCommandGivenUp: to somebody who sends no more and still reads, a command that ended for it is not a whole answer.
func TestCommandGivenUp(t *testing.T) {
	var log bytes.Buffer // read when the server has closed
	server := httptest.NewServer(admin.New(admin.Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Commands: map[string]admin.Command{
		"wait": func(ctx context.Context, args url.Values, w io.Writer) error {
			_, _ = io.WriteString(w, args.Get("first"))
			<-ctx.Done()
			return ctx.Err()
		},
	}}).Commands())
	for _, first := range []string{"", "half"} {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "POST /command/wait?first="+first+" HTTP/1.1\r\nHost: sealgate\r\nContent-Length: 0\r\n\r\n")
		_ = c.(*net.TCPConn).CloseWrite()
		answer, err := io.ReadAll(c)
		if err != nil || strings.Contains(string(answer), "\r\n0\r\n") || strings.Contains(string(answer), "Content-Length: 0") {
			t.Errorf("after %q: %q, %v", first, answer, err)
		}
		_ = c.Close()
	}
	server.Close()
	if strings.Count(log.String(), `"command was given up" command=wait`) != 2 || strings.Contains(log.String(), "ERROR") {
		t.Error(&log)
	}
}

// deaf is an answer that nobody reads.
type deaf struct{ http.ResponseWriter }

func (deaf) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// TestCommandUnread: a command whose answer cannot be written was given up; it has not failed.
func TestCommandUnread(t *testing.T) {
	var log bytes.Buffer
	h := admin.New(admin.Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Commands: map[string]admin.Command{
		"say": func(_ context.Context, _ url.Values, w io.Writer) error {
			_, err := io.WriteString(w, "word")
			return err
		},
	}}).Commands()
	defer func() {
		if cut := recover(); cut != http.ErrAbortHandler || !strings.Contains(log.String(), `"command was given up"`) { //nolint:errorlint // it is that very value
			t.Errorf("%v, %s", cut, &log)
		}
	}()
	h.ServeHTTP(deaf{httptest.NewRecorder()}, httptest.NewRequest(http.MethodPost, "/command/say", http.NoBody))
}

// TestPages: the operator's page is at /page on the listener, and another on the socket; without one there is nothing.
func TestPages(t *testing.T) {
	says := func(word string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, word) })
	}
	a := admin.New(admin.Options{Page: says("log in"), SocketPage: says("come in"), Leaving: func() bool { return true }})
	for _, path := range []string{"/page", "/page/rules"} {
		if got := get(a.Handler(), path).Body.String() + ", " + get(a.Commands(), path).Body.String(); got != "log in, come in" {
			t.Errorf("%s: %s", path, got)
		}
		if w := get(admin.New(admin.Options{}).Handler(), path); w.Code != http.StatusNotFound {
			t.Errorf("%s without a page: %d", path, w.Code)
		}
	}
	if w := get(a.Handler(), "/"); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/page/" {
		t.Errorf("/: %d %v", w.Code, w.Header())
	}
	var state struct{ Ready, Leaving bool }
	if err := json.Unmarshal(get(a.Commands(), "/readyz").Body.Bytes(), &state); err != nil || !state.Ready || !state.Leaving {
		t.Errorf("%+v, %v", state, err)
	}
}
