package relay

// SessionCookie is the gateway's own cookie for pages on the instance's origin. The instance never
// sees it: it is removed from what is forwarded.
const SessionCookie = "__Host-sealgate"
