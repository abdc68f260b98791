package mls

// Welcome invites clients into a group (RFC 9420 §12.4.3.1). The group is inside the
// ciphertext; who is meant is not.
type Welcome struct {
	Suite              Suite
	Secrets            List[EncryptedGroupSecrets]
	EncryptedGroupInfo []byte
}

// EncryptedGroupSecrets is the part of a Welcome for one client.
type EncryptedGroupSecrets struct {
	NewMember []byte // the KeyPackageRef of the package it consumes
	Encrypted Ciphertext
}

// Ciphertext is an HPKECiphertext (RFC 9420 §7.6).
type Ciphertext struct{ KEMOutput, Ciphertext []byte }

func (Welcome) decode(r *reader) (w Welcome) {
	w.Suite = Suite(r.uint16("welcome.cipher_suite"))
	w.Secrets = readList[EncryptedGroupSecrets](r, "welcome.secrets")
	w.EncryptedGroupInfo = r.vector("welcome.encrypted_group_info")
	return w
}

func (w Welcome) appendTo(dst []byte) []byte {
	dst = appendUint16(dst, w.Suite)
	dst = w.Secrets.appendTo(dst)
	return appendVector(dst, w.EncryptedGroupInfo)
}

func (EncryptedGroupSecrets) decode(r *reader) (s EncryptedGroupSecrets) {
	s.NewMember = r.vector("welcome.secrets.new_member")
	s.Encrypted = s.Encrypted.decode(r)
	return s
}

func (s EncryptedGroupSecrets) appendTo(dst []byte) []byte {
	return s.Encrypted.appendTo(appendVector(dst, s.NewMember))
}

func (Ciphertext) decode(r *reader) (c Ciphertext) {
	c.KEMOutput = r.vector("kem_output")
	c.Ciphertext = r.vector("ciphertext")
	return c
}

func (c Ciphertext) appendTo(dst []byte) []byte {
	return appendVector(appendVector(dst, c.KEMOutput), c.Ciphertext)
}
