package admin

import (
	"context"
	"net/http"
	"time"
)

// Request is an open message request, as the operator may see it: who asks whom, since
// when, how much; never what.
type Request struct {
	ID       string    `json:"id"`
	Person   string    `json:"person"` // the name of who is asked
	Actor    string    `json:"actor"`
	Since    time.Time `json:"since"`
	Ends     time.Time `json:"ends"`
	Messages int       `json:"messages"`
	Bytes    int64     `json:"bytes"`
}

// Severing is what cutting somebody off does, or has done.
type Severing struct {
	Who      string     `json:"who"`
	Person   string     `json:"person,omitempty"` // for whom; "": for everybody here
	Done     bool       `json:"done"`             // false: a preview, or
	Undone   bool       `json:"undone,omitempty"` // taken back
	Affected []Affected `json:"affected"`         // who is told to remove them
	At       time.Time  `json:"at,omitzero"`
	By       string     `json:"by,omitempty"`
}

// Affected is one local person who shares something with whom is severed.
type Affected struct {
	Person   string `json:"person"`
	Groups   int    `json:"groups"`   // joined, that they were seen in
	Requests int    `json:"requests"` // open, which are dropped
}

// Decided is what was done with a request.
type Decided struct {
	ID     string `json:"id"`
	Action string `json:"action"`
}

// RequestList is the answer of GET /requests.
type RequestList struct {
	Requests []Request  `json:"requests"`
	Severed  []Severing `json:"severed"`
}

// Door answers for what waits at people's mailboxes. A person is given by name, ""
// is everybody.
type Door interface {
	List(ctx context.Context, person string) (RequestList, error)
	Decide(ctx context.Context, person, id, action string) error
	Sever(ctx context.Context, s Severing) (Severing, error) // previews unless s.Done
	Rejoin(ctx context.Context, s Severing) (Severing, error)
}

// doorCommands are what `sealgate requests` asks:
//
//	GET  /requests?person={name}                         RequestList
//	POST /requests/{id}?person={name}&action={action}    Decided; action is accept or drop
//	POST /sever?who={actor or host}&person={name}&done=1 Severing; a preview without done
//	POST /rejoin?who={actor or host}&person={name}       Severing
func (a *Admin) doorCommands(mux *http.ServeMux, d Door) {
	handle := func(pattern string, do func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := do(r)
			if err != nil {
				a.answer(w, http.StatusBadRequest, Refusal{Error: err.Error()})
				return
			}
			a.answer(w, http.StatusOK, v)
		})
	}
	handle("GET /requests", func(r *http.Request) (any, error) { return d.List(r.Context(), r.FormValue("person")) })
	handle("POST /requests/{id}", func(r *http.Request) (any, error) {
		done := Decided{Action: r.FormValue("action"), ID: r.PathValue("id")}
		return done, d.Decide(r.Context(), r.FormValue("person"), done.ID, done.Action)
	})
	handle("POST /sever", func(r *http.Request) (any, error) {
		s := Severing{Who: r.FormValue("who"), Person: r.FormValue("person"), Done: r.FormValue("done") != "", By: "command"}
		return d.Sever(r.Context(), s)
	})
	handle("POST /rejoin", func(r *http.Request) (any, error) {
		return d.Rejoin(r.Context(), Severing{Who: r.FormValue("who"), Person: r.FormValue("person"), By: "command"})
	})
}
