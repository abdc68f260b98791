// node vectors-openmls.mjs > ../../../../inbox/mls/testdata/openmls.json
// Every kind of message core-crypto 10.3.0 (OpenMLS) writes, for every suite it has.
import { cc, client } from './lib/corecrypto.mjs'
import { bare, framed, write } from './lib/vectors.mjs'

const vectors = []
for (const suite of [1, 2, 3, 5, 7]) {
  const bundles = []
  const alice = await client(suite, (bundle) => bundles.push(bundle))
  const bob = await client(suite, () => {})
  const within = (who, step) => who.device.transaction(step)
  const add = (label, bytes) => vectors.push(framed(suite, label, bytes))
  const packages = []
  for (const who of [alice, bob]) {
    packages.push(await within(who, async (ctx) => (await ctx.generateKeyPackage(who.credential)).serialize()))
  }
  vectors.push(...packages.map((bytes) => bare(suite, 'bare key package', bytes)))

  const id = new cc.ConversationId(new TextEncoder().encode('group'))
  await within(alice, async (ctx) => {
    await ctx.createConversation(id, alice.credential)
    await ctx.addClientsToConversation(id, [new cc.KeyPackage(packages[1])])
  })
  await within(alice, (ctx) => ctx.updateKeyingMaterial(id))
  const [added, renewed] = bundles
  add('commit with add', added.commit)
  add('welcome', added.welcome.serialize())
  add('group info', added.groupInfo.payload)
  add('commit with path', renewed.commit)
  add('application message', await within(alice, (ctx) => ctx.encryptMessage(id, new TextEncoder().encode('hello'))))
}
write('@wireapp/core-crypto 10.3.0', '', vectors)
process.exit(0)
