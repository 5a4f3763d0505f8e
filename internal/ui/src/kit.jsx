// What all panels are made of.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import { changes, get } from './api.js'

/** Takes a file that is dropped anywhere in the window while the panel is shown; elsewhere a browser would leave the page for it. */
export function useDrop(take) {
  const area = useRef(null)
  const now = useRef(take)
  now.current = take
  useEffect(() => {
    const over = (e) => { e.preventDefault(); area.current?.classList.add('over') }
    const leave = (e) => { if (!e.relatedTarget) area.current?.classList.remove('over') }
    const drop = (e) => { e.preventDefault(); area.current?.classList.remove('over'); if (e.dataTransfer.files[0]) now.current(e.dataTransfer.files[0]) }
    const all = { dragover: over, dragleave: leave, drop }
    for (const name in all) window.addEventListener(name, all[name])
    return () => { for (const name in all) window.removeEventListener(name, all[name]) }
  }, [])
  return area
}

/** What a path of the API says; asked for again when something happened, and every few seconds. */
export function useGet(path, every = 5000) {
  const [state, set] = useState({ path: null, data: null, error: null })
  const tick = changes.value
  const busy = useRef(false)
  useEffect(() => {
    if (!path) return
    let live = true
    const look = async () => {
      if (busy.current === path) return
      busy.current = path
      try {
        const data = await get(path)
        if (live) set({ path, data, error: null })
      } catch (error) {
        if (live) set((s) => ({ path, data: s.path === path ? s.data : null, error }))
      } finally { if (busy.current === path) busy.current = false }
    }
    look()
    const t = setInterval(look, every)
    return () => { live = false; busy.current = false; clearInterval(t) }
  }, [path, tick, every])
  return state.path === path ? state : { data: null, error: null }
}

export const duration = (s) => {
  if (s == null || s === 0) return '–'
  if (s < 0.001) return (s * 1e6).toFixed(0) + ' µs'
  if (s < 0.1) return (s * 1000).toFixed(s < 0.01 ? 2 : 1) + ' ms'
  if (s < 1) return (s * 1000).toFixed(0) + ' ms'
  if (s < 120) return s.toFixed(s < 10 ? 2 : 1) + ' s'
  if (s < 7200) return (s / 60).toFixed(0) + ' min'
  return (s / 3600).toFixed(1) + ' h'
}
export const nanos = (n) => duration((n ?? 0) / 1e9)
export const size = (b) => {
  if (!b) return '–'
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let i = 0
  while (b >= 1000 && i < 4) { b /= 1000; i++ }
  return b.toFixed(b < 10 && i > 0 ? 1 : 0) + ' ' + units[i]
}
export const count = (n) => n == null ? '–' : n >= 10000 ? Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 }).format(n) : Intl.NumberFormat('en').format(n)
export const rate = (r) => !r ? '–' : r < 1 ? (r * 60).toFixed(r * 60 < 10 ? 1 : 0) + '/min' : r.toFixed(r < 10 ? 1 : 0) + '/s'
export const percent = (x) => x == null ? '–' : (100 * x).toFixed(x < 0.1 ? 1 : 0) + ' %'
export const clock = (t) => new Date(t).toLocaleTimeString('en-GB')
export const when = (t) => {
  const d = new Date(t)
  return d.toDateString() === new Date().toDateString() ? clock(t) : d.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' }) + ' ' + clock(t)
}
export const age = (t) => {
  const s = Math.max(0, Math.round((Date.now() - new Date(t)) / 1000))
  if (s < 60) return s + ' s'
  if (s < 3600) return Math.floor(s / 60) + ' min ' + s % 60 + ' s'
  return s < 172800 ? Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min' : Math.floor(s / 86400) + ' days'
}

export const Time = ({ at }) => at ? <time dateTime={at} title={new Date(at).toString()}>{when(at)}</time> : '–'
export const Rung = ({ name }) => name ? <span class={'rung r-' + name}>{name}</span> : <span class="dim">–</span>
const tones = { ready: 'good', ok: 'good', same: 'good', succeeded: 'good', Active: 'good', idle: 'good', failed: 'bad', crashed: 'bad', timeout: 'bad', 'handler-error': 'bad', degraded: 'bad', differs: 'bad', cancelled: 'warn', building: 'busy', running: 'busy', checking: 'busy', queued: 'busy', busy: 'busy', starting: 'busy', Pending: 'busy', recording: 'busy', dropped: 'warn', draining: 'warn' }
export const State = ({ value, children }) => <span class={'state ' + (tones[value] ?? (/error|memory|crash|large/.test(value) ? 'bad' : ''))}>{children ?? value}</span>

