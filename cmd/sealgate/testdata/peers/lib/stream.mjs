// The event stream of a mailbox, by npm's eventsource: it comes back by itself with Last-Event-ID when the
// connection ends. What the specification calls a failed connection (503 while a gateway starts) it gives
// up; then a new one goes on from the same cursor.
import { EventSource } from 'eventsource'

// listen calls onActivity for each activity in the order in which they come. drop cuts the connection as a
// network does.
export function listen(url, token, onActivity) {
  const stream = { connections: 0, drop: () => {}, close: () => source.close() }
  let source
  let cursor

  async function connect(input, init) {
    const headers = { ...init.headers, authorization: `Bearer ${token}` }
    if (cursor && !headers['Last-Event-ID']) headers['Last-Event-ID'] = cursor
    const answer = await fetch(input, { ...init, headers })
    if (!answer.ok) return answer
    stream.connections++
    const { readable, writable } = new TransformStream()
    const cut = new AbortController()
    answer.body.pipeTo(writable, { signal: cut.signal }).catch(() => {}) // the reader of readable is told
    stream.drop = () => cut.abort(new Error('cut'))
    return new Response(readable, { status: answer.status, headers: answer.headers })
  }

  function open(from = url) {
    source = new EventSource(from, { fetch: connect })
    source.addEventListener('message', ({ data, lastEventId }) => {
      cursor = lastEventId
      const { type, object } = JSON.parse(data)
      if (type === 'Add') onActivity(object)
    })
    source.addEventListener('error', () => {
      // Without a cursor nothing has come yet: an activity that is not there means the oldest.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 1000, `${url}?after=none`)
    })
    return new Promise((resolve) => source.addEventListener('open', resolve, { once: true }))
  }
  stream.opened = open()
  return stream
}
