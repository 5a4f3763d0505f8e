import { useEffect, useRef, useState } from 'preact/hooks'
import { events, send } from './api.js'
import { Bars, clock, count, duration, Empty, Failed, Legend, nanos, Panel, rate, Rung, Scatter, size, Split, State, Time, useGet, Waiting } from './kit.jsx'

export function Function({ name }) {
  const { data: f, error } = useGet('/functions/' + name)
  const { data: rev } = useGet(f ? `/functions/${name}/revisions/latest` : null)
  const { data: figures } = useGet(f ? `/functions/${name}/figures` : null, 3000)
  const [said, say] = useState(null)
  if (error && !f) return <Failed error={error} />
  if (!f) return <Waiting />
  const act = async (what, body) => {
    try { await send('POST', `/cloudjit/v1/functions/${name}/${what}`, body); say({ text: what === 'optimize' ? 'Your request is stored. The ladder shows how far it is.' : 'It leaves its highest rung.' }) } catch (error) { say({ error }) }
  }
  const p = f.pipeline
  return <>
    <header class="title"><div><p class="crumb"><a href="#/">Functions</a></p><h1>{name}</h1></div>
      <p class="facts"><Rung name={p?.rung} /> <State value={f.state.value} /> <span>{f.kind}</span> <span>{f.runtime}</span> {f.handler && <code>{f.handler}</code>} <span>{f.memoryMiB} MiB</span> <span>timeout {f.timeout}</span> {rev?.driver && rev.driver !== 'process' && <span>virtual machines of {rev.driver}</span>}
        {f.urls.map((u) => <a href={u.path} target="_blank" rel="noreferrer">function URL</a>)}</p>
      <div class="tools"><button type="button" onClick={() => act('optimize', '{}')}>Optimize now</button><button type="button" onClick={() => act('deoptimize')}>Leave this rung</button></div>
    </header>
    {said && (said.error ? <Failed error={said.error} /> : <p class="note" role="status">{said.text}</p>)}
    <dl class="tiles">
      <div><dt>Rate</dt><dd>{rate(figures?.rate)}</dd></div>
      <div><dt>Errors</dt><dd class={figures?.errors ? 'bad' : ''}>{count(figures?.errors ?? 0)}</dd></div>
      <div><dt>p50</dt><dd>{duration(figures?.p50)}</dd></div>
      <div><dt>p99</dt><dd>{duration(figures?.p99)}</dd></div>
      <div><dt>Workers</dt><dd>{p?.workers ?? 0}</dd></div>
      <div><dt>Cold starts</dt><dd>{count(p?.coldStarts ?? 0)}</dd></div>
      <div><dt>Deoptimizations</dt><dd>{p?.deoptimizations ?? 0}</dd></div>
    </dl>
    <div class="columns">
      <Ladder pipeline={p} />
      <Invoke name={name} />
      <Latency name={name} />
      <Before figures={figures} ladder={p?.ladder} />
      <Timeline rev={rev} />
      <Logs name={name} />
    </div>
  </>
}

/** Whether somebody asked for a rung that nothing is being made for yet. */
const waits = (r) => r.wanted && !r.never && !['queued', 'building', 'checking', 'ready'].includes(r.phase)

function Ladder({ pipeline: p }) {
  return <Panel title="Ladder" note={p?.reason}>
    {!p?.ladder?.length ? <Empty>This kind of function has one way to run.</Empty> : <ol class="ladder">{[...p.ladder].reverse().map((r) => <li class={r.rung === p.rung ? 'here' : ''} aria-current={r.rung === p.rung ? 'step' : undefined}>
      <div class="line"><Rung name={r.rung} /> <State value={r.never ? 'failed' : r.phase}>{r.never ? 'cannot be made' : r.wanted && r.phase === 'absent' ? 'wanted' : r.phase}</State>{r.rung === p.rung && <b class="tag">new workers run here</b>}</div>
      <div class="line dim">{[r.startMs && 'start ' + duration(r.startMs / 1000), r.memoryMB && size(r.memoryMB * 1e6), r.diskMB && size(r.diskMB * 1e6) + ' on disk', r.failures && r.failures + ' failures', r.falls && r.falls + ' falls', r.check && `checked: ${r.check.result}`].filter(Boolean).join(' · ')}</div>
      {waits(r) && <div class="why" role="status">It waits for a recording of the function at work. If nothing comes, invoke the function as it is used. Your request stays, and this rung is made then.</div>}
      {r.reason && <div class="why">{r.reason}{r.notBefore && <> Not again before <Time at={r.notBefore} />.</>}</div>}
    </li>)}</ol>}
    {p?.recordings?.map((r) => <p class="dim small">Recording of {r.recording}: {r.phase}{r.version ? `, version ${r.version}` : ''}{r.refused && <span class="bad"> refused: {r.refused}</span>}</p>)}
  </Panel>
}

