package policy

import "context"

// NewPool returns the way into a pool.
func NewPool(verifiers, queue int) func(context.Context, func() error) error {
	return newPool(verifiers, queue).known.do
}

// NewLanes returns the two ways into a pool.
func NewLanes(verifiers, queue int) (known, strangers func(context.Context, func() error) error) {
	p := newPool(verifiers, queue)
	return p.known.do, p.strangers.do
}
