// An activitypub-bot server with one bot, relaybot. It signs with the bot's own code.
import './lib/activitystreams-shim.cjs'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { serve } from './lib/port.mjs'

process.env.ALLOW_PRIVATE = '1'
const { makeApp } = await import('@evanp/activitypub-bot/lib/app.js')
const { default: as2 } = await import('@evanp/activitypub-bot/lib/activitystreams.js')
const { default: Bot } = await import('@evanp/activitypub-bot/lib/bot.js')
const { Digester } = await import('@evanp/activitypub-bot/lib/digester.js')
const { HTTPMessageSignature } = await import('@evanp/activitypub-bot/lib/httpmessagesignature.js')
const { HTTPSignature } = await import('@evanp/activitypub-bot/lib/httpsignature.js')

// The origin must be known before the app is: listen first.
const server = createServer()
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const origin = `http://127.0.0.1:${server.address().port}`
const username = 'relaybot'
const app = await makeApp({
  databaseUrl: 'sqlite::memory:',
  origin,
  bots: { [username]: new Bot(username, { fullname: 'Relay bot' }) },
  logLevel: 'silent',
  allowPrivateNetworkRequests: true,
  deliveryWorkerCount: 1,
  distributionWorkerCount: 1,
  fanoutWorkerCount: 1,
  intakeWorkerCount: 1,
})
const answered = []
server.on('request', (request, response) => {
  if (request.method === 'POST') response.on('finish', () => answered.push(response.statusCode))
})
server.on('request', app)
const { client, formatter, keyStorage, logger } = app.locals
const actor = formatter.format({ username })

const commands = {
  // deliver hands the activity to the bot's client: it becomes JSON-LD the
  // bot's way, is signed, posted, and on 400 401 403 404 410 posted again as cavage.
  async deliver({ inbox, body }) {
    const activity = await as2.import(JSON.parse(body))
    try {
      await client.post(inbox, activity, username)
      return { status: 202, sent: JSON.stringify(await activity.export()) }
    } catch (err) {
      if (!err.status) throw err
      return { status: err.status, body: err.body ?? '' }
    }
  },

  // answered are the statuses of what was posted: the bot verifies before it says 2xx.
  answered: async () => answered,

  // items reads a collection with the bot's signed fetches.
  async items({ url }) {
    const found = []
    for await (const item of client.items(url, username)) found.push(item.id)
    return { items: found }
  },

  // post signs `body` with one scheme of the bot and sends `send` instead.
  async post({ inbox, body, scheme, send }) {
    const digester = new Digester(logger)
    const headers = {
      date: new Date().toUTCString(),
      'user-agent': 'activitypub.bot',
      'content-type': 'application/activity+json',
    }
    const what = {
      privateKey: await keyStorage.getPrivateKey(username),
      keyId: formatter.format({ username, type: 'publickey' }),
      url: inbox,
      method: 'POST',
      headers,
    }
    if (scheme === 'rfc9421') {
      headers['content-digest'] = await digester.contentDigest(body)
      Object.assign(headers, await new HTTPMessageSignature(logger).sign(what))
    } else {
      headers.digest = await digester.digest(body)
      headers.signature = await new HTTPSignature(logger).sign(what)
    }
    const answer = await fetch(inbox, { method: 'POST', headers, body: send ?? body, redirect: 'manual' })
    return { status: answer.status, body: await answer.text() }
  },
}

await serve({ actor, key: formatter.format({ username, type: 'publickey' }) }, commands)
