package admin

import (
	"context"
	"io"
	"net/http"
)

// Backup writes a backup of the store to w. What w has got before an error is none.
type Backup func(ctx context.Context, w io.Writer) error

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
//	GET /backup                                a backup of the store; cut off where it fails
func (a *Admin) Commands() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", a.ready)
	if a.mailbox != nil {
		mux.HandleFunc("GET /mailbox/{name}/has", a.has)
	}
	if a.backup != nil {
		mux.HandleFunc("GET /backup", a.copy)
	}
	if a.policy != nil {
		a.policyCommands(mux, a.policy)
	}
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

// copy cannot take back a status, so a failure cuts the connection: the reader misses
// the end of the stream.
func (a *Admin) copy(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	a.log.Info("backup begins")
	if err := a.backup(r.Context(), w); err != nil {
		a.log.Error("backup failed", "error", err)
		panic(http.ErrAbortHandler)
	}
	a.log.Info("backup is done")
}
