// Requests of a client that goes on through bad networks: what got no answer, or an answer that says
// "later", is asked again. An outbox knows the id of what it was given before, so that posting it again is safe.
import { setTimeout as pause } from 'node:timers/promises'

const ACTIVITY = 'application/activity+json'
const LATER = [429, 502, 503, 504]
export const counts = { retries: 0 }

export async function ask(url, { method = 'GET', token, accept = ACTIVITY, type = ACTIVITY, body, patience = 150_000 } = {}) {
  const headers = { accept }
  if (token) headers.authorization = `Bearer ${token}`
  if (body !== undefined) headers['content-type'] = type
  const end = Date.now() + patience
  for (let wait = 100; ; wait = Math.min(wait * 2, 2000)) {
    const answer = await once(url, { method, headers, body, redirect: 'manual', signal: AbortSignal.timeout(15_000) })
    if (!LATER.includes(answer.status) || Date.now() > end) return answer
    counts.retries++
    await pause(wait)
  }
}

// once gives the answer, read whole; 503 stands for none.
async function once(url, options) {
  try {
    const answer = await fetch(url, options)
    return { url, status: answer.status, headers: answer.headers, text: await answer.text() }
  } catch (err) {
    return { url, status: 503, headers: new Headers(), text: String(err.cause ?? err) }
  }
}

export async function json(url, options) {
  const answer = await ask(url, options)
  if (answer.status !== 200) throw new Error(`${url}: ${answer.status} ${answer.text}`)
  return JSON.parse(answer.text)
}

export const form = (fields) =>
  ({ method: 'POST', type: 'application/x-www-form-urlencoded', body: new URLSearchParams(fields).toString() })
