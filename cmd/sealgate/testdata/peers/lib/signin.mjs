// How a client without a registration gets its token: WebFinger, actor, endpoints.oauth…, a code with
// PKCE, by way of the gateway's consent page and the instance's own login. The browser is played here.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { ask, form, json } from './http.mjs'

// webFinger finds the actor of acct:name@host.
export async function webFinger(origin, handle) {
  const found = await json(`${origin}/.well-known/webfinger?resource=${encodeURIComponent(`acct:${handle}`)}`, { accept: 'application/jrd+json' })
  const self = found.links.find(({ rel, type }) => rel === 'self' && type?.includes('activity'))
  return json(self.href)
}

// publishClient serves the document that the client's id names.
async function publishClient() {
  const server = createServer((_, answer) => {
    const site = `http://127.0.0.1:${server.address().port}`
    answer.setHeader('content-type', 'application/json')
    answer.end(JSON.stringify({ client_id: `${site}/client`, client_name: 'Story', redirect_uris: [`${site}/back`] }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { site: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }
}

// signIn gives the token answer for the actor's owner; login are the fields of the instance's form.
export async function signIn(actor, login) {
  const { oauthAuthorizationEndpoint: authorize, oauthTokenEndpoint: exchange } = actor.endpoints
  const { site, close } = await publishClient()
  const client = { client_id: `${site}/client`, redirect_uri: `${site}/back` }
  const verifier = randomBytes(32).toString('base64url')
  const state = randomBytes(8).toString('hex')
  try {
    const back = await browse(`${authorize}?${new URLSearchParams({
      ...client, response_type: 'code', scope: 'read write', state,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
    })}`, login, client.redirect_uri)
    if (back.get('state') !== state) throw new Error(`the client came back with ${back}`)
    const granted = await ask(exchange, { accept: 'application/json', ...form({
      ...client, grant_type: 'authorization_code', code: back.get('code'), code_verifier: verifier,
    }) })
    const tokens = JSON.parse(granted.text)
    if (tokens.activitypub_actor_id !== actor.id) throw new Error(`the token is for ${granted.text}`)
    return tokens
  } finally {
    close()
  }
}

// browse is the person at the browser: agrees, logs in, and is sent back to the client.
async function browse(url, login, redirect) {
  const html = { accept: 'text/html' }
  const consent = await fetch(url, { headers: html })
  const cookie = consent.headers.get('set-cookie').split(';')[0]
  const agreed = await fetch(new URL('/e2ee/oauth/authorize', url), {
    ...submission({ ...hidden(await consent.text()), answer: 'allow' }, { cookie, 'sec-fetch-site': 'same-origin' }), redirect: 'manual',
  })
  const page = await fetch(agreed.headers.get('location'), { headers: html })
  const text = await page.text()
  const action = text.match(/<form[^>]* action="([^"]+)"/)?.[1] ?? page.url
  const logged = await fetch(new URL(action, page.url), { ...submission({ ...hidden(text), ...login }, {}), redirect: 'manual' })
  const finished = await fetch(logged.headers.get('location'), { headers: { cookie, ...html }, redirect: 'manual' })
  const back = new URL(finished.headers.get('location') ?? 'about:blank')
  if (back.origin + back.pathname !== redirect) throw new Error(`the browser ends at ${back}: ${finished.status} ${await finished.text()}`)
  return back.searchParams
}

const submission = (fields, headers) => ({
  method: 'POST', headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams(fields),
})

// hidden gives the hidden fields of a form.
function hidden(page) {
  const fields = {}
  for (const [, name, value] of page.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)) {
    fields[name] = value.replaceAll('&amp;', '&').replaceAll('&#34;', '"').replaceAll('&#43;', '+').replaceAll('&#39;', "'")
  }
  return fields
}
