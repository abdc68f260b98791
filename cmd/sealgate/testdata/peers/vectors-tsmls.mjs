// node vectors-tsmls.mjs > ../../../../inbox/mls/testdata/ts-mls.json
// Every kind of message ts-mls writes, for every suite of RFC 9420.
import {
  createApplicationMessage, createCommit, createGroup, createGroupInfoWithExternalPubAndRatchetTree, createProposal,
  ciphersuites, defaultCapabilities, defaultLifetime, encodeMlsMessage, generateKeyPackage, getCiphersuiteFromName,
  getCiphersuiteImpl,
} from 'ts-mls'
import { encodeKeyPackage } from 'ts-mls/keyPackage.js'
import { bare, framed, hex, write } from './lib/vectors.mjs'

const identity = 'https://social.example/users/alice'
const vectors = []
const frame = (wireformat, body) => encodeMlsMessage({ version: 'mls10', wireformat, ...body })
const make = (suite, name, lifetime = defaultLifetime, extensions = []) => generateKeyPackage(
  { credentialType: 'basic', identity: new TextEncoder().encode(name) }, defaultCapabilities(), lifetime, extensions, suite)

for (const [name, number] of Object.entries(ciphersuites).filter(([, n]) => n <= 7)) {
  const suite = await getCiphersuiteImpl(getCiphersuiteFromName(name))
  const add = (label, bytes) => vectors.push(framed(number, label, bytes))
  const alice = await make(suite, identity)
  const bob = await make(suite, 'https://other.example/users/bob')
  add('key package', frame('mls_key_package', { keyPackage: alice.publicPackage }))
  vectors.push(bare(number, 'bare key package', encodeKeyPackage(alice.publicPackage)))
  const lastResort = await make(suite, identity, { notBefore: 1700000000n, notAfter: 1730000000n },
    [{ extensionType: 0x000a, extensionData: new Uint8Array() }])
  vectors.push(bare(number, 'bare last resort key package', encodeKeyPackage(lastResort.publicPackage)))

  let group = await createGroup(new TextEncoder().encode('group'), alice.publicPackage, alice.privatePackage, [], suite)
  const added = await createCommit({ state: group, cipherSuite: suite }, {
    wireAsPublicMessage: true,
    extraProposals: [{ proposalType: 'add', add: { keyPackage: bob.publicPackage } }],
    ratchetTreeExtension: true,
  })
  add('commit with add in the clear', encodeMlsMessage(added.commit))
  add('welcome', frame('mls_welcome', { welcome: added.welcome }))
  group = added.newState
  const sealed = await createCommit({ state: group, cipherSuite: suite })
  add('sealed commit with path', encodeMlsMessage(sealed.commit))
  group = sealed.newState
  const info = await createGroupInfoWithExternalPubAndRatchetTree(group, [], suite)
  add('group info', frame('mls_group_info', { groupInfo: info }))
  const remove = { proposalType: 'remove', remove: { removed: 1 } }
  add('remove proposal in the clear', encodeMlsMessage((await createProposal(group, true, remove, suite)).message))
  add('sealed remove proposal', encodeMlsMessage((await createProposal(group, false, remove, suite)).message))
  const words = await createApplicationMessage(group, new TextEncoder().encode('hello'), suite, new Uint8Array([1, 2, 3]))
  add('application message with authenticated data', frame('mls_private_message', { privateMessage: words.privateMessage }))
}
write('ts-mls 1.6.4', hex(new TextEncoder().encode(identity)), vectors)
