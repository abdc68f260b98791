// What both generators write: one JSON array a reader can test with.
export const hex = (bytes) => Buffer.from(bytes).toString('hex')
const FORMATS = { 1: 'public_message', 2: 'private_message', 3: 'welcome', 4: 'group_info', 5: 'key_package' }

// A framed MLSMessage names its format; a bare KeyPackage cannot be told apart
// from one by its first bytes, so its maker says what it is.
export const framed = (suite, name, bytes) =>
  ({ name, suite, framed: true, wire_format: FORMATS[bytes[2] * 256 + bytes[3]], hex: hex(bytes) })
export const bare = (suite, name, bytes) =>
  ({ name, suite, framed: false, wire_format: 'key_package', hex: hex(bytes) })

export function write(generator, identity, vectors) {
  process.stdout.write(JSON.stringify({ generator, identity, vectors }, null, 1) + '\n')
}
