package configs

// Keys returns the full name of every key, in the order of the file.
func Keys() []string {
	var c Config
	var keys []string
	for _, l := range leaves(&c) {
		keys = append(keys, l.key)
	}
	return keys
}
