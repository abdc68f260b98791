package mls

const version10 = 1 // ProtocolVersion mls10, the only one (RFC 9420 §6)

// WireFormat says which body an MLSMessage carries (RFC 9420 §6).
type WireFormat uint16

// The wire formats of RFC 9420 §6.
const (
	FormatPublicMessage  WireFormat = 1
	FormatPrivateMessage WireFormat = 2
	FormatWelcome        WireFormat = 3
	FormatGroupInfo      WireFormat = 4
	FormatKeyPackage     WireFormat = 5
)

// The kinds of messages policy and metrics speak of.
const (
	KindWelcome     = "welcome"
	KindCommit      = "commit"
	KindProposal    = "proposal"
	KindApplication = "application"
	KindGroupInfo   = "group_info"
	KindKeyPackage  = "key_package"
)

// Message is an MLSMessage, or a KeyPackage that came without that frame. The body named by
// WireFormat is set, the others are nil. All of it borrows from what Parse was given.
type Message struct {
	Framed     bool // false only for a bare KeyPackage
	WireFormat WireFormat
	Public     *PublicMessage
	Private    *PrivateMessage
	Welcome    *Welcome
	GroupInfo  *GroupInfo
	KeyPackage *KeyPackage
}

// Parse reads b as an MLSMessage (RFC 9420 §6) or as a bare KeyPackage (§10), whichever takes
// up all of it. Every error wraps ErrMalformed. The result borrows from b.
//
// A bare KeyPackage begins as a frame does: version 1, then its suite where a frame has the
// wire format. Random keys can even complete a frame (a P-256 package is a PrivateMessage
// about once in ten thousand), so where its first two keys have the lengths its suite asks
// for, the bare reading is tried first. No real frame is lost by that: in suites 1 and 2 the
// header of the second key would be the top byte of an epoch over 2^61, in suite 3 that of
// the first the top byte of a Welcome's suite that is not assigned; in suites 4 and 5 it
// would be a version other than 1.
func Parse(b []byte) (*Message, error) {
	if looksBare(b) {
		if m, err := parseBare(b); err == nil {
			return m, nil
		}
	}
	framed, err := parseFramed(b)
	if err == nil {
		return framed, nil
	}
	bare, bareErr := parseBare(b)
	if bareErr == nil {
		return bare, nil
	}
	if r := newReader(b); looksBare(b) || r.uint16("version") == version10 && r.uint16("wire_format") > uint16(FormatKeyPackage) {
		return nil, bareErr
	}
	return nil, err
}

// looksBare tells whether b begins as a bare KeyPackage of a known suite with keys of that
// suite's length. It allocates nothing when b is a frame.
func looksBare(b []byte) bool {
	r := newReader(b)
	if len(b) < 4 || r.uint16("version") != version10 {
		return false
	}
	size := Suite(r.uint16("cipher_suite")).kemKeySize()
	for range [2]string{"init_key", "encryption_key"} {
		header := appendLength(make([]byte, 0, 4), size)
		if size == 0 || len(r.rest) < len(header)+size || string(r.rest[:len(header)]) != string(header) {
			return false
		}
		r.rest = r.rest[len(header)+size:]
	}
	return true
}

func parseBare(b []byte) (*Message, error) {
	r := newReader(b)
	k := new(KeyPackage)
	*k = k.decode(&r)
	if err := r.finish("key_package"); err != nil {
		return nil, err
	}
	return &Message{WireFormat: FormatKeyPackage, KeyPackage: k}, nil
}

func parseFramed(b []byte) (*Message, error) {
	r := newReader(b)
	m := &Message{Framed: true}
	r.version("version")
	m.WireFormat = WireFormat(r.uint16("wire_format"))
	if r.err == nil {
		m.decodeBody(&r)
	}
	if err := r.finish("message"); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Message) decodeBody(r *reader) {
	switch m.WireFormat {
	case FormatPublicMessage:
		m.Public = new(PublicMessage)
		*m.Public = m.Public.decode(r)
	case FormatPrivateMessage:
		m.Private = new(PrivateMessage)
		*m.Private = m.Private.decode(r)
	case FormatWelcome:
		m.Welcome = new(Welcome)
		*m.Welcome = m.Welcome.decode(r)
	case FormatGroupInfo:
		m.GroupInfo = new(GroupInfo)
		*m.GroupInfo = m.GroupInfo.decode(r)
	case FormatKeyPackage:
		m.KeyPackage = new(KeyPackage)
		*m.KeyPackage = m.KeyPackage.decode(r)
	default:
		r.failValue("wire_format", uint16(m.WireFormat))
	}
}

// AppendTo appends the encoding of m to dst: the bytes Parse was given.
func (m *Message) AppendTo(dst []byte) []byte {
	if m.Framed {
		dst = appendUint16(appendUint16(dst, uint16(version10)), m.WireFormat)
	}
	switch m.WireFormat {
	case FormatPublicMessage:
		return m.Public.appendTo(dst)
	case FormatPrivateMessage:
		return m.Private.appendTo(dst)
	case FormatWelcome:
		return m.Welcome.appendTo(dst)
	case FormatGroupInfo:
		return m.GroupInfo.appendTo(dst)
	default:
		return m.KeyPackage.appendTo(dst)
	}
}

// Kind is one of the Kind constants: what a group's members would call the message.
func (m *Message) Kind() string {
	switch m.WireFormat {
	case FormatPublicMessage:
		return m.Public.ContentType.kind()
	case FormatPrivateMessage:
		return m.Private.ContentType.kind()
	case FormatWelcome:
		return KindWelcome
	case FormatGroupInfo:
		return KindGroupInfo
	default:
		return KindKeyPackage
	}
}

func (c ContentType) kind() string {
	switch c {
	case ContentProposal:
		return KindProposal
	case ContentCommit:
		return KindCommit
	default:
		return KindApplication
	}
}

// Group gives the group's id, borrowed, and its epoch, as the sender claims them. ok is false
// for a Welcome, which hides both, and for a KeyPackage, which has none.
func (m *Message) Group() (id []byte, epoch uint64, ok bool) {
	switch m.WireFormat {
	case FormatPublicMessage:
		return m.Public.GroupID, m.Public.Epoch, true
	case FormatPrivateMessage:
		return m.Private.GroupID, m.Private.Epoch, true
	case FormatGroupInfo:
		return m.GroupInfo.Context.GroupID, m.GroupInfo.Context.Epoch, true
	default:
		return nil, 0, false
	}
}

// WelcomeRefs gives the KeyPackageRefs a Welcome names (RFC 9420 §12.4.3.1), borrowed and in
// its order; nil for any other message. The list is 24 bytes for every ref, whose own wire
// size is at least 3.
func (m *Message) WelcomeRefs() [][]byte {
	if m.Welcome == nil {
		return nil
	}
	refs := make([][]byte, 0, m.Welcome.Secrets.Len())
	for s := range m.Welcome.Secrets.All() {
		refs = append(refs, s.NewMember)
	}
	return refs
}
