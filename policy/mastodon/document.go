package mastodon

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// maxTarget bounds the path and query of a document, in bytes.
const maxTarget = 2048

// Document asks the instance for an ActivityPub document of its own: target is path and query. No
// token goes along; sign, which may be nil, signs a second request when the first is answered 401.
// ErrNoPerson when there is no such document; ErrUnavailable.
func (i *Instance) Document(ctx context.Context, target string, sign func(*http.Request) error) ([]byte, error) {
	if !strings.HasPrefix(target, "/") || len(target) > maxTarget {
		return nil, ErrNoPerson
	}
	reply, err := i.upstream.document(ctx, target, nil)
	if err == nil && reply.status == http.StatusUnauthorized && sign != nil {
		reply, err = i.upstream.document(ctx, target, sign)
	}
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

func (u *upstream) document(ctx context.Context, target string, sign func(*http.Request) error) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.base+target, http.NoBody)
	if err != nil {
		return answer{status: http.StatusNotFound}, nil //nolint:nilerr // what cannot be asked for does not exist
	}
	req.Host = u.domain
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("User-Agent", "Sealgate")
	req.Header.Set("Accept", activityJSON)
	if sign != nil {
		if err := sign(req); err != nil {
			return answer{}, fmt.Errorf("%w: sign a request: %w", ErrUnavailable, err)
		}
	}
	return u.send(req, maxAnswer)
}
