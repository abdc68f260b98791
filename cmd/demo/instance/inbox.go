package instance

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
)

// Received is a POST to an inbox as it arrived.
type Received struct {
	Target string      // Target is path and query as they were sent.
	Header http.Header // Header has canonical names; Host is not in it.
	Body   []byte
}

// Received returns what the inboxes were given and answered 202, oldest first.
func (i *Instance) Received() []Received {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.received)
}

// serveInbox answers 202 and an empty body to what is signed, and to an
// unsigned Delete, as Mastodon does for actors it does not know.
func (i *Instance) serveInbox(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if r.Header.Get("Signature") == "" && typeOf(body) != "Delete" {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "Request not signed"})
		return
	}
	i.mu.Lock()
	i.received = append(i.received, Received{Target: r.RequestURI, Header: r.Header.Clone(), Body: body})
	i.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

// typeOf returns the activity's type, or "" for anything else.
func typeOf(body []byte) string {
	var activity struct{ Type string }
	if json.Unmarshal(body, &activity) != nil {
		return ""
	}
	return activity.Type
}
