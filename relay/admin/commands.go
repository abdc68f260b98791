package admin

import (
	"context"
	"net/http"
)

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
func (a *Admin) Commands() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", a.ready)
	if a.mailbox != nil {
		mux.HandleFunc("GET /mailbox/{name}/has", a.has)
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
