// How the page talks to its server: the same API as everybody's, signed where credentials are asked for.
import { signal } from '@preact/signals'

const stored = sessionStorage.getItem('credentials')
/** The key that requests are signed with; null: none is needed, or none is there. It lives as long as the tab. */
export const credentials = signal(stored ? JSON.parse(stored) : null)
/** The server wants a signature and this one would not do: why, else null. */
export const locked = signal(null)
/** Whether events come: 'connecting', 'live' or 'lost'. */
export const connection = signal('connecting')
/** Grows with what happens; what shows something that may have changed asks again. */
export const changes = signal(0)

export function signIn(c) {
  credentials.value = c
  locked.value = null
  if (c) sessionStorage.setItem('credentials', JSON.stringify(c))
  else sessionStorage.removeItem('credentials')
  changes.value++
}

const hex = (b) => Array.from(new Uint8Array(b), (x) => x.toString(16).padStart(2, '0')).join('')
const bytes = (s) => new TextEncoder().encode(s)
const sha256 = async (b) => hex(await crypto.subtle.digest('SHA-256', b))
async function hmac(key, text) {
  const k = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  return crypto.subtle.sign('HMAC', k, bytes(text))
}
const encode = (s) => encodeURIComponent(s).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase())

/** AWS Signature Version 4, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
async function sign(c, method, url, body, headers) {
  if (!crypto.subtle) throw new Failure(0, 'To sign in, use HTTPS or localhost. Browsers cannot sign requests to other addresses.')
  const at = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = `${at.slice(0, 8)}/${c.region}/lambda/aws4_request`
  const sum = await sha256(bytes(body ?? ''))
  const h = { ...headers, host: url.host, 'x-amz-content-sha256': sum, 'x-amz-date': at }
  const names = Object.keys(h).map((n) => n.toLowerCase()).sort()
  const lower = Object.fromEntries(Object.entries(h).map(([k, v]) => [k.toLowerCase(), String(v).trim()]))
  const query = [...url.searchParams].map(([k, v]) => encode(k) + '=' + encode(v)).sort().join('&')
  const path = url.pathname.split('/').map(encode).join('/')
  const request = [method, path, query, ...names.map((n) => n + ':' + lower[n]), '', names.join(';'), sum].join('\n')
  let key = bytes('AWS4' + c.secret)
  for (const part of [at.slice(0, 8), c.region, 'lambda', 'aws4_request']) key = await hmac(key, part)
  const text = ['AWS4-HMAC-SHA256', at, scope, await sha256(bytes(request))].join('\n')
  const { host, ...sent } = h
  return { ...sent, authorization: `AWS4-HMAC-SHA256 Credential=${c.key}/${scope}, SignedHeaders=${names.join(';')}, Signature=${hex(await hmac(key, text))}` }
}

export class Failure extends Error {
  constructor(status, message, kind) { super(message); this.status = status; this.kind = kind }
}

/** Sends a request; the answer's status is fine, else a Failure says what the server said. */
export async function send(method, path, body, headers = {}, signal) {
  const url = new URL(path, location.origin)
  const c = credentials.value
  let h = headers
  if (body != null && !h['content-type']) h = { ...h, 'content-type': 'application/json' }
  if (c) h = await sign(c, method, url, body, h)
  let res
  try {
    res = await fetch(url, { method, body, headers: h, signal, credentials: 'omit' })
  } catch (e) {
    if (e.name === 'AbortError') throw e
    throw new Failure(0, 'The server cannot be reached.')
  }
  if (res.ok) return res
  const text = await res.text()
  let doc = {}
  try { doc = JSON.parse(text) } catch { /* it is text */ }
  const kind = res.headers.get('x-amzn-errortype') ?? ''
  const f = new Failure(res.status, doc.message ?? doc.Message ?? (text.slice(0, 300) || res.statusText), kind)
  if (res.status === 403 && /MissingAuth|Signature|UnrecognizedClient|InvalidClient|IncompleteSignature|ExpiredToken/i.test(kind)) locked.value = c ? f.message : ''
  throw f
}

export const get = async (path, signal) => (await send('GET', '/cloudjit/v1' + path, null, {}, signal)).json()
export const text = async (path) => (await send('GET', '/cloudjit/v1' + path)).text()

/** Reads server-sent events until signal ends it; EventSource cannot be signed. */
export async function events(path, yieldEvent, signal, opened) {
  const res = await send('GET', '/cloudjit/v1' + path, null, {}, signal)
  opened?.()
  const reader = res.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    rest += value
    const frames = rest.split('\n\n')
    rest = frames.pop()
    for (const f of frames) {
      const data = f.split('\n').find((l) => l.startsWith('data: '))
      if (data) yieldEvent(JSON.parse(data.slice(6)))
    }
  }
}

/** The last events, the newest first. */
export const happened = signal([])

let due = null
function changed() {
  if (due) return
  due = setTimeout(() => { due = null; changes.value++ }, 700)
}

/** Follows the server's events for as long as the page is there. */
export async function follow() {
  let fresh = []
  for (let wait = 500; ; wait = Math.min(wait * 2, 10000)) {
    const life = new AbortController()
    let woken
    const changed_ = new Promise((done) => { woken = done })
    let first = true
    const forget = credentials.subscribe(() => { // another key: another stream, at once
      if (!first) { life.abort(); woken() }
      first = false
    })
    try {
      connection.value = 'connecting'
      await events('/events', (e) => {
        if (e.type !== 'invocation.ended') {
          fresh.push(e)
          if (fresh.length === 1) setTimeout(() => { happened.value = [...fresh.reverse(), ...happened.value].slice(0, 200); fresh = [] }, 200)
        }
        changed()
      }, life.signal, () => { wait = 250; connection.value = 'live' })
    } catch { /* tried again */ }
    connection.value = 'lost'
    await Promise.race([changed_, new Promise((done) => setTimeout(done, wait))])
    forget()
  }
}
