// A person's MLS device without a connection of its own: the test carries what it makes.
// Arguments: tsmls or openmls, actor id, cipher suite (default: the one every peer knows).
import { create, fetchMessages, fromBase64, messagesOf, publish, toBase64 } from './lib/activity.mjs'
import { header, WELCOME } from './lib/mlsmessage.mjs'
import { serve } from './lib/port.mjs'

const [library, actor, suite] = process.argv.slice(2)
const { [library]: make } = await import(`./lib/${library}.mjs`)
const device = await make(suite)
const accepted = async () => {}
let joined

async function readOne(bytes) {
  if (header(bytes).format === WELCOME) {
    joined = await device.join(bytes)
    return { kind: 'welcome' }
  }
  const { text } = await device.open(joined, bytes)
  return text === undefined ? { kind: 'handshake' } : { kind: 'application', text }
}

const commands = {
  keyPackage: async () => ({ base64: toBase64(await device.keyPackage(actor)) }),

  // publish offers `count` packages in the directory.
  async publish({ token, count }) {
    const packages = []
    while (packages.length < count) packages.push(await device.keyPackage(actor))
    return { urls: await publish(actor, token, packages) }
  },

  // invite makes a group with the owner of a KeyPackage and gives the Welcome.
  async invite({ base64, to, conversation }) {
    await device.create(conversation, actor)
    const bytes = await device.commit(conversation, { add: fromBase64(base64) }, accepted)
    return { activity: create({ actor, to, type: 'Welcome', bytes, conversation }) }
  },

  async write({ to, conversation, text }) {
    const bytes = await device.seal(conversation, text)
    return { activity: create({ actor, to, type: 'PrivateMessage', bytes, conversation }) }
  },

  // rekey is a commit without proposals, in the clear or sealed.
  async rekey({ to, conversation, wire }) {
    let bytes
    await device.commit(conversation, { sealed: wire === 'private' }, async (commit) => { bytes = commit })
    return { activity: create({ actor, to, type: wire === 'public' ? 'PublicMessage' : 'PrivateMessage', bytes, conversation }) }
  },

  // read fetches the owner's messages as a client does and opens them in order.
  async read({ token }) {
    const read = []
    for (const { id, object } of await fetchMessages(await messagesOf(actor), token)) read.push({ id, ...await readOne(fromBase64(object.content)) })
    return { read }
  },
}

await serve({ actor, suite }, commands)
