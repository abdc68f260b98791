package inbox

// Wake wakes everybody who waits for one of owners, as a kept message does.
func (in *Inbox) Wake(owners ...Owner) {
	for _, o := range owners {
		in.hub.wake(o, nil)
	}
}
