package mastodon

import (
	"context"
	"fmt"

	"github.com/sealgate/sealgate/policy/turn"
)

// once runs ask for all who want the same thing at the same time. It does not
// die with the first of them: each caller waits by its own context, the question
// by its own timeout.
func once[T any](ctx context.Context, i *Instance, key string, ask func(context.Context) (T, error)) (T, error) {
	result := i.asking.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
		defer cancel()
		return ask(ctx)
	})
	var none T
	turn.GiveUp(ctx)
	select {
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	case r := <-result:
		if r.Err != nil {
			return none, r.Err
		}
		v, ok := r.Val.(T)
		if !ok {
			panic("bug: two kinds of question share the key " + key)
		}
		return v, nil
	}
}
