package relay

import (
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay/intake"
)

// reason says in one word why something was refused, for the metrics.
type reason string

// reasons by status. A token's own are told apart by reasonOf.
var reasons = map[int]reason{
	fasthttp.StatusBadRequest:            "malformed",
	fasthttp.StatusUnauthorized:          "signature",
	fasthttp.StatusForbidden:             "forbidden",
	fasthttp.StatusNotFound:              "not_found",
	fasthttp.StatusMethodNotAllowed:      "method",
	fasthttp.StatusRequestTimeout:        "limit",
	fasthttp.StatusConflict:              "stale_commit",
	fasthttp.StatusRequestEntityTooLarge: "size",
	fasthttp.StatusUnsupportedMediaType:  "coding",
	fasthttp.StatusTooManyRequests:       "limit",
	fasthttp.StatusNotImplemented:        "not_mls",
	fasthttp.StatusBadGateway:            "elsewhere",
	fasthttp.StatusServiceUnavailable:    "unavailable",
}

// reasonOf is why an error became this status.
func reasonOf(err error, status int) reason {
	switch {
	case errors.Is(err, mastodon.ErrScope):
		return "scope"
	case errors.Is(err, errNoToken), errors.Is(err, mastodon.ErrToken):
		return "token"
	case errors.Is(err, errForeignPage):
		return "foreign_page"
	case errors.Is(err, intake.ErrRefused):
		return "policy"
	}
	return reasons[status]
}