function Timeline({ rev }) {
  if (!rev) return <Panel title="Pipeline"><Waiting /></Panel>
  const steps = [
    ...rev.history.map((t) => ({ at: t.at, what: t.rung ? <Rung name={t.rung} /> : <b>{t.recording ? 'recording of ' + t.recording : 'pipeline'}</b>, from: t.from, to: t.to, reason: t.reason, event: t.event })),
    ...rev.builds.filter((b) => b.endedAt).map((b) => ({ at: b.endedAt, what: <>build of <Rung name={b.rung} /></>, to: b.state, reason: b.reason || (b.cached ? 'the same artifact existed already' : `${nanos(b.cost.wall)}, ${nanos(b.cost.cpu)} of CPU, peak ${size(b.cost.peakRss)}, artifact ${size(b.cost.size)}`) })),
    { at: rev.createdAt, what: <b>revision</b>, to: 'created', reason: rev.version === '$LATEST' ? 'deployed' : 'version ' + rev.version },
  ].sort((a, b) => new Date(b.at) - new Date(a.at))
  return <Panel title="Pipeline" note={`${rev.history.length} steps, ${rev.builds.length} builds, ${rev.metadata.length} versions of its metadata`}>
    <ol class="timeline" tabIndex={0} aria-label="Steps of the pipeline, the newest first">{steps.map((s) => <li class={/fail|deopt|differ/.test(s.to + s.event) ? 'bad' : s.to === 'ready' || s.to === 'succeeded' ? 'good' : ''}>
      <div class="line"><Time at={s.at} /> {s.what} {s.from && <span class="dim">{s.from} →</span>} <State value={s.to} /></div>
      {s.reason && <div class="why">{s.reason}</div>}
    </li>)}</ol>
  </Panel>
}

function Latency({ name }) {
  const { data } = useGet(`/invocations?function=${name}&limit=1000`, 3000)
  const list = data?.invocations ?? []
  const by = {}
  for (const i of [...list].reverse()) (by[i.rung] ??= []).push([new Date(i.at).getTime() / 1000, Math.max(1e-6, i.seconds)])
  const series = Object.entries(by).map(([name, points]) => ({ name, points }))
  return <Panel title="Latency" note="time in the worker; each point is an invocation; the scale is logarithmic">
    {list.length ? <Scatter series={series} label={`Latency of the last ${list.length} invocations by rung`} /> : <Empty>Nothing has run since the server started.</Empty>}
  </Panel>
}

function Before({ figures, ladder }) {
  const rungs = figures?.rungs ?? []
  const row = (name) => ladder?.find((l) => l.rung === name)
  const most = Math.max(...rungs.map((r) => r.parts ? r.parts.queue + r.parts.sandbox + r.parts.runtime + r.parts.init + (r.handler ?? 0) : 0))
  return <Panel title="Before and after each rung" note="since the server started">
    {!rungs.length ? <Empty>Nothing has run since the server started.</Empty> : <>
      <h3>Latency, p50 and p99</h3>
      <Bars label="Latency by rung" items={rungs.flatMap((r) => [{ label: <Rung name={r.rung} />, value: r.p50, text: duration(r.p50), tone: 'f-' + r.rung }, { label: <span class="dim">p99</span>, value: r.p99, text: duration(r.p99), tone: 'thin f-' + r.rung }])} />
      <h3>Memory of a worker</h3>
      <Bars label="Memory by rung" items={rungs.map((r) => ({ label: <Rung name={r.rung} />, value: (row(r.rung)?.memoryMB ?? 0) * 1e6 || r.memoryBytes || 0, text: size((row(r.rung)?.memoryMB ?? 0) * 1e6 || r.memoryBytes), tone: 'f-' + r.rung }))} />
      <h3>Cold starts, mean</h3>
      {rungs.some((r) => r.parts) ? <><ul class="bars">{rungs.filter((r) => r.parts).map((r) => <li><span class="what"><Rung name={r.rung} /></span><Split value={{ ...r.parts, handler: r.handler }} most={most} /><span class="num">{duration(r.coldP50)}</span></li>)}</ul><Legend /></> : <Empty>None since the server started.</Empty>}
    </>}
  </Panel>
}

