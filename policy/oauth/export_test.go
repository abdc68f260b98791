package oauth

// ChallengeOf is the S256 of a verifier.
func ChallengeOf(verifier string) string { return challengeOf(verifier) }
