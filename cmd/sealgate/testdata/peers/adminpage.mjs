// Chromium as a phone without JavaScript, and an administrator before it.
import { chromium } from 'playwright-core'
import { serve } from './lib/port.mjs'

const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
]
const PATIENCE = 150_000 // milliseconds; a loaded machine is slow
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', headless: true, args: FLAGS, timeout: PATIENCE })
const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true })
context.setDefaultTimeout(PATIENCE)
const page = await context.newPage()

const screen = async (directory, name) => page.screenshot({ path: `${directory}/${name}.png`, fullPage: true })
const shown = async () => ({
  url: page.url(), title: await page.title(), text: await page.innerText('body'),
  wide: await page.evaluate('document.documentElement.scrollWidth'),
})

const commands = {
  // login goes from the page's door through the instance's login, as the person named.
  async login({ admin, name, screens }) {
    await page.goto(`${admin}/page/`)
    await screen(screens, 'door')
    await page.tap('a.button')
    await page.tap(`button[value=${name}]`)
    await page.waitForURL(`${admin}/page/**`)
    await page.waitForSelector('nav, section.bad')
    return shown()
  },

  // walk follows every link of the navigation.
  async walk({ screens }) {
    const pages = []
    const links = await page.locator('nav a').count()
    for (let n = 0; n < links; n++) {
      const link = page.locator('nav a').nth(n)
      const to = new URL(await link.getAttribute('href'), page.url()).href
      await link.tap()
      await page.waitForURL(to)
      pages.push(await shown())
      await screen(screens, `page${n}`)
    }
    return { pages }
  },

  // look opens one page as wide and as dark as said, and measures its charts.
  async look({ url, wide, dark, screens, name }) {
    await page.setViewportSize({ width: wide, height: 844 })
    await page.emulateMedia({ colorScheme: dark ? 'dark' : 'light' })
    await page.goto(url)
    await screen(screens, name)
    const charts = await page.evaluate(`[...document.querySelectorAll('svg')].map(s => ({
      wide: s.getBoundingClientRect().width, high: s.getBoundingClientRect().height,
      bars: [...s.querySelectorAll('rect')].map(b => b.getBoundingClientRect()).filter(b => b.width > 1 && b.height > 0.5).length,
      fills: [...new Set([...s.querySelectorAll('rect')].map(b => getComputedStyle(b).fill))],
    }))`)
    return { ...(await shown()), charts }
  },

  // change puts a preset in force, after reading what it would have done.
  async change({ admin, preset, screens }) {
    await page.goto(`${admin}/page/rules`)
    await page.tap(`a[href$="name=${preset}"]`)
    await page.waitForURL(`${admin}/page/preset?name=${preset}`)
    const before = await shown()
    await screen(screens, 'preset')
    await page.tap(`button:has-text("in force")`)
    await page.waitForSelector('.done')
    await page.tap('summary')
    await screen(screens, 'changed')
    return { before: before.text, after: (await shown()).text }
  },

  async undo({ screens }) {
    await page.tap('button:has-text("Undo the last change")')
    await page.waitForURL('**done=undone')
    await screen(screens, 'undone')
    return shown()
  },

  async logout() {
    await page.tap('button:has-text("Log out")')
    await page.waitForSelector('a[href="/page/login"]')
    return shown()
  },
}

await serve({}, commands)
await browser.close()
