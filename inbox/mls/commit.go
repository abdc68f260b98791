package mls

// Commit applies proposals and begins a new epoch (RFC 9420 §12.4).
type Commit struct {
	Proposals List[ProposalOrRef]
	HasPath   bool
	Path      UpdatePath // with HasPath
}

// ProposalOrRef is a proposal in a Commit: in full when Ref is nil, else by its ProposalRef.
type ProposalOrRef struct {
	Proposal Proposal
	Ref      []byte
}

// The forms of RFC 9420 §12.4.
const (
	proposalInline    = 1
	proposalReference = 2
)

// UpdatePath renews the committer's keys (RFC 9420 §7.6).
type UpdatePath struct {
	Leaf  LeafNode
	Nodes List[UpdatePathNode]
}

// UpdatePathNode is one node on an UpdatePath (RFC 9420 §7.6).
type UpdatePathNode struct {
	EncryptionKey       []byte
	EncryptedPathSecret List[Ciphertext]
}

func (Commit) decode(r *reader) (c Commit) {
	c.Proposals = readList[ProposalOrRef](r, "commit.proposals")
	if c.HasPath = r.present("commit.path"); c.HasPath {
		c.Path = c.Path.decode(r)
	}
	return c
}

func (c Commit) appendTo(dst []byte) []byte {
	dst = c.Proposals.appendTo(dst)
	if !c.HasPath {
		return append(dst, 0)
	}
	return c.Path.appendTo(append(dst, 1))
}

func (ProposalOrRef) decode(r *reader) (p ProposalOrRef) {
	switch form := r.uint8("commit.proposals.type"); form {
	case proposalInline:
		p.Proposal = p.Proposal.decode(r)
	case proposalReference:
		p.Ref = r.vector("commit.proposals.reference")
	default:
		r.failValue("commit.proposals.type", uint16(form))
	}
	return p
}

func (p ProposalOrRef) appendTo(dst []byte) []byte {
	if p.Ref == nil {
		return p.Proposal.appendTo(append(dst, proposalInline))
	}
	return appendVector(append(dst, proposalReference), p.Ref)
}

func (UpdatePath) decode(r *reader) (p UpdatePath) {
	p.Leaf = p.Leaf.decode(r)
	p.Nodes = readList[UpdatePathNode](r, "update_path.nodes")
	return p
}

func (p UpdatePath) appendTo(dst []byte) []byte {
	return p.Nodes.appendTo(p.Leaf.appendTo(dst))
}

func (UpdatePathNode) decode(r *reader) (n UpdatePathNode) {
	n.EncryptionKey = r.vector("update_path.nodes.encryption_key")
	n.EncryptedPathSecret = readList[Ciphertext](r, "update_path.nodes.encrypted_path_secret")
	return n
}

func (n UpdatePathNode) appendTo(dst []byte) []byte {
	return n.EncryptedPathSecret.appendTo(appendVector(dst, n.EncryptionKey))
}
