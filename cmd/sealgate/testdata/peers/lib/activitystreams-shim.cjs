// activitypub-bot is written for activitystrea.ms 4; what it calls there and
// 3.1 lacks is added here (see "overrides" in package.json).

// Every loader must know the registered contexts, also the one that
// activitystrea.ms makes for itself when it is first required: so this comes first.
const Loader = require('activitystrea.ms/src/contextloader')
const registered = new Map()
const makeDocLoader = Loader.prototype.makeDocLoader
Loader.prototype.makeDocLoader = function () {
  const load = makeDocLoader.call(this)
  return async (url) => {
    const document = registered.get(url)
    return document ? { contextUrl: null, document, documentUrl: url } : load(url)
  }
}

const as2 = require('activitystrea.ms')
as2.registerContext ??= (url, context) => registered.set(url, context)

const Environment = require('activitystrea.ms/src/environment')
if (!('origContext' in Environment.prototype)) {
  Object.defineProperty(Environment.prototype, 'origContext', { get() { return this.originalContext } })
}

as2.models.Base.prototype.isActivity ??= function () { return this.actor != null }

// Node before 22 has no URL.parse.
URL.parse ??= (...args) => {
  try { return new URL(...args) } catch { return null }
}