export function Panel({ title, children, tools, note, id }) {
  const label = id ?? title.toLowerCase().replace(/\W+/g, '-')
  return <section class="panel" aria-labelledby={'h-' + label}>
    <header><h2 id={'h-' + label}>{title}</h2>{note && <p class="dim">{note}</p>}{tools && <div class="tools">{tools}</div>}</header>
    {children}
  </section>
}

export const Failed = ({ error }) => error ? <p class="alert" role="alert">{error.message}</p> : null
export const Empty = ({ children }) => <p class="empty">{children}</p>
export const Waiting = () => <p class="empty" role="status">Loading…</p>

/** A table of which only the rows in sight are in the document. Columns: {name, key, cell(row), sort(row), num, width}. */
export function Table({ label, columns, rows, keyOf, initial, height = 'auto', row = 41, empty, href }) {
  const box = useRef(null)
  const [view, setView] = useState({ top: 0, height: 800 })
  const [by, setBy] = useState(initial ?? { at: -1, down: false })
  const [at, setAt] = useState(0)
  let list = rows
  const c = columns[by.at]
  if (c?.sort) {
    const sign = by.down ? -1 : 1
    list = rows.map((r) => [c.sort(r), r]).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0) * sign).map(([, r]) => r)
  }
  useLayoutEffect(() => {
    const e = box.current
    if (!e) return
    const measure = () => setView({ top: e.scrollTop, height: e.clientHeight || 800 })
    measure()
    const o = new ResizeObserver(measure)
    o.observe(e)
    return () => o.disconnect()
  }, [!rows.length])
  const from = Math.max(0, Math.floor(view.top / row) - 8)
  const to = Math.min(list.length, Math.ceil((view.top + view.height) / row) + 8)
  const template = columns.map((c) => c.width ?? 'minmax(6rem, 1fr)').join(' ')
  const least = columns.reduce((n, c) => n + (c.least ?? 96), 0)
  const focus = (i) => {
    i = Math.max(0, Math.min(list.length - 1, i))
    setAt(i)
    const e = box.current
    const y = i * row
    if (y < e.scrollTop) e.scrollTop = y
    else if (y + 2 * row > e.scrollTop + e.clientHeight) e.scrollTop = y + 2 * row - e.clientHeight
    requestAnimationFrame(() => e.querySelector(`[aria-rowindex="${i + 2}"]`)?.focus())
  }
  const keys = (ev) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 }[ev.key]
    if (step && ev.target.getAttribute('role') === 'row') { ev.preventDefault(); focus(at + step) }
    if (ev.key === 'Enter' && ev.target.getAttribute('role') === 'row') ev.target.querySelector('a, button')?.click()
  }
  if (!list.length) return <Empty>{empty}</Empty>
  return <div class="table" ref={box} role="table" aria-label={label} aria-rowcount={list.length + 1} aria-colcount={columns.length}
    style={{ maxHeight: height }} onScroll={(e) => setView({ top: e.currentTarget.scrollTop, height: e.currentTarget.clientHeight })} onKeyDown={keys} tabIndex={-1}>
    <div class="tr th" role="row" aria-rowindex={1} style={{ gridTemplateColumns: template, minWidth: least + 'px' }}>
      {columns.map((c, i) => <div role="columnheader" class={c.num ? 'num' : ''} aria-sort={by.at === i ? (by.down ? 'descending' : 'ascending') : undefined}>
        {c.sort ? <button type="button" class="sort" onClick={() => setBy({ at: i, down: by.at === i ? !by.down : !!c.num })}>{c.name}<span aria-hidden="true">{by.at === i ? (by.down ? ' ↓' : ' ↑') : ''}</span></button> : c.name}
      </div>)}
    </div>
    <div role="rowgroup" class="rows" style={{ height: list.length * row + 'px', minWidth: least + 'px' }}>
      {list.slice(from, to).map((r, k) => {
        const i = from + k
        return <div key={keyOf(r)} class={'tr' + (href ? ' link' : '')} role="row" aria-rowindex={i + 2} tabIndex={i === at || (at >= to && i === from) || (at < from && i === from) ? 0 : -1} onFocus={() => setAt(i)}
          style={{ gridTemplateColumns: template, transform: `translateY(${i * row}px)`, height: row + 'px' }}
          onClick={href && ((e) => { if (!e.target.closest('a, button')) location.hash = href(r) })}>
          {columns.map((c) => <div role="cell" class={c.num ? 'num' : ''}>{c.cell(r)}</div>)}
        </div>
      })}
    </div>
  </div>
}

