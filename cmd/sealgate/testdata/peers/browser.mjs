// Chromium with the client of browser/ on an origin of its own, and a person before it. The page does all
// that goes over the network; the MLS device (ts-mls) is in this process.
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { chromium } from 'playwright-core'
import { create, fromBase64 } from './lib/activity.mjs'
import { header, WELCOME } from './lib/mlsmessage.mjs'
import { serve } from './lib/port.mjs'
import { tsmls } from './lib/tsmls.mjs'

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
]
const FILES = { '/': ['client.html', 'text/html'], '/client.js': ['client.js', 'text/javascript'] }

// localhost, where everything else is at 127.0.0.1: another site, not only another port.
const server = createServer(async (request, answer) => {
  const { pathname } = new URL(request.url, site)
  if (pathname === '/id') {
    answer.setHeader('content-type', 'application/json')
    return answer.end(JSON.stringify({ client_id: `${site}/id`, client_name: 'A page', redirect_uris: [`${site}/`] }))
  }
  const [name, type] = FILES[pathname] ?? []
  if (!name) return answer.writeHead(404).end()
  answer.setHeader('content-type', type)
  answer.end(await readFile(new URL(`browser/${name}`, import.meta.url)))
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const site = `http://localhost:${server.address().port}`

const PATIENCE = 150_000 // milliseconds; a loaded machine is slow
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', headless: true, args: FLAGS, timeout: PATIENCE })
const context = await browser.newContext()
context.setDefaultTimeout(PATIENCE)
const page = await context.newPage()
const complaints = []
page.on('console', (message) => {
  const isIcon = message.location().url.endsWith('/favicon.ico') // browsers ask for one; nobody here has it
  if (message.type() === 'error' && !isIcon) complaints.push(`${message.text()} ${message.location().url}`)
})
const device = await tsmls()
const heard = []
let last = Promise.resolve()
let actor
let group

async function take({ object, actor: from }) {
  const bytes = fromBase64(object.content)
  if (header(bytes).format === WELCOME) group = await device.join(bytes)
  else if (from !== actor.id) heard.push((await device.open(group, bytes)).text)
}
await page.exposeFunction('arrived', (activity) => { last = last.then(() => take(activity)).catch((err) => complaints.push(String(err))) })

const commands = {
  // consent asks to be signed in and shows the gateway's page; screen is where its picture goes.
  async consent({ handle, screen }) {
    await page.goto(`${site}/`)
    await page.fill('[name=handle]', handle)
    await page.click('#begin button')
    await page.waitForURL('**/oauth/authorize?**')
    if (screen) await page.screenshot({ path: screen })
    return { url: page.url(), text: await page.innerText('body'), ticket: await page.getAttribute('[name=ticket]', 'value') }
  },

  // agree says yes, logs in at the instance, and comes back to the client.
  async agree({ fields, button }) {
    await page.click('button[value=allow]')
    await page.waitForSelector('form[action*=x-snac], form button[name=login]')
    for (const [name, value] of Object.entries(fields ?? {})) await page.fill(`[name=${name}]`, value)
    await page.click(button)
    await page.waitForURL(`${site}/**`)
    await page.waitForFunction("document.getElementById('who').textContent !== ''")
    actor = await page.evaluate('client.actor()')
    return { who: await page.innerText('#who') }
  },

  listen: () => page.evaluate('client.listen()'),
  look: ({ who }) => page.evaluate((id) => client.look(id), who),

  async publish() {
    const activity = create({ actor: actor.id, to: actor.id, type: 'KeyPackage', bytes: await device.keyPackage(actor.id) })
    activity.object.to = 'as:Public'
    return page.evaluate((what) => client.post(what), activity)
  },

  async say({ to, text }) {
    const bytes = await device.seal(group, text)
    return page.evaluate((what) => client.post(what), create({ actor: actor.id, to: [...to, actor.id], type: 'PrivateMessage', bytes, conversation: group }))
  },

  // intrude is another page in the same browser, with the person's cookies: it agrees in their name, and reads
  // what only a token opens.
  async intrude({ gateway, ticket }) {
    const other = await context.newPage()
    await other.goto(`${site}/`)
    const read = await other.evaluate((url) => fetch(url, { credentials: 'include' }).then(({ status }) => `${status}`, () => 'kept from it'), actor.messages)
    const [answer] = await Promise.all([other.waitForNavigation(), other.evaluate(([action, value]) => {
      const form = Object.assign(document.createElement('form'), { method: 'post', action })
      for (const [name, text] of [['ticket', value], ['answer', 'allow']]) form.append(Object.assign(document.createElement('input'), { name, value: text }))
      document.body.append(form)
      form.submit()
    }, [`${gateway}/e2ee/oauth/authorize`, ticket])])
    await other.close()
    return { read, agreed: answer.status() }
  },

  // session signs the same person in for the gateway's own pages, and says what one of those gets with the cookie alone.
  async session({ gateway, fields, button }) {
    const own = await context.newPage()
    await own.goto(`${gateway}/e2ee/session?return=/`)
    await own.click('button[value=allow]')
    await own.waitForSelector('form[action*=x-snac], form button[name=login]')
    for (const [name, value] of Object.entries(fields ?? {})) await own.fill(`[name=${name}]`, value)
    await own.click(button)
    await own.waitForURL(`${gateway}/`)
    return own.evaluate(async ({ messages, outbox }) => {
      const box = await (await fetch(messages)).json()
      const posted = await fetch(outbox, { method: 'POST', body: '{"object":"x"}' })
      const heard = await new Promise((resolve) => {
        const source = new EventSource(box.eventStream)
        source.onopen = () => { source.close(); resolve('open') }
        source.onerror = () => resolve('refused')
      })
      return { total: box.totalItems, posted: posted.status, heard, cookie: document.cookie }
    }, actor)
  },

  // abuse is a page elsewhere that posts and reads with the person's cookies: on another site, which browsers
  // keep them from, and on another port, which is the same site to them.
  async abuse({ activity }) {
    const seen = []
    for (const where of [site, site.replace('localhost', '127.0.0.1')]) {
      const other = await context.newPage()
      await other.goto(`${where}/`)
      const wire = await context.newCDPSession(other) // what is really sent; the browser's page does not see cookies
      let cookie = false
      wire.on('Network.requestWillBeSentExtraInfo', ({ headers }) => { cookie ||= /sealgate=sga_/.test(headers.Cookie ?? '') })
      await wire.send('Network.enable')
      const asked = other.waitForResponse((answer) => answer.url() === actor.outbox)
      await other.evaluate(([url, body]) => fetch(url, { method: 'POST', mode: 'no-cors', credentials: 'include', body }), [actor.outbox, JSON.stringify(activity)])
      const answer = await asked
      const read = await other.evaluate((url) => fetch(url, { credentials: 'include' }).then(({ status }) => `${status}`, () => 'kept from it'), actor.messages)
      seen.push({ status: answer.status(), cookie, read })
      await other.close()
    }
    return { seen }
  },

  read: async () => ({ ids: (await page.evaluate('client.read()')).map(({ id }) => id) }),
  state: async () => ({ heard, complaints, group }),
}

await serve({ site }, commands)
