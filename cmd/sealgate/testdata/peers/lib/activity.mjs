// MLS over ActivityPub as its clients write it: what is put around the bytes.
import { randomUUID } from 'node:crypto'

const AS = 'https://www.w3.org/ns/activitystreams'
const MLS = 'https://purl.archive.org/socialweb/mls#'
export const CONTEXT = [AS, {
  mls: MLS,
  encoding: 'mls:encoding',
  ciphersuite: 'mls:ciphersuite',
  PrivateMessage: 'mls:PrivateMessage',
  PublicMessage: 'mls:PublicMessage',
  Welcome: 'mls:Welcome',
  GroupInfo: 'mls:GroupInfo',
  KeyPackage: 'mls:KeyPackage',
}]

export const toBase64 = (bytes) => Buffer.from(bytes).toString('base64')
export const fromBase64 = (text) => new Uint8Array(Buffer.from(text, 'base64'))

// create wraps one MLS message of `actor` to `to`, one or several, in a Create.
export function create({ actor, to, type, bytes, conversation }) {
  const host = new URL(actor).origin
  const object = {
    id: `${host}/objects/${randomUUID()}`,
    type: ['Object', type],
    attributedTo: actor,
    to: [to].flat(),
    context: conversation,
    mediaType: 'message/mls',
    encoding: 'base64',
    content: toBase64(bytes),
    published: new Date().toISOString(),
  }
  return {
    '@context': CONTEXT,
    id: `${host}/activities/${randomUUID()}`,
    type: 'Create',
    actor,
    to: [to].flat(),
    object,
  }
}

// fetchMessages reads a `messages` collection as its owner's client does:
// newest first, page by page, and gives it back oldest first.
export async function fetchMessages(url, token) {
  const get = async (address) => {
    const answer = await fetch(address, {
      headers: { accept: 'application/activity+json', authorization: `Bearer ${token}` },
    })
    if (!answer.ok) throw new Error(`GET ${address}: ${answer.status} ${await answer.text()}`)
    return answer.json()
  }
  const collection = await get(url)
  const found = []
  for (let page = collection; page;) {
    found.push(...(page.orderedItems ?? []))
    const next = page.next ?? (page === collection && !page.orderedItems?.length ? page.first : undefined)
    page = typeof next === 'string' ? await get(next) : next
  }
  return found.reverse()
}

// messagesOf finds the collection in the owner's actor document.
export async function messagesOf(actor) {
  const answer = await fetch(actor, { headers: { accept: 'application/activity+json' } })
  if (!answer.ok) throw new Error(`GET ${actor}: ${answer.status}`)
  const { messages } = await answer.json()
  if (typeof messages !== 'string') throw new Error(`${actor} has no messages collection`)
  return messages
}

// publish posts each KeyPackage through the owner's outbox, as their client does, and
// gives the URLs under which the directory has them.
export async function publish(actor, token, packages) {
  const { outbox } = await (await fetch(actor, { headers: { accept: 'application/activity+json' } })).json()
  const urls = []
  for (const bytes of packages) {
    const activity = create({ actor, to: actor, type: 'KeyPackage', bytes })
    activity.object.to = 'as:Public'
    const answer = await fetch(outbox, {
      method: 'POST',
      headers: { 'content-type': 'application/activity+json', authorization: `Bearer ${token}` },
      body: JSON.stringify(activity),
    })
    if (answer.status !== 201) throw new Error(`POST ${outbox}: ${answer.status} ${await answer.text()}`)
    urls.push(answer.headers.get('location'))
  }
  return urls
}