/** Bars of one thing: items {label, value, text, tone}; whole is what a full bar means, else the greatest value. */
export function Bars({ items, label, whole }) {
  const most = whole ?? Math.max(...items.map((i) => i.value), 1e-12)
  return <ul class="bars" aria-label={label}>{items.map((i) => <li>
    <span class="what">{i.label}</span>
    <span class="bar" aria-hidden="true"><span class={'fill ' + (i.tone ?? '')} style={{ width: Math.max(0.5, 100 * i.value / most) + '%' }} /></span>
    <span class="num">{i.text}</span>
  </li>)}</ul>
}

export const parts = [['queue', 'Queue'], ['sandbox', 'Sandbox'], ['runtime', 'Runtime'], ['init', 'Init'], ['handler', 'Handler']]

/** A cold start split in its parts; most is the length of the longest beside it. */
export function Split({ value, most }) {
  const total = parts.reduce((n, [k]) => n + (value[k] ?? 0), 0)
  const text = parts.map(([k, name]) => `${name} ${duration(value[k])}`).join(', ')
  return <span class="split" role="img" aria-label={text} title={text}>
    <span class="whole" style={{ width: 100 * total / (most || total || 1) + '%' }}>{parts.map(([k]) => <span class={'part p-' + k} style={{ width: total ? 100 * (value[k] ?? 0) / total + '%' : 0 }} />)}</span>
  </span>
}
export const Legend = () => <ul class="legend" aria-label="Parts of a cold start">{parts.map(([k, name]) => <li><span class={'dot p-' + k} aria-hidden="true" />{name}</li>)}</ul>

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

const powers = (min, max) => {
  const all = []
  for (let e = Math.ceil(Math.log10(min) - 1e-9); e <= Math.log10(max) + 1e-9; e++) all.push(10 ** e)
  return all
}

/** Points over time, one series a rung: series [{name, color, points: [[seconds, value]]}]. */
export function Scatter({ series, label, height = 240 }) {
  const box = useRef(null)
  const [dark, setDark] = useState(matchMedia('(prefers-color-scheme: dark)').matches)
  useEffect(() => {
    const m = matchMedia('(prefers-color-scheme: dark)')
    const f = () => setDark(m.matches)
    m.addEventListener('change', f)
    return () => m.removeEventListener('change', f)
  }, [])
  const shape = series.map((s) => s.name).join() + dark
  const plot = useRef(null)
  const data = () => {
    const xs = [...new Set(series.flatMap((s) => s.points.map((p) => p[0])))].sort((a, b) => a - b)
    const at = new Map(xs.map((x, i) => [x, i]))
    return [xs, ...series.map((s) => {
      const ys = new Array(xs.length).fill(null)
      for (const [x, y] of s.points) ys[at.get(x)] = y
      return ys
    })]
  }
  useEffect(() => {
    const axis = { stroke: css('--dim'), grid: { stroke: css('--line'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' }
    const e = box.current
    const u = new uPlot({
      width: e.clientWidth || 600, height, legend: { show: false }, cursor: { y: false, drag: { x: true, y: false } },
      scales: { y: { distr: 3 } },
      axes: [{ ...axis, space: 70, values: (_, v) => v.map((x) => clock(x * 1000)) }, { ...axis, size: 64, splits: (_, __, min, max) => powers(min, max), values: (_, v) => v.map((x) => x == null ? '' : duration(x)) }],
      series: [{}, ...series.map((s) => ({ label: s.name, stroke: css('--r-' + s.name) || css('--accent'), width: 0, paths: () => null, points: { show: true, size: 5, fill: css('--r-' + s.name) || css('--accent'), width: 0 } }))],
    }, data(), e)
    plot.current = u
    const o = new ResizeObserver(() => u.setSize({ width: e.clientWidth, height }))
    o.observe(e)
    return () => { o.disconnect(); u.destroy(); plot.current = null }
  }, [shape])
  useEffect(() => { plot.current?.setData(data()) }, [series])
  return <figure><div ref={box} class="plot" role="img" aria-label={label} /><figcaption><ul class="legend">{series.map((s) => <li><Rung name={s.name} /></li>)}</ul></figcaption></figure>
}

/** A dialog that holds the focus while it is open. */
export function Dialog({ title, close, children }) {
  const box = useRef(null)
  useEffect(() => {
    const before = document.activeElement
    box.current.showModal()
    return () => before?.focus?.()
  }, [])
  return <dialog ref={box} aria-labelledby="dialog-title" onClose={close} onClick={(e) => e.target === box.current && box.current.close()}>
    <div class="inside"><header><h2 id="dialog-title">{title}</h2><button type="button" class="plain" aria-label="Close" onClick={() => box.current.close()}>✕</button></header>{children}</div>
  </dialog>
}
