package actorkey

// Remembered is how many answers the cache holds.
func (k *Keys) Remembered() int {
	k.cache.entries.CleanUp()
	return k.cache.entries.EstimatedSize()
}
