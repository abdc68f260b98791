package edge

// ListenerOf is for tests, which cannot give up the descriptors that Inherit takes.
var ListenerOf = listenerOf
