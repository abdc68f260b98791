// A person's client: one device of either library, its token, and the conversations it is in.
import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { create, fromBase64 } from './activity.mjs'
import { ask, form, json } from './http.mjs'
import { header, WELCOME } from './mlsmessage.mjs'
import { listen } from './stream.mjs'

// Stale says that another commit was accepted for the epoch.
class Stale extends Error {}

const TYPES = { 1: 'PublicMessage', 2: 'PrivateMessage', 3: 'Welcome' }

// Conversation is what the client knows of a group. Its transcript has a slot for every application
// message in the order in which the mailbox has them; one that came early is filled later.
class Conversation {
  epoch = -1 // none: not yet joined, or removed
  left = -1 // the last epoch before a removal: what is of it and comes later is not for this member
  transcript = []
  said = 0
  early = []
  #waiting = []

  slot(epoch) {
    const slot = { epoch }
    this.transcript.push(slot)
    return slot
  }

  enter(epoch, secret = '') {
    Object.assign(this, { epoch, secret })
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  leave() {
    this.left = this.epoch
    this.enter(-1)
  }

  // past resolves when the epoch is another.
  async past(epoch) {
    while (this.epoch === epoch) await new Promise((resolve) => this.#waiting.push(resolve))
  }
}

export class Member {
  duplicates = 0
  conflicts = 0
  #conversations = new Map()
  #own = new Map() // activities that this device posted → the slot's text
  #awaited = new Set() // those of them that have not come back
  #caughtUp = [] // who waits for one to come back
  #seen = new Set()
  #last = Promise.resolve()
  #instrument = `uri:uuid:${randomUUID()}`

  // contacts tells whose device an MLS identity is.
  constructor(device, actor, token, contacts) {
    Object.assign(this, { device, actor, token, contacts })
  }

  async listen() {
    const { eventStream } = await json(this.actor.messages, { token: this.token })
    this.stream = listen(eventStream, this.token, (activity) => this.#alone(() => this.#take(activity)))
    await this.stream.opened
  }

  conversation(group) {
    if (!this.#conversations.has(group)) this.#conversations.set(group, new Conversation())
    return this.#conversations.get(group)
  }

  async begin(group, identity) {
    await this.device.create(group, identity)
    await this.#enter(group)
  }

  // commit changes the group; when another's commit was first, it is made again in the next epoch. The
  // Welcome leaves after the commit was accepted. It waits until the stream has brought what this device
  // posted: a client that commits without reading loses the keys of what it has not read (OpenMLS keeps
  // those of three epochs).
  async commit(group, change, welcomed) {
    const conversation = this.conversation(group)
    for (;;) {
      await this.#hearItself(0)
      const { epoch } = conversation
      if (epoch < 0) throw new Error('no longer a member')
      try {
        return await this.#alone(() => this.#commitNow(group, change, welcomed))
      } catch (err) {
        if (!(err instanceof Stale)) throw err
        this.conflicts++
        await conversation.past(epoch)
      }
    }
  }

  async #commitNow(group, change, welcomed) {
    const to = await this.#audience(group)
    const welcome = await this.device.commit(group, change, (bytes) => this.#post(group, to, bytes))
    await this.#enter(group)
    if (welcome) await this.#post(group, [welcomed], welcome)
  }

  // chat says `count` things, each with the next number, and commits after every `every` of them; hush ends it.
  async chat(group, name, { count, every, gap = 0 }) {
    for (let i = 1; i <= count && !this.hushed; i++) {
      await this.#hearItself(10)
      await this.#alone(() => this.#say(group, name))
      if (every && i % every === 0) await this.commit(group, {})
      if (gap) await pause(gap)
    }
  }

  async #say(group, name) {
    const conversation = this.conversation(group)
    const text = `${name} ${conversation.said + 1}`
    const bytes = await this.device.seal(group, text)
    await this.#post(group, await this.#audience(group), bytes, text)
    conversation.said++
  }

  // packageOf asks the gateway's proxy for somebody's key package, as a client in a browser must.
  async packageOf(actor) {
    const { endpoints: { proxyUrl } } = this.actor
    const read = (id) => json(proxyUrl, { token: this.token, ...form({ id }) })
    const { items } = await read((await read(actor)).keyPackages)
    return fromBase64((await read(items[0])).content)
  }

  // #hearItself waits until at most `most` of what this device posted have not come back: who talks on without
  // hearing does so in an epoch that the others have forgotten.
  async #hearItself(most) {
    while (this.#awaited.size > most) await new Promise((resolve) => this.#caughtUp.push(resolve))
  }

  async #enter(group) {
    this.conversation(group).enter(await this.device.epoch(group), await this.device.secret(group))
  }

  // #alone runs one thing after the other: an MLS state has one owner.
  #alone(work) {
    const done = this.#last.then(work)
    this.#last = done.catch(() => {})
    return done
  }

  async #audience(group) {
    return (await this.device.members(group)).map((identity) => this.contacts[identity] ?? identity)
  }

  async #post(group, to, bytes, text) {
    const activity = create({ actor: this.actor.id, to, type: TYPES[header(bytes).format], bytes, conversation: group })
    activity.instrument = this.#instrument
    const answer = await ask(this.actor.outbox, { method: 'POST', token: this.token, body: JSON.stringify(activity) })
    if (answer.status === 409) throw new Stale(answer.text)
    if (answer.status !== 201) throw new Error(`POST ${this.actor.outbox}: ${answer.status} ${answer.text}`)
    const id = answer.headers.get('x-activity-id')
    this.#own.set(id, text)
    if (to.includes(this.actor.id)) this.#awaited.add(id)
  }

  // #take reads what the mailbox has next; the first failure is kept for who asks.
  async #take(activity) {
    if (this.#seen.has(activity.id)) this.duplicates++
    this.#seen.add(activity.id)
    try {
      for (const { content } of activity.object.items ?? [activity.object]) await this.#receive(activity, fromBase64(content))
    } catch (err) {
      this.failure ??= `${activity.id} of ${activity.actor}: ${err?.stack ?? err} ${JSON.stringify(err)}`
    }
  }

  async #receive(activity, bytes) {
    const { format, group, epoch, isApplication } = header(bytes)
    if (format === WELCOME) return this.#join(bytes)
    const conversation = this.conversation(group)
    if (epoch <= conversation.left) return
    const slot = isApplication ? conversation.slot(epoch) : undefined
    if (this.#own.has(activity.id)) {
      if (slot) slot.text = this.#own.get(activity.id)
      this.#awaited.delete(activity.id)
      for (const resolve of this.#caughtUp.splice(0)) resolve()
      return
    }
    conversation.early.push({ group, epoch, bytes, slot })
    await this.#open(conversation)
  }

  async #join(bytes) {
    const group = await this.device.join(bytes)
    await this.#enter(group)
    await this.#open(this.conversation(group))
  }

  // #open reads what waits, as far as the epoch allows.
  async #open(conversation) {
    for (;;) {
      const next = conversation.early.findIndex(({ epoch }) => epoch <= conversation.epoch)
      if (next < 0) return
      const [{ group, bytes, slot }] = conversation.early.splice(next, 1)
      const { text, isMember } = await this.device.open(group, bytes)
      if (slot) slot.text = text
      else if (isMember) await this.#enter(group)
      else conversation.leave()
    }
  }
}
