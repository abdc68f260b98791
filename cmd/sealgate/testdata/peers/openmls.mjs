// A person's MLS client on OpenMLS (core-crypto). Same commands as tsmls.mjs.
// Its credential is a Wire client id: core-crypto knows no other.
// Arguments: actor id, cipher suite number (default 1).
import { create, fetchMessages, fromBase64, messagesOf, publish, toBase64 } from './lib/activity.mjs'
import { cc, client } from './lib/corecrypto.mjs'
import { serve } from './lib/port.mjs'

const [actor, suiteNumber = '1'] = process.argv.slice(2)
let sent
const own = await client(Number(suiteNumber), (bundle) => { sent = bundle })
const group = (conversation) => new cc.ConversationId(new TextEncoder().encode(conversation))
const text = new TextDecoder()
let joined

// core-crypto reads a bare KeyPackage only; others publish it as an MLSMessage. A bare one of
// suite 5 begins as a framed one does: only parsing tells.
function keyPackageOf(bytes) {
  try {
    return new cc.KeyPackage(bytes)
  } catch {
    return new cc.KeyPackage(bytes.subarray(4))
  }
}

// MLSMessage: u16 version, u16 wire format; a Welcome is format 3.
const isWelcome = (bytes) => bytes[2] === 0 && bytes[3] === 3

async function readOne(bytes) {
  if (isWelcome(bytes)) {
    joined = await own.device.transaction((ctx) => ctx.processWelcomeMessage(new cc.Welcome(bytes)))
    return { kind: 'welcome' }
  }
  const result = await own.device.transaction((ctx) => ctx.decryptMessage(joined, bytes))
  if (result.tag !== 'Text') return { kind: 'handshake' }
  return { kind: 'application', text: text.decode(result.inner.plaintext) }
}

const commands = {
  async keyPackage() {
    const made = await own.device.transaction((ctx) => ctx.generateKeyPackage(own.credential))
    return { base64: toBase64(made.serialize()) }
  },

  // publish offers `count` packages in the directory. Their credential is a Wire
  // client's, whatever the actor is.
  async publish({ token, count }) {
    const packages = await own.device.transaction(async (ctx) => {
      const made = []
      while (made.length < count) made.push((await ctx.generateKeyPackage(own.credential)).serialize())
      return made
    })
    return { urls: await publish(actor, token, packages) }
  },

  async invite({ base64, to, conversation }) {
    const id = group(conversation)
    await own.device.transaction(async (ctx) => {
      await ctx.createConversation(id, own.credential)
      await ctx.addClientsToConversation(id, [keyPackageOf(fromBase64(base64))])
    })
    const bytes = sent.welcome.serialize()
    return { activity: create({ actor, to, type: 'Welcome', bytes, conversation }) }
  },

  async write({ to, conversation, text: words }) {
    const bytes = await own.device.transaction((ctx) => ctx.encryptMessage(group(conversation), new TextEncoder().encode(words)))
    return { activity: create({ actor, to, type: 'PrivateMessage', bytes, conversation }) }
  },

  // rekey is a commit without proposals; core-crypto sends them in the clear.
  async rekey({ to, conversation, wire }) {
    if (wire !== 'public') throw new Error('core-crypto sends commits as PublicMessage only')
    await own.device.transaction((ctx) => ctx.updateKeyingMaterial(group(conversation)))
    return { activity: create({ actor, to, type: 'PublicMessage', bytes: sent.commit, conversation }) }
  },

  async read({ token }) {
    const activities = await fetchMessages(await messagesOf(actor), token)
    const read = []
    for (const { id, object } of activities) read.push({ id, ...await readOne(fromBase64(object.content)) })
    return { read }
  },
}

await serve({ actor, suite: Number(suiteNumber) }, commands)
