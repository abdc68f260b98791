package mls

// KeyPackage is what a client publishes to be added to groups (RFC 9420 §10). It was parsed,
// not judged: see Check.
type KeyPackage struct {
	Suite      Suite
	InitKey    []byte
	Leaf       LeafNode
	Extensions List[Extension]
	Signature  []byte

	raw    []byte // all of it, without the frame
	signed []byte // the bytes before Signature
}

func (KeyPackage) decode(r *reader) (k KeyPackage) {
	start := r.rest
	r.version("key_package.version")
	k.Suite = Suite(r.uint16("key_package.cipher_suite"))
	k.InitKey = r.vector("key_package.init_key")
	k.Leaf = k.Leaf.decode(r)
	k.Extensions = readList[Extension](r, "key_package.extensions")
	k.signed = start[:len(start)-len(r.rest)]
	k.Signature = r.vector("key_package.signature")
	k.raw = start[:len(start)-len(r.rest)]
	return k
}

func (k KeyPackage) appendTo(dst []byte) []byte {
	dst = appendUint16(dst, uint16(version10))
	dst = appendUint16(dst, k.Suite)
	dst = appendVector(dst, k.InitKey)
	dst = k.Leaf.appendTo(dst)
	dst = k.Extensions.appendTo(dst)
	return appendVector(dst, k.Signature)
}

// Extension types of draft-ietf-mls-extensions, and the component that took the first's place.
const (
	extensionAppData    uint16 = 0x0006 // app_data_dictionary
	extensionLastResort uint16 = 0x000a
	componentLastResort uint16 = 0x0004
)

// LastResort tells whether the client marked the package as reusable: with the extension
// last_resort, which is empty, or the component of that name in app_data_dictionary
// (draft-ietf-mls-extensions).
func (k *KeyPackage) LastResort() bool {
	for e := range k.Extensions.All() {
		if e.Type == extensionLastResort && len(e.Data) == 0 {
			return true
		}
		if e.Type == extensionAppData && hasComponent(e.Data, componentLastResort) {
			return true
		}
	}
	return false
}

// hasComponent reads an AppDataDictionary. One that does not parse contains nothing: unknown
// extensions must not make a package invalid (RFC 9420 §13.4).
func hasComponent(dictionary []byte, id uint16) bool {
	r := newReader(dictionary)
	components := readList[Extension](&r, "component_data") // u16 and data<V>, as an extension
	if r.finish("app_data_dictionary") != nil {
		return false
	}
	for c := range components.All() {
		if c.Type == id {
			return true
		}
	}
	return false
}
