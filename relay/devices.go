package relay

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
)

// deviceDocument is a signed-in device as its owner sees it.
type deviceDocument struct {
	ID       string    `json:"id"`
	Client   string    `json:"client_id"`
	Host     string    `json:"host"`
	Name     string    `json:"name,omitempty"`
	Scope    string    `json:"scope"`
	Created  time.Time `json:"created"`
	LastUsed string    `json:"last_used"` // a day
	Current  bool      `json:"current"`
}

var errNoDevice = errors.New("relay: no such device")

// devices answers GET and DELETE of /e2ee/users/{name}/devices and …/devices/{id}.
func (r *Relay) devices(work context.Context, ctx *fasthttp.RequestCtx, name string) error {
	caller, err := r.owner(work, ctx, name)
	switch isReading := isRead(ctx.Method()); {
	case !isReading && (err == nil || errors.Is(err, mastodon.ErrScope)):
		return r.signOut(work, ctx, caller)
	case err != nil:
		return err
	}
	return r.listDevices(work, ctx, caller)
}

func (r *Relay) listDevices(work context.Context, ctx *fasthttp.RequestCtx, c mastodon.Caller) error {
	list, err := r.signIn.server.Devices(work, c.Account)
	if err != nil {
		return err
	}
	current := r.thisDevice(work, ctx)
	documents := make([]deviceDocument, 0, len(list))
	for _, d := range list {
		documents = append(documents, deviceDocument{
			ID: d.ID, Client: d.Client.ID, Host: d.Client.Host, Name: d.Client.Name,
			Scope: strings.Join(d.Scopes, " "), Created: d.Created.UTC(),
			LastUsed: d.Used.UTC().Format(time.DateOnly), Current: d.ID == current,
		})
	}
	writeJSON(ctx, fasthttp.StatusOK, map[string]any{"devices": documents})
	return nil
}

// signOut ends the device named in the path, or in ?id=. A device may end itself with any scope;
// others take write.
func (r *Relay) signOut(work context.Context, ctx *fasthttp.RequestCtx, c mastodon.Caller) error {
	id := deviceOf(pathOf(ctx.Request.Header.RequestURI()))
	if id == "" {
		id = string(ctx.QueryArgs().Peek("id"))
	}
	if id != r.thisDevice(work, ctx) || id == "" {
		if err := c.MayWrite(); err != nil {
			return err
		}
	}
	err := r.signIn.server.SignOut(work, c.Account, id)
	if errors.Is(err, oauth.ErrNone) {
		return errNoDevice
	}
	if err != nil {
		return err
	}
	writeEmpty(ctx, fasthttp.StatusNoContent)
	return nil
}

// thisDevice is the id of the device that asks, "" when it shows no token of ours.
func (r *Relay) thisDevice(work context.Context, ctx *fasthttp.RequestCtx) string {
	token, _ := r.shown(ctx)
	id, err := r.signIn.server.Device(work, token)
	if err != nil {
		return ""
	}
	return id
}

// deviceOf is what follows /devices/ in a path.
func deviceOf(path []byte) string {
	_, id, _ := strings.Cut(string(path), "/devices/")
	return unescaped(id)
}
