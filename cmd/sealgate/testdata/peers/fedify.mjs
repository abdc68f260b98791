// A Fedify server with one actor, alice. It signs with Fedify's own code.
import { createServer } from 'node:http'
import { once } from 'node:events'
import { getRequestListener } from '@hono/node-server'
import { createFederation, generateCryptoKeyPair, MemoryKvStore, signRequest } from '@fedify/fedify'
import { Create, isActor, Mention, Note, Person, PUBLIC_COLLECTION } from '@fedify/vocab'
import { Temporal } from '@js-temporal/polyfill'
import { serve } from './lib/port.mjs'

const SPECS = { rfc9421: 'rfc9421', cavage: 'draft-cavage-http-signatures-12' }
const pair = await generateCryptoKeyPair('RSASSA-PKCS1-v1_5')
const received = []

// snac answers 202 to an RFC 9421 signature and then drops what it carries, with
// or without a gateway: notes are knocked with cavage first.
const federation = createFederation({ kv: new MemoryKvStore(), allowPrivateAddress: true, firstKnock: SPECS.cavage })
federation
  .setActorDispatcher('/users/{identifier}', async (ctx, identifier) => {
    if (identifier !== 'alice') return null
    const keys = await ctx.getActorKeyPairs(identifier)
    return new Person({
      id: ctx.getActorUri(identifier),
      preferredUsername: identifier,
      name: 'Alice',
      inbox: ctx.getInboxUri(identifier),
      publicKey: keys[0].cryptographicKey,
      assertionMethods: keys.map((key) => key.multikey),
    })
  })
  .setKeyPairsDispatcher(async () => [pair])
federation
  .setInboxListeners('/users/{identifier}/inbox', '/inbox')
  .on(Create, async (ctx, create) => {
    const object = await create.getObject(ctx)
    received.push({ actor: create.actorId?.href, content: String(object?.content ?? '') })
  })

const server = createServer(getRequestListener((request) => federation.fetch(request, { contextData: undefined })))
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const origin = `http://127.0.0.1:${server.address().port}`
const context = () => federation.createContext(new URL(origin), undefined)
const actor = `${origin}/users/alice`

const commands = {
  // deliver POSTs `body` signed as `scheme`; `send` is what really goes out
  // when it shall differ from what was signed.
  async deliver({ inbox, body, scheme, send, key, headers }) {
    const request = new Request(inbox, {
      method: 'POST',
      headers: { 'content-type': 'application/activity+json', ...headers },
      body,
    })
    const signed = await signRequest(request, pair.privateKey, new URL(key ?? `${actor}#main-key`), { spec: SPECS[scheme] })
    const answer = await fetch(signed.url, {
      method: 'POST',
      headers: signed.headers,
      body: send ?? await signed.text(),
      redirect: 'manual',
    })
    return { status: answer.status, body: await answer.text() }
  },

  // note sends an ordinary mention with sendActivity: Fedify signs twice over
  // (RFC 9421, then cavage) until the other side is content.
  async note({ to, name, content }) {
    const ctx = context()
    const recipient = await ctx.lookupObject(to)
    if (!isActor(recipient)) throw new Error(`${to} is not an actor to Fedify`)
    const id = new URL(`${origin}/notes/${crypto.randomUUID()}`)
    await ctx.sendActivity({ identifier: 'alice' }, recipient, new Create({
      id: new URL('#create', id),
      actor: new URL(actor),
      to: recipient.id,
      cc: PUBLIC_COLLECTION,
      object: new Note({
        id,
        attribution: new URL(actor),
        to: recipient.id,
        cc: PUBLIC_COLLECTION,
        content,
        tags: [new Mention({ href: recipient.id, name })],
        published: Temporal.Now.instant(),
      }),
    }), { immediate: true })
    return { id: id.href }
  },

  // read GETs a document, signed.
  async read({ url, scheme }) {
    const request = new Request(url, { headers: { accept: 'application/activity+json' } })
    const signed = await signRequest(request, pair.privateKey, new URL(`${actor}#main-key`), { spec: SPECS[scheme] })
    const answer = await fetch(signed)
    return { status: answer.status, body: await answer.text() }
  },

  // lookup reads an actor document the way Fedify understands it.
  async lookup({ actor: url }) {
    const found = await context().lookupObject(url)
    if (!isActor(found)) throw new Error(`${url} is not an actor to Fedify`)
    const keys = []
    for await (const key of found.getPublicKeys(context())) keys.push(key.id?.href)
    return { id: found.id?.href, inbox: found.inboxId?.href, keys }
  },

  received: async () => received,
}

await serve({ actor, inbox: `${actor}/inbox`, handle: `@alice@${new URL(origin).host}` }, commands)
