package outbox

// ForgetBodies has what was sent read from the store.
func (o *Outbox) ForgetBodies() { o.bodies.InvalidateAll() }
