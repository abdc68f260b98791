package admin

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// Command is what one of the program's own commands has the running gateway do. What it writes to w is the answer;
// what w has got before an error is none.
type Command func(ctx context.Context, args url.Values, w io.Writer) error

// Mailbox tells whether the person called name holds a message with this
// activity id now. An error says why nobody can tell.
type Mailbox func(ctx context.Context, name, activityID string) (bool, error)

// Has is the answer of GET /mailbox/{name}/has.
type Has struct {
	Has   bool   `json:"has"`
	Error string `json:"error,omitempty"`
}

// Commands is for `admin.socket`: what the program's own subcommands ask the
// running gateway.
//
//	GET /readyz                                as on admin.listen
//	GET /mailbox/{name}/has?id={activity id}   Has; 400 without id, 503 with Error
//	/policy…                                   see policyCommands
//	/requests…, /sever, /rejoin                 see doorCommands
//	POST /command/{name…}?{arguments}           what a Command writes; 500 with its error, or cut off where it fails
//	/page/                                      the operator's page, without a login
func (a *Admin) Commands() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", a.ready)
	mountPage(mux, a.onSocket)
	if a.mailbox != nil {
		mux.HandleFunc("GET /mailbox/{name}/has", a.has)
	}
	if a.policy != nil {
		a.policyCommands(mux, a.policy)
	}
	if a.door != nil {
		a.doorCommands(mux, a.door)
	}
	mux.HandleFunc("POST /command/{name...}", a.command)
	return mux
}

func (a *Admin) has(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	if id == "" {
		a.answer(w, http.StatusBadRequest, Has{Error: "id is missing: the activity's id"})
		return
	}
	found, err := a.mailbox(r.Context(), r.PathValue("name"), id)
	if err != nil {
		a.answer(w, http.StatusServiceUnavailable, Has{Error: err.Error()})
		return
	}
	a.answer(w, http.StatusOK, Has{Has: found})
}

// command cannot take back a status, so a failure after the first byte cuts the connection: the reader misses
// the end of the stream. So does one who has given up and reads on.
func (a *Admin) command(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	do, known := a.commands[name]
	if !known {
		a.answer(w, http.StatusNotFound, Refusal{Error: "this gateway knows no such command: is it of another version?"})
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	a.log.Info("command begins", "command", name)
	out := &answerWriter{ResponseWriter: w, flush: http.NewResponseController(w).Flush}
	err := do(r.Context(), r.URL.Query(), out)
	switch {
	case err == nil:
		a.log.Info("command is done", "command", name)
	case out.lost || r.Context().Err() != nil:
		a.log.Info("command was given up", "command", name)
		panic(http.ErrAbortHandler)
	case out.begun:
		a.log.Error("command failed", "command", name, "error", err)
		panic(http.ErrAbortHandler)
	default:
		a.log.Info("command is refused", "command", name) // who asks is told why, which may name people
		a.answer(w, http.StatusInternalServerError, Refusal{Error: err.Error()})
	}
}

// answerWriter passes on what is written at once, for commands that tell how far they are.
type answerWriter struct {
	http.ResponseWriter
	flush func() error
	begun bool
	lost  bool // nobody reads it any more
}

func (w *answerWriter) Write(p []byte) (int, error) {
	w.begun = true
	n, err := w.ResponseWriter.Write(p)
	if err == nil && n < flushUnder {
		err = w.flush()
	}
	w.lost = w.lost || err != nil
	return n, err
}

// flushUnder tells lines from bulk.
const flushUnder = 512
