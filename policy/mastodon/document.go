package mastodon

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxTarget bounds the path and query of a document, in bytes.
const maxTarget = 2048

// Document asks the instance for an ActivityPub document of its own: target is path and query. No
// token goes along; sign, which may be nil, signs a second request when the first is answered 401 or 403.
// ErrNoPerson when there is no such document; ErrUnavailable.
func (i *Instance) Document(ctx context.Context, target string, sign func(*http.Request) error) ([]byte, error) {
	if _, err := url.Parse(i.upstream.base + target); err != nil || !strings.HasPrefix(target, "/") || len(target) > maxTarget {
		return nil, ErrNoPerson // what cannot be asked for does not exist
	}
	reply, err := i.upstream.askOpenly(ctx, question{path: target, accept: activityJSON, sign: sign})
	switch {
	case err != nil:
		return nil, err
	case reply.status == http.StatusOK:
		return reply.body, nil
	case reply.status < http.StatusInternalServerError:
		return nil, fmt.Errorf("%w: the instance answers %d", ErrNoPerson, reply.status)
	}
	return nil, fmt.Errorf("%w: it answers %d", ErrUnavailable, reply.status)
}
