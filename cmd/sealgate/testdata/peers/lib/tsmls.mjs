// A device on ts-mls. Same methods as lib/openmls.mjs:
//   keyPackage(identity) → bytes      create(group, identity)       join(welcome) → group
//   epoch(group) → number             members(group) → [identity]   secret(group) → hex
//   commit(group, change, send) → Welcome or undefined: change is {add: package}, {remove: identity} or {};
//     send gets the commit and must have it accepted, or throw: then nothing has changed. With {sealed: true}
//     it is a PrivateMessage, else a PublicMessage, which is all that OpenMLS takes here
//   seal(group, text) → bytes         open(group, bytes) → {text} or {isMember}
// A group is named by its id as text.
import { randomUUID } from 'node:crypto'
import {
  acceptAll, createApplicationMessage, createCommit, createGroup, decodeMlsMessage, defaultCapabilities,
  emptyPskIndex, encodeMlsMessage, generateKeyPackageWithKey, getCiphersuiteFromName, getCiphersuiteImpl,
  joinGroup, mlsExporter, processMessage,
} from 'ts-mls'

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const framed = (wireformat, body) => encodeMlsMessage({ version: 'mls10', wireformat, ...body })
const identityOf = (leaf) => decoder.decode(leaf.credential.identity)

export async function tsmls(suiteName = 'MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519') {
  const suite = await getCiphersuiteImpl(getCiphersuiteFromName(suiteName))
  const signer = await suite.signature.keygen()
  const packages = []
  const groups = new Map()

  function newPackage(identity) {
    const now = BigInt(Math.floor(Date.now() / 1000))
    return generateKeyPackageWithKey(
      { credentialType: 'basic', identity: encoder.encode(identity) },
      defaultCapabilities(),
      { notBefore: now - 1800n, notAfter: now + 80n * 86400n }, // OpenMLS takes 84 days at most
      [], signer, suite,
    )
  }

  // openWelcome finds the package that the Welcome is for: only one of them opens it.
  async function openWelcome(welcome) {
    let failure = new Error('a Welcome without a package')
    for (const made of packages) {
      try {
        return await joinGroup(welcome, made.publicPackage, made.privatePackage, emptyPskIndex, suite)
      } catch (err) {
        failure = err
      }
    }
    throw failure
  }

  const leaves = (group) => groups.get(group).ratchetTree
    .map((node, i) => ({ ...node, index: i / 2 }))
    .filter(({ nodeType }) => nodeType === 'leaf')

  function proposals(group, { add, remove }) {
    if (add) return [{ proposalType: 'add', add: { keyPackage: decodeMlsMessage(add, 0)[0].keyPackage } }]
    if (!remove) return []
    const { index } = leaves(group).find(({ leaf }) => identityOf(leaf) === remove)
    return [{ proposalType: 'remove', remove: { removed: index } }]
  }

  return {
    // In a group with OpenMLS everybody is named as Wire's clients are: it knows no other credential.
    wireIdentity: `${randomUUID()}:${randomUUID().replaceAll('-', '').slice(0, 16)}@example.org`,

    async keyPackage(identity) {
      const made = await newPackage(identity)
      packages.push(made)
      return framed('mls_key_package', { keyPackage: made.publicPackage })
    },

    async create(group, identity) {
      const own = await newPackage(identity)
      groups.set(group, await createGroup(encoder.encode(group), own.publicPackage, own.privatePackage, [], suite))
    },

    async join(bytes) {
      const state = await openWelcome(decodeMlsMessage(bytes, 0)[0].welcome)
      const group = decoder.decode(state.groupContext.groupId)
      groups.set(group, state)
      return group
    },

    epoch: async (group) => Number(groups.get(group).groupContext.epoch),
    members: async (group) => leaves(group).map(({ leaf }) => identityOf(leaf)),

    async secret(group) {
      const { keySchedule } = groups.get(group)
      return Buffer.from(await mlsExporter(keySchedule.exporterSecret, 'exporter', new Uint8Array(), 32, suite)).toString('hex')
    },

    async commit(group, change, send) {
      const made = await createCommit(
        { state: groups.get(group), cipherSuite: suite },
        { extraProposals: proposals(group, change), ratchetTreeExtension: true, wireAsPublicMessage: !change.sealed },
      )
      await send(encodeMlsMessage(made.commit))
      groups.set(group, made.newState)
      return made.welcome && framed('mls_welcome', { welcome: made.welcome })
    },

    async seal(group, text) {
      const made = await createApplicationMessage(groups.get(group), encoder.encode(text), suite)
      groups.set(group, made.newState)
      return framed('mls_private_message', { privateMessage: made.privateMessage })
    },

    async open(group, bytes) {
      const result = await processMessage(decodeMlsMessage(bytes, 0)[0], groups.get(group), emptyPskIndex, acceptAll, suite)
      groups.set(group, result.newState)
      if (result.kind === 'applicationMessage') return { text: decoder.decode(result.message) }
      return { isMember: result.newState.groupActiveState.kind === 'active' }
    },
  }
}
