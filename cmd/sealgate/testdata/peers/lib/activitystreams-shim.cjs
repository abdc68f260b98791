// activitypub-bot is written for activitystrea.ms 4; what it calls there and
// 3.1 lacks is added here (see "overrides" in package.json).
const as2 = require('activitystrea.ms')
const Loader = require('activitystrea.ms/src/contextloader')
const Environment = require('activitystrea.ms/src/environment')

as2.registerContext ??= (url, context) => Loader.defaultInstance.register(url, context)
if (!('origContext' in Environment.prototype)) {
  Object.defineProperty(Environment.prototype, 'origContext', { get() { return this.originalContext } })
}

// Node before 22 has no URL.parse.
URL.parse ??= (...args) => {
  try { return new URL(...args) } catch { return null }
}
