// A client for encrypted messages as a web page on an origin of its own: everything goes by fetch and
// EventSource, so whatever it reads of another origin, CORS must allow. The MLS bytes are made elsewhere.
const kept = sessionStorage
const here = location.origin + '/'
const who = document.getElementById('who')
const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
const actorOf = async (id) => (await ask(id)).json()
let actor
let token

async function ask(url, options = {}) {
  const headers = { accept: 'application/activity+json', ...options.headers }
  if (token) headers.authorization = `Bearer ${token}`
  const answer = await fetch(url, { ...options, headers, cache: 'no-cache' })
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`)
  return answer
}

// begin finds out where the person's authorization server is, and goes there.
async function begin(handle) {
  const host = handle.split('@')[1]
  const found = await (await fetch(`http://${host}/.well-known/webfinger?resource=acct:${handle}`)).json()
  const id = found.links.find(({ rel, type }) => rel === 'self' && type.includes('activity')).href
  const { endpoints } = await actorOf(id)
  const way = { actor: id, verifier: random(), state: random() }
  kept.setItem('way', JSON.stringify(way))
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(way.verifier)))
  location = `${endpoints.oauthAuthorizationEndpoint}?${new URLSearchParams({
    client_id: `${here}id`, redirect_uri: here, response_type: 'code', scope: 'read write', state: way.state,
    code_challenge: base64url(hash), code_challenge_method: 'S256',
  })}`
}

// finish is for the page that the browser comes back to.
async function finish(answer) {
  const way = JSON.parse(kept.getItem('way'))
  if (answer.get('error')) throw new Error(answer.get('error'))
  if (answer.get('state') !== way.state) throw new Error('not what this page asked')
  actor = await actorOf(way.actor)
  if (new URL(answer.get('iss')).origin !== new URL(actor.endpoints.oauthTokenEndpoint).origin) throw new Error('another server answers')
  const granted = await (await ask(actor.endpoints.oauthTokenEndpoint, { method: 'POST', body: new URLSearchParams({
    grant_type: 'authorization_code', code: answer.get('code'), client_id: `${here}id`, redirect_uri: here, code_verifier: way.verifier,
  }) })).json()
  if (granted.activitypub_actor_id !== actor.id) throw new Error(`signed in as ${granted.activitypub_actor_id}`)
  token = granted.access_token
  history.replaceState(null, '', here)
  who.textContent = actor.id
}

window.client = {
  actor: () => actor,

  // post gives what only exposed headers tell.
  async post(activity) {
    const answer = await ask(actor.outbox, { method: 'POST', headers: { 'content-type': 'application/activity+json' }, body: JSON.stringify(activity) })
    return { location: answer.headers.get('location'), id: answer.headers.get('x-activity-id') }
  },

  // read is the whole mailbox, newest first.
  async read() {
    const all = []
    for (let page = await (await ask(actor.messages)).json(); page; page = page.next ?? page.first) {
      if (typeof page === 'string') page = await (await ask(page)).json()
      all.push(...(page.orderedItems ?? []))
      if (page.orderedItems && !page.next) break
    }
    return all
  },

  // look asks the gateway for somebody else's document.
  look: async (id) => (await ask(actor.endpoints.proxyUrl, { method: 'POST', body: new URLSearchParams({ id }) })).json(),

  // listen hands every activity that comes to the page's `arrived`.
  async listen() {
    const { eventStream } = await (await ask(actor.messages)).json()
    const source = new EventSource(`${eventStream}?access_token=${encodeURIComponent(token)}`)
    source.onmessage = ({ data }) => {
      const { type, object } = JSON.parse(data)
      if (type === 'Add') window.arrived(object)
    }
    await new Promise((resolve, reject) => { source.onopen = resolve; source.onerror = () => reject(new Error('the stream does not open')) })
    source.onerror = null
  },
}

document.getElementById('begin').onsubmit = (event) => {
  event.preventDefault()
  begin(new FormData(event.target).get('handle')).catch((err) => { who.textContent = String(err) })
}
if (location.search) finish(new URLSearchParams(location.search)).catch((err) => { who.textContent = String(err) })
