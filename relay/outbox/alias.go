package outbox

import "context"

// Alias gives the id of the activity that a person's client posted under an id of
// its own, or ErrNotSent.
func (o *Outbox) Alias(ctx context.Context, account, id string) (string, error) {
	sent, err := o.store.Sent(ctx, aliasName(Sender{Account: account}, id))
	if err != nil {
		return "", err
	}
	return o.activityURL(sent.Names[0]), nil
}
