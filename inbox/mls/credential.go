package mls

// CredentialType says how a credential names its client (RFC 9420 §5.3).
type CredentialType uint16

// The credentials of RFC 9420 §5.3. Others have no length of their own on the wire, so that
// a message with one cannot be read.
const (
	CredentialBasic CredentialType = 1
	CredentialX509  CredentialType = 2
)

// Credential is whom a leaf says it belongs to (RFC 9420 §5.3).
type Credential struct {
	Type         CredentialType
	Identity     []byte            // with CredentialBasic; in ActivityPub the actor's id
	Certificates List[Certificate] // with CredentialX509, the client's own first
}

// Certificate is a DER certificate, not parsed.
type Certificate []byte

func (Credential) decode(r *reader) (c Credential) {
	c.Type = CredentialType(r.uint16("credential.credential_type"))
	switch {
	case r.err != nil:
	case c.Type == CredentialBasic:
		c.Identity = r.vector("credential.identity")
	case c.Type == CredentialX509:
		c.Certificates = readList[Certificate](r, "credential.certificates")
	default:
		r.failValue("credential.credential_type", uint16(c.Type))
	}
	return c
}

func (c Credential) appendTo(dst []byte) []byte {
	dst = appendUint16(dst, c.Type)
	if c.Type == CredentialX509 {
		return c.Certificates.appendTo(dst)
	}
	return appendVector(dst, c.Identity)
}

func (Certificate) decode(r *reader) Certificate { return r.vector("certificate.cert_data") }

func (c Certificate) appendTo(dst []byte) []byte { return appendVector(dst, c) }
