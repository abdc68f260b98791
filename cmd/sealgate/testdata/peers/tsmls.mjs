// A person's MLS client on ts-mls. The identity is the actor's id.
// Arguments: actor id, cipher suite name (default: the one every peer knows).
import {
  acceptAll, createApplicationMessage, createCommit, createGroup, decodeMlsMessage, defaultCapabilities,
  emptyPskIndex, encodeMlsMessage, generateKeyPackageWithKey, getCiphersuiteFromName, getCiphersuiteImpl,
  joinGroup, processMessage,
} from 'ts-mls'
import { create, fetchMessages, fromBase64, messagesOf, publish, toBase64 } from './lib/activity.mjs'
import { serve } from './lib/port.mjs'

const [actor, suiteName = 'MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519'] = process.argv.slice(2)
const suite = await getCiphersuiteImpl(getCiphersuiteFromName(suiteName))
const framed = (wireformat, body) => encodeMlsMessage({ version: 'mls10', wireformat, ...body })
const text = new TextDecoder()

const now = BigInt(Math.floor(Date.now() / 1000))
const signer = await suite.signature.keygen()
const packages = []
// OpenMLS refuses leaves that last longer than 84 days and an hour.
async function newPackage() {
  const made = await generateKeyPackageWithKey(
    { credentialType: 'basic', identity: new TextEncoder().encode(actor) },
    defaultCapabilities(),
    { notBefore: now - 1800n, notAfter: now + 80n * 86400n },
    [],
    signer,
    suite,
  )
  packages.push(made)
  return made
}
const own = await newPackage()
const framedPackage = (made) => framed('mls_key_package', { keyPackage: made.publicPackage })
let group

// join finds the package that the Welcome is for: only one of them opens it.
async function join(welcome) {
  for (const made of packages) {
    try {
      return await joinGroup(welcome, made.publicPackage, made.privatePackage, emptyPskIndex, suite)
    } catch (err) {
      if (made === packages.at(-1)) throw err
    }
  }
}

async function readOne(bytes) {
  const [message] = decodeMlsMessage(bytes, 0) ?? []
  switch (message?.wireformat) {
    case 'mls_welcome':
      group = await join(message.welcome)
      return { kind: 'welcome' }
    case 'mls_private_message':
    case 'mls_public_message': {
      const result = await processMessage(message, group, emptyPskIndex, acceptAll, suite)
      group = result.newState
      if (result.kind !== 'applicationMessage') return { kind: 'handshake' }
      return { kind: 'application', text: text.decode(result.message) }
    }
    default:
      throw new Error(`not an MLS message for a member: ${message?.wireformat}`)
  }
}

const commands = {
  keyPackage: () => ({ base64: toBase64(framedPackage(own)) }),

  // publish offers `count` packages in the directory.
  async publish({ token, count }) {
    while (packages.length < count) await newPackage()
    return { urls: await publish(actor, token, packages.map(framedPackage)) }
  },

  // invite makes a group with the owner of a KeyPackage and gives the Welcome.
  async invite({ base64, to, conversation }) {
    const [message] = decodeMlsMessage(fromBase64(base64), 0) ?? []
    if (message?.wireformat !== 'mls_key_package') throw new Error('not a framed KeyPackage')
    const id = new TextEncoder().encode(conversation)
    group = await createGroup(id, own.publicPackage, own.privatePackage, [], suite)
    const add = { proposalType: 'add', add: { keyPackage: message.keyPackage } }
    const { newState, welcome } = await createCommit(
      { state: group, cipherSuite: suite },
      { extraProposals: [add], ratchetTreeExtension: true },
    )
    group = newState
    const bytes = framed('mls_welcome', { welcome })
    return { activity: create({ actor, to, type: 'Welcome', bytes, conversation }) }
  },

  async write({ to, conversation, text: words }) {
    const made = await createApplicationMessage(group, new TextEncoder().encode(words), suite)
    group = made.newState
    const bytes = framed('mls_private_message', { privateMessage: made.privateMessage })
    return { activity: create({ actor, to, type: 'PrivateMessage', bytes, conversation }) }
  },

  // rekey is a commit without proposals, in the clear or sealed.
  async rekey({ to, conversation, wire }) {
    const made = await createCommit({ state: group, cipherSuite: suite }, { wireAsPublicMessage: wire === 'public' })
    group = made.newState
    const type = wire === 'public' ? 'PublicMessage' : 'PrivateMessage'
    return { activity: create({ actor, to, type, bytes: encodeMlsMessage(made.commit), conversation }) }
  },

  // read fetches the owner's messages as a client does and opens them in order.
  async read({ token }) {
    const activities = await fetchMessages(await messagesOf(actor), token)
    const read = []
    for (const { id, object } of activities) read.push({ id, ...await readOne(fromBase64(object.content)) })
    return { read }
  },
}

await serve({ actor, suite: suiteName }, commands)
