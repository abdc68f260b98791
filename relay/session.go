package relay

// SessionCookie is the gateway's own cookie for pages on the instance's origin, and what the names of
// its other cookies begin with. The instance never sees them: they are removed from what is forwarded.
const SessionCookie = "__Host-sealgate"
