package policy

import "context"

// NewPool returns the way into a pool.
func NewPool(verifiers, queue int) func(context.Context, func() error) error {
	return newPool(verifiers, queue).do
}
