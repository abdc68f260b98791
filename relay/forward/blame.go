package forward

import "errors"

// givenUp is a failure after the reply had begun.
type givenUp struct {
	status int
	err    error
}

func (g *givenUp) Error() string { return "reply given up: " + g.err.Error() }
func (g *givenUp) Unwrap() error { return g.err }

// failed says what went wrong, after the connection is given up.
func (h *hop) failed(err error) error {
	fault := h.fault.Load() // before lose makes the upload fail
	slow := h.l != nil && h.l.g.readOut.Load()
	h.lose()
	switch {
	case fault:
		err = h.upErr
	case !h.x.left():
		err = h.blame(err, slow)
	}
	if h.status != 0 {
		return &givenUp{h.status, err}
	}
	return err
}

// blame turns a reading error of the link into a failure; others are the client's.
func (h *hop) blame(err error, slow bool) error {
	var f *failure
	var c *clientError
	switch {
	case errors.As(err, &f), errors.As(err, &c):
		return err
	case slow && h.status == 0:
		return &failure{kindTimeout, ErrSlow}
	case slow:
		return &failure{kindStalled, err}
	case errors.Is(err, errHeadTooLarge), errors.Is(err, errTooManyHeads):
		return &failure{kindTooLarge, err}
	case errors.Is(err, errMalformed), errors.Is(err, errChunk), errors.Is(err, errSwitch):
		return &failure{kindMalformed, err}
	case h.headSeen:
		return &failure{kindTruncated, err}
	}
	return &failure{kindClosed, err}
}

// clientError is a failure to reach the client.
type clientError struct{ err error }

func (c *clientError) Error() string { return "client: " + c.err.Error() }
func (c *clientError) Unwrap() error { return c.err }

func toClient(err error) error {
	if err == nil {
		return nil
	}
	return &clientError{err}
}
