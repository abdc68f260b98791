// What an MLSMessage shows without a key (RFC 9420 §6): enough to know for which group
// and epoch it is.
export const WELCOME = 3

// header gives format, and for a PublicMessage or PrivateMessage group and epoch.
export function header(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const format = view.getUint16(2)
  if (format !== 1 && format !== 2) return { format }
  const [length, start] = vectorLength(view, 4)
  const end = start + length
  const group = new TextDecoder().decode(bytes.subarray(start, end))
  const epoch = Number(view.getBigUint64(end))
  return { format, group, epoch, isApplication: format === 2 && view.getUint8(end + 8) === 1 }
}

// vectorLength reads a length of one, two or four bytes (§2.1.2), and where what it measures begins.
function vectorLength(view, at) {
  const first = view.getUint8(at)
  if (first < 0x40) return [first, at + 1]
  if (first < 0x80) return [view.getUint16(at) & 0x3fff, at + 2]
  return [view.getUint32(at) & 0x3fffffff, at + 4]
}
