// How a Go test speaks with a peer: one JSON object per line.
// in  {"id":1,"do":"deliver",…}   out {"id":1,"ok":…} or {"id":1,"error":"…"}
// The first line out is {"ready":…}. Standard input closing ends the process,
// so no peer outlives its test. Everything else goes to standard error.
import { createInterface } from 'node:readline'

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

export async function serve(ready, commands) {
  const input = createInterface({ input: process.stdin, crlfDelay: Infinity })
  input.on('close', () => process.exit(0))
  say({ ready })
  for await (const line of input) {
    const { id, do: name, ...args } = JSON.parse(line)
    try {
      if (!Object.hasOwn(commands, name)) throw new Error(`no command ${name}`)
      say({ id, ok: (await commands[name](args)) ?? null })
    } catch (err) {
      say({ id, error: String(err?.stack ?? err) })
    }
  }
}

// Logs of libraries must not mix with answers.
console.log = console.info = console.debug = console.error