/** Sends one invocation; what came of it as the page shows it. */
export async function invoke(name, payload) {
  const began = performance.now()
  const res = await send('POST', `/2015-03-31/functions/${name}/invocations`, payload, { 'x-amz-log-type': 'Tail' })
  const body = await res.text()
  const h = (k) => res.headers.get(k)
  let shown = body
  try { shown = JSON.stringify(JSON.parse(body), null, 2) } catch { /* it is text */ }
  const log = h('x-amz-log-result')
  return { body: shown, error: h('x-amz-function-error'), rung: h('x-cloudjit-rung'), cold: h('x-cloudjit-cold') === 'true', request: h('x-amzn-requestid'), seconds: (performance.now() - began) / 1000, log: log ? new TextDecoder().decode(Uint8Array.from(atob(log), (c) => c.charCodeAt(0))) : '' }
}

function Invoke({ name }) {
  const key = 'event-' + name
  const [text, setText] = useState(sessionStorage.getItem(key) ?? '{}')
  const [state, set] = useState({})
  let wrong = null
  try { JSON.parse(text) } catch (e) { wrong = e.message }
  const run = async () => {
    sessionStorage.setItem(key, text)
    set({ busy: true })
    try { set({ result: await invoke(name, text) }) } catch (error) { set({ error }) }
  }
  const keys = (e) => {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey) && !wrong) { e.preventDefault(); run() }
  }
  const r = state.result
  return <Panel title="Invoke" tools={<><button type="button" disabled={!!wrong} onClick={() => setText(JSON.stringify(JSON.parse(text), null, 2))}>Format</button><button type="button" class="primary" disabled={!!wrong || state.busy} onClick={run}>{state.busy ? 'Running…' : 'Invoke'}</button></>}>
    <label class="editor"><span class="sr">Event, JSON</span><textarea spellcheck={false} rows={6} value={text} onInput={(e) => setText(e.currentTarget.value)} onKeyDown={keys} aria-invalid={!!wrong} aria-describedby="event-help" /></label>
    <p id="event-help" class={'small ' + (wrong ? 'bad' : 'dim')}>{wrong ?? 'The event, as JSON. Control and Enter sends it.'}</p>
    <Failed error={state.error} />
    <div aria-live="polite">{r && <>
      <p class="line"><State value={r.error ? 'failed' : 'ok'}>{r.error ? 'function error: ' + r.error : 'ok'}</State> <Rung name={r.rung} /> {r.cold && <b class="tag">cold start</b>} <span class="dim">{duration(r.seconds)} round trip</span></p>
      <pre tabIndex={0} aria-label="Answer">{r.body.slice(0, 100000)}</pre>
      {r.log && <details><summary>Log</summary><pre tabIndex={0}>{r.log}</pre></details>}
    </>}</div>
  </Panel>
}

function Logs({ name }) {
  const [lines, set] = useState([])
  const [text, setText] = useState('')
  const [error, fail] = useState(null)
  const box = useRef(null)
  const stick = useRef(true)
  useEffect(() => {
    const life = new AbortController()
    let fresh = [], due = null
    set([])
    ;(async () => {
      while (!life.signal.aborted) {
        try {
          await events(`/functions/${name}/logs?follow=true&lines=200`, (l) => {
            fresh.push(l)
            due ??= setTimeout(() => { due = null; const add = fresh; fresh = []; set((old) => [...old, ...add].slice(-1000)) }, 200)
          }, life.signal)
        } catch (e) { if (!life.signal.aborted) { fail(e); await new Promise((r) => setTimeout(r, 3000)) } }
      }
    })()
    return () => { life.abort(); clearTimeout(due) }
  }, [name])
  useEffect(() => { if (stick.current && box.current) box.current.scrollTop = box.current.scrollHeight }, [lines])
  const shown = text ? lines.filter((l) => l.text.toLowerCase().includes(text.toLowerCase())) : lines
  return <Panel title="Log" note="live" tools={<input type="search" placeholder="Filter" aria-label="Filter the log" value={text} onInput={(e) => setText(e.currentTarget.value)} />}>
    {error && !lines.length && <Failed error={error} />}
    <div class="log" ref={box} tabIndex={0} role="log" aria-label={'Log of ' + name} onScroll={(e) => { const b = e.currentTarget; stick.current = b.scrollTop + b.clientHeight > b.scrollHeight - 8 }}>
      {shown.length ? shown.map((l) => <div key={l.seq} class={l.platform ? 'platform' : ''}><time>{clock(l.time)}</time> <span>{l.text}</span></div>) : <div class="dim">It has written nothing yet.</div>}
    </div>
  </Panel>
}
