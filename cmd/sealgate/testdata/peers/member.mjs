// A person's client that stays: it signs in through the gateway, listens, and holds conversations.
// Arguments: tsmls or openmls, origin of the instance, name@host, the fields of the login form as JSON.
import { fromBase64, publish, toBase64 } from './lib/activity.mjs'
import { counts } from './lib/http.mjs'
import { Member } from './lib/member.mjs'
import { serve } from './lib/port.mjs'
import { signIn, webFinger } from './lib/signin.mjs'

const [library, origin, handle, login] = process.argv.slice(2)
const { [library]: make } = await import(`./lib/${library}.mjs`)
const device = await make()
const actor = await webFinger(origin, handle)
const { access_token: token } = await signIn(actor, JSON.parse(login))
const contacts = {}
const member = new Member(device, actor, token, contacts)
await member.listen()
let chatting = 0

const commands = {
  meet: ({ people }) => Object.assign(contacts, people) && null,
  keyPackage: async () => ({ base64: toBase64(await device.keyPackage(device.wireIdentity)) }),

  // publish offers packages in the directory, under the actor's own name.
  async publish({ count }) {
    const packages = []
    while (packages.length < count) packages.push(await device.keyPackage(actor.id))
    return { urls: await publish(actor.id, token, packages) }
  },

  begin: ({ group, named }) => member.begin(group, named === 'actor' ? actor.id : device.wireIdentity),
  // add invites with the package given, or with one out of the directory.
  add: async ({ group, who, base64 }) =>
    member.commit(group, { add: base64 ? fromBase64(base64) : await member.packageOf(who) }, who),
  remove: ({ group, identity }) => member.commit(group, { remove: identity }),
  update: ({ group }) => member.commit(group, {}),
  hush: () => { member.hushed = true },
  drop: () => member.stream.drop(),

  // chat begins to talk and answers at once: status tells how far it is.
  chat({ group, name, ...how }) {
    chatting++
    member.chat(group, name, how).catch((err) => { member.failure ??= String(err?.stack ?? err) }).finally(() => chatting--)
  },

  status({ group }) {
    const { epoch, secret, early, said, transcript } = member.conversation(group)
    const read = transcript.filter(({ text }) => text !== undefined)
    const heardOf = {}
    for (const { text } of read) {
      const [name] = text.split(' ')
      heardOf[name] = (heardOf[name] ?? 0) + 1
    }
    return {
      epoch, early: early.length, heard: read.length, heardOf, unread: transcript.length - read.length,
      secret, said, chatting, failure: member.failure,
      duplicates: member.duplicates, conflicts: member.conflicts, connections: member.stream.connections, retries: counts.retries,
    }
  },

  transcript: ({ group }) => ({ words: member.conversation(group).transcript }),
}

await serve({ actor: actor.id, identity: device.wireIdentity }, commands)
