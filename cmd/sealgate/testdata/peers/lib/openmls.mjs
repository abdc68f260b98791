// A device on OpenMLS (core-crypto). Its methods are described in lib/tsmls.mjs.
// core-crypto names its client itself, as Wire does, and reads only groups in which everybody is named so.
import { cc, client } from './corecrypto.mjs'

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const idOf = (group) => new cc.ConversationId(encoder.encode(group))
const identityOf = (id) => decoder.decode(id.copyBytes())

// core-crypto reads a bare KeyPackage only; others publish it as an MLSMessage. A bare one of
// suite 5 begins as a framed one does: only parsing tells.
function keyPackageOf(bytes) {
  try {
    return new cc.KeyPackage(bytes)
  } catch {
    return new cc.KeyPackage(bytes.subarray(4))
  }
}

export async function openmls(suite = 1) {
  let send
  let welcome
  const own = await client(Number(suite), async (bundle) => {
    await send(bundle.commit)
    welcome = bundle.welcome?.serialize()
  })
  const inTransaction = (work) => own.device.transaction(work)
  const clients = (ctx, group) => ctx.getClientIds(idOf(group))

  async function change(ctx, group, { add, remove, sealed }) {
    if (sealed) throw new Error('core-crypto sends commits as PublicMessage only')
    if (add) return ctx.addClientsToConversation(idOf(group), [keyPackageOf(add)])
    if (!remove) return ctx.updateKeyingMaterial(idOf(group))
    const gone = (await clients(ctx, group)).filter((id) => identityOf(id) === remove)
    return ctx.removeClientsFromConversation(idOf(group), gone)
  }

  return {
    wireIdentity: identityOf(own.id),
    keyPackage: () => inTransaction(async (ctx) => (await ctx.generateKeyPackage(own.credential)).serialize()),
    create: (group) => inTransaction((ctx) => ctx.createConversation(idOf(group), own.credential)),
    join: (bytes) => inTransaction(async (ctx) =>
      decoder.decode((await ctx.processWelcomeMessage(new cc.Welcome(bytes))).copyBytes())),
    epoch: (group) => inTransaction(async (ctx) => Number(await ctx.conversationEpoch(idOf(group)))),
    members: (group) => inTransaction(async (ctx) => (await clients(ctx, group)).map(identityOf)),
    secret: (group) => inTransaction(async (ctx) =>
      Buffer.from((await ctx.exportSecretKey(idOf(group), 32)).copyBytes()).toString('hex')),

    // commit fails with what send threw: core-crypto knows one error of a transport only, and aborts
    // the process on another.
    async commit(group, what, sendCommit) {
      let refused
      welcome = undefined
      send = (bytes) => sendCommit(bytes).catch((err) => {
        refused = err
        throw cc.MlsTransportError.MessageRejected.new({ reason: String(err) })
      })
      await inTransaction((ctx) => change(ctx, group, what)).catch((err) => { throw refused ?? err })
      return welcome
    },

    seal: (group, text) => inTransaction((ctx) => ctx.encryptMessage(idOf(group), encoder.encode(text))),

    async open(group, bytes) {
      const { tag, inner } = await inTransaction((ctx) => ctx.decryptMessage(idOf(group), bytes))
      return tag === 'Text' ? { text: decoder.decode(inner.plaintext) } : { isMember: inner.isActive ?? true }
    },
  }
}
