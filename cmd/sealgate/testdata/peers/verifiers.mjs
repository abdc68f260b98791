// A server with as many actors as anybody asks for, at which three libraries that
// know nothing of each other verify every signature.
import { once } from 'node:events'
import { createServer } from 'node:http'
import httpSignature from 'http-signature'
import messageSignatures from 'http-message-signatures'
import { parseRequestSignature, verifyDigestHeader, verifyDraftSignature } from '@misskey-dev/node-http-message-signatures'
import { serve } from './lib/port.mjs'

const { cavage, httpbis, createVerifier } = messageSignatures
const received = []
let wanted = '' // the one scheme that is taken; all others are 401

const schemeOf = (m) => (m.headers['signature-input'] ? 'rfc9421' : 'cavage')
const keyIdOf = (m) => /keyid="([^"]+)"/i.exec(m.headers['signature-input'] ?? m.headers.signature)[1]

// keyOf reads the key as every peer does: in the document its id leads to.
async function keyOf(id) {
  const answer = await fetch(id.split('#')[0], { headers: { accept: 'application/activity+json' } })
  const { publicKey } = await answer.json()
  if (publicKey?.id !== id) throw new Error(`${id} is not the key of its actor, which has ${publicKey?.id}`)
  return publicKey.publicKeyPem
}

const verifiers = {
  cavage: {
    async 'http-signature'(m, pem) {
      const parsed = httpSignature.parseRequest(m, { clockSkew: 300, headers: ['(request-target)', 'host', 'date', 'digest'] })
      return httpSignature.verifySignature(parsed, pem)
    },
    'http-message-signatures': (m, pem) => cavage.verifyMessage(lookup(pem), { ...m, url: origin + m.url }),
    'node-http-message-signatures': (m, pem) => verifyDraftSignature(parseRequestSignature(m).value, pem),
  },
  rfc9421: {
    'http-message-signatures': (m, pem) => httpbis.verifyMessage({
      ...lookup(pem), requiredFields: ['@method', '@target-uri', 'content-digest'], requiredParams: ['created', 'keyid'],
    }, { ...m, url: origin + m.url }),
  },
}

function lookup(pem) {
  const alg = 'rsa-v1_5-sha256'
  return { tolerance: 60, keyLookup: async ({ keyid }) => ({ id: keyid, algs: [alg], verify: createVerifier(pem, alg) }) }
}

// judge asks every verifier of the scheme: about what came, and about the same with
// another target, which none may believe.
async function judge(m, pem) {
  const verdicts = {}
  const ask = async (verify, what) => { try { return (await verify(what, pem)) === true } catch { return false } }
  for (const [name, verify] of Object.entries(verifiers[schemeOf(m)])) {
    verdicts[name] = await ask(verify, m) && !await ask(verify, { ...m, url: m.url + 'x' })
  }
  return verdicts
}

async function receive(request, body) {
  const { method, url, headers, httpVersion, rawHeaders } = request
  const m = { method, url, headers, httpVersion, rawHeaders }
  const key = keyIdOf(m)
  const digest = await verifyDigestHeader(m, body, true) && !await verifyDigestHeader(m, Buffer.concat([body, body]), true)
  received.push({ scheme: schemeOf(m), key, digest, verdicts: await judge(m, await keyOf(key)), body: body.toString() })
  return !wanted || wanted === schemeOf(m) ? 202 : 401
}

const server = createServer(async (request, response) => {
  const id = origin + request.url
  if (request.method === 'GET') {
    response.setHeader('content-type', 'application/activity+json')
    response.end(JSON.stringify({ id, type: 'Person', inbox: `${id}/inbox` }))
    return
  }
  const parts = []
  for await (const part of request) parts.push(part)
  try {
    response.statusCode = await receive(request, Buffer.concat(parts))
  } catch (err) {
    console.error(err)
    response.statusCode = 500
  }
  response.end()
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const origin = `http://127.0.0.1:${server.address().port}`

await serve({ actor: `${origin}/vera` }, {
  want: async ({ scheme }) => { wanted = scheme },
  received: async () => received,
})
