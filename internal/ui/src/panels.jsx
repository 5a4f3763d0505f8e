import { useEffect, useState } from 'preact/hooks'
import { changes, happened, send, text as getText } from './api.js'
import { age, Bars, clock, count, Dialog, duration, Empty, Failed, Legend, nanos, Panel, percent, Rung, size, Split, State, Table, Time, useDrop, useGet, Waiting } from './kit.jsx'
import { invoke } from './function.jsx'

const link = (name) => <a href={'#/f/' + name}>{name}</a>

export function Invocations() {
  const [q, set] = useState({ text: '', failed: false, cold: false, fn: '' })
  const [open, setOpen] = useState(null)
  const query = new URLSearchParams({ limit: '500', ...(q.text && { search: q.text }), ...(q.failed && { failed: 'true' }), ...(q.cold && { cold: 'true' }) })
  const { data, error } = useGet('/invocations?' + query, 3000)
  const columns = [
    { name: 'Time', width: '6.5rem', least: 104, cell: (i) => <Time at={i.at} /> },
    { name: 'Function', width: 'minmax(9rem, 1.4fr)', least: 150, cell: (i) => link(i.function) },
    { name: 'Outcome', width: 'minmax(8rem, 1fr)', least: 120, cell: (i) => <State value={i.outcome} /> },
    { name: 'Rung', width: 'minmax(8rem, 1fr)', least: 130, cell: (i) => <Rung name={i.rung} /> },
    { name: 'Duration', num: true, width: '6rem', least: 90, cell: (i) => duration(i.seconds) },
    { name: 'Start', width: '5.5rem', least: 80, cell: (i) => i.cold ? <b class="tag">cold</b> : <span class="dim">warm</span> },
    { name: 'Request', width: 'minmax(11rem, 1.6fr)', least: 180, cell: (i) => i.request ? <button type="button" class="plain mono" onClick={() => setOpen(i)}>{i.request}</button> : <button type="button" class="plain" onClick={() => setOpen(i)}>HTTP</button> },
    { name: 'Error', width: 'minmax(8rem, 2fr)', least: 150, cell: (i) => <span class="bad" title={i.error}>{message(i.error)}</span> },
  ]
  return <><Panel title="Invocations" note="the last ones, as long as the server runs" tools={<>
    <input type="search" placeholder="Search function, request, error, event" aria-label="Search invocations" value={q.text} onInput={(e) => set({ ...q, text: e.currentTarget.value })} />
    <label class="check"><input type="checkbox" checked={q.failed} onChange={(e) => set({ ...q, failed: e.currentTarget.checked })} />Failed only</label>
    <label class="check"><input type="checkbox" checked={q.cold} onChange={(e) => set({ ...q, cold: e.currentTarget.checked })} />Cold only</label></>}>
    <Failed error={error} />
    {!data ? !error && <Waiting /> : <Table label="Invocations" columns={columns} rows={data.invocations} keyOf={(i) => i.seq} height="calc(100vh - 11rem)" empty={q.text || q.failed || q.cold ? 'No invocation matches.' : 'Nothing has run since the server started.'} />}
  </Panel>{open && <Invocation i={open} close={() => setOpen(null)} />}</>
}

function message(error) {
  if (!error) return ''
  try { const d = JSON.parse(error); return d.errorMessage ?? d.errorType ?? error } catch { return /"errorMessage":"((?:[^"\\]|\\.)*)/.exec(error)?.[1] ?? error }
}

function Invocation({ i, close }) {
  const { data } = useGet(i.request ? '/invocations/' + i.request : null, 60000)
  const { data: log } = useGet(i.request ? `/functions/${i.function}/logs?request=${i.request}` : null, 60000)
  const [state, set] = useState({})
  const again = async () => {
    set({ busy: true })
    try { set({ result: await invoke(i.function, JSON.stringify(data.payload)) }) } catch (error) { set({ error }) }
  }
  return <Dialog title={'Invocation of ' + i.function} close={close}>
    <p class="line"><State value={i.outcome} /> <Rung name={i.rung} /> <span>{duration(i.seconds)}</span> <Time at={i.at} /> <code>{i.request}</code></p>
    {i.cold && <><h3>Cold start</h3><Split value={{ ...i.cold, handler: i.seconds }} /><Legend /></>}
    {i.error && <><h3>Error</h3><pre tabIndex={0}>{pretty(i.error)}</pre></>}
    <h3>Event</h3>
    {data && ('payload' in data ? <pre tabIndex={0}>{JSON.stringify(data.payload, null, 2)}</pre> : <p class="dim">It was not kept: events are up to 4 KiB, and the oldest give way.</p>)}
    {data && 'payload' in data && <p><button type="button" class="primary" disabled={state.busy} onClick={again}>{state.busy ? 'Running…' : 'Run again'}</button></p>}
    <Failed error={state.error} />
    {state.result && <div role="status"><p class="line"><State value={state.result.error ? 'failed' : 'ok'} /> <Rung name={state.result.rung} /> {duration(state.result.seconds)}</p><pre tabIndex={0}>{state.result.body}</pre></div>}
    <h3>Log lines</h3>
    {log?.lines?.length ? <pre class="log" tabIndex={0}>{log.lines.map((l) => clock(l.time) + ' ' + l.text).join('\n')}</pre> : <p class="dim">None.</p>}
  </Dialog>
}

const pretty = (s) => { try { return JSON.stringify(JSON.parse(s), null, 2) } catch { return s } }

export function ColdStarts() {
  const { data, error } = useGet('/invocations?cold=true&limit=300', 3000)
  if (!data) return <><Failed error={error} />{!error && <Waiting />}</>
  const list = data.invocations
  const total = (i) => i.cold.queue + i.cold.sandbox + i.cold.runtime + i.cold.init + i.seconds
  const by = {}
  for (const i of list) (by[i.rung] ??= []).push(i)
  const means = Object.entries(by).map(([rung, l]) => {
    const mean = (f) => l.reduce((n, i) => n + f(i), 0) / l.length
    return { rung, n: l.length, value: { queue: mean((i) => i.cold.queue), sandbox: mean((i) => i.cold.sandbox), runtime: mean((i) => i.cold.runtime), init: mean((i) => i.cold.init), handler: mean((i) => i.seconds) }, total: mean(total) }
  }).sort((a, b) => b.total - a.total)
  const most = Math.max(...list.map(total), 0)
  return <>
    <Panel title="Cold starts by rung" note="means of the last ones">{means.length ? <><ul class="bars wide">{means.map((m) => <li><span class="what"><Rung name={m.rung} /> <span class="dim">{m.n}</span></span><Split value={m.value} most={means[0].total} /><span class="num">{duration(m.total)}</span></li>)}</ul><Legend /></> : <Empty>There was none since the server started.</Empty>}</Panel>
    {list.length > 0 && <Panel title="The last cold starts"><Table label="Cold starts" rows={list} keyOf={(i) => i.seq} height="calc(100vh - 24rem)" columns={[
      { name: 'Time', width: '6.5rem', least: 104, cell: (i) => <Time at={i.at} /> },
      { name: 'Function', width: 'minmax(8rem, 1fr)', least: 140, cell: (i) => link(i.function) },
      { name: 'Rung', width: '9.5rem', least: 140, cell: (i) => <Rung name={i.rung} /> },
      { name: 'Parts', width: 'minmax(12rem, 3fr)', least: 200, cell: (i) => <Split value={{ ...i.cold, handler: i.seconds }} most={most} /> },
      { name: 'Total', num: true, width: '6rem', least: 90, sort: total, cell: (i) => duration(total(i)) },
    ]} /></Panel>}
  </>
}

export function Workers() {
  const { data, error } = useGet('/workers', 3000)
  const { data: ends } = useGet('/worker-ends')
  const { data: nodes } = useGet('/nodes')
  if (!data) return <><Failed error={error} />{!error && <Waiting />}</>
  const n = nodes?.nodes?.[0]
  const reasons = {}
  for (const e of ends?.ends ?? []) reasons[e.reason] = (reasons[e.reason] ?? 0) + 1
  const memory = (w) => w.memory.pss || w.memory.rss
  const by = {}
  for (const w of data.workers) { const x = by[w.rung] ??= { n: 0, bytes: 0 }; x.n++; x.bytes += memory(w) }
  return <>
    <dl class="tiles">
      <div><dt>Workers</dt><dd>{data.workers.length}</dd></div>
      <div><dt>Busy</dt><dd>{data.workers.filter((w) => w.state === 'busy').length}</dd></div>
      <div><dt>Memory</dt><dd>{size(data.workers.reduce((s, w) => s + memory(w), 0))}</dd></div>
      {n && <div><dt>Reserved</dt><dd>{size(n.reservedMiB * 1048576)} <small>of {size(n.budgetMiB * 1048576)}</small></dd></div>}
      <div><dt>Evicted</dt><dd>{count(Object.entries(reasons).reduce((s, [k, v]) => s + (/evict/.test(k) ? v : 0), 0))}</dd></div>
    </dl>
    <div class="columns">
      <Panel title="Memory by rung">{data.workers.length ? <Bars label="Memory by rung" items={Object.entries(by).map(([rung, x]) => ({ label: <><Rung name={rung} /> <span class="dim">{x.n}</span></>, value: x.bytes, text: size(x.bytes), tone: 'f-' + rung }))} /> : <Empty>No worker runs.</Empty>}</Panel>
      <Panel title="Why workers ended" note="the last 500">{ends?.ends?.length ? <Bars label="Why workers ended" items={Object.entries(reasons).sort((a, b) => b[1] - a[1]).map(([k, v]) => ({ label: k, value: v, text: count(v) }))} /> : <Empty>No worker has ended since the server started.</Empty>}</Panel>
    </div>
    <Panel title="Workers"><Table label="Workers" rows={data.workers} keyOf={(w) => w.id} height="24rem" href={(w) => '#/f/' + w.function} empty="No worker runs: they start with the first invocation." columns={[
      { name: 'Function', width: 'minmax(9rem, 1.5fr)', least: 150, sort: (w) => w.function, cell: (w) => link(w.function) },
      { name: 'Rung', width: 'minmax(9rem, 1fr)', least: 140, sort: (w) => w.rung, cell: (w) => <Rung name={w.rung} /> },
      { name: 'State', width: '7rem', least: 100, sort: (w) => w.state, cell: (w) => <><State value={w.state} />{w.paused && <span class="dim"> paused</span>}</> },
      { name: 'Memory', num: true, width: '6rem', least: 90, sort: memory, cell: (w) => size(memory(w)) },
      { name: 'Peak', num: true, width: '6rem', least: 90, sort: (w) => w.memory.peak, cell: (w) => size(w.memory.peak) },
      { name: 'CPU', num: true, width: '6rem', least: 80, sort: (w) => w.cpuSeconds, cell: (w) => duration(w.cpuSeconds) },
      { name: 'Served', num: true, width: '6rem', least: 80, sort: (w) => w.invocations, cell: (w) => count(w.invocations) },
      { name: 'Records', width: '7rem', least: 100, cell: (w) => w.recording ?? '–' },
      { name: 'Age', num: true, width: '6rem', least: 80, sort: (w) => -new Date(w.startedAt), cell: (w) => age(w.startedAt) },
    ]} /></Panel>
    <Panel title="Workers that ended"><Table label="Workers that ended" rows={ends?.ends ?? []} keyOf={(e) => e.worker + e.at} height="20rem" empty="No worker has ended since the server started." columns={[
      { name: 'Time', width: '7rem', least: 104, cell: (e) => <Time at={e.at} /> },
      { name: 'Function', width: 'minmax(9rem, 1fr)', least: 150, cell: (e) => link(e.function) },
      { name: 'Rung', width: '10rem', least: 140, cell: (e) => <Rung name={e.rung} /> },
      { name: 'Reason', width: 'minmax(10rem, 2fr)', least: 160, cell: (e) => e.reason },
    ]} /></Panel>
  </>
}

export function Builds() {
  const { data, error } = useGet('/builds', 3000)
  const [open, setOpen] = useState(null)
  if (!data) return <><Failed error={error} />{!error && <Waiting />}</>
  const running = data.builds.filter((b) => b.state === 'running')
  return <>
    <Panel title="Running now">{running.length ? running.map((b) => <div class="build" key={b.id}><p class="line"><span class="spin" aria-hidden="true" />{link(b.function)} <Rung name={b.rung} /> <span>{b.phase ?? 'starting'}</span> <span class="dim">{age(b.startedAt ?? b.queuedAt)}, {b.trigger}</span></p><BuildLog b={b} live /></div>) : <Empty>No build runs.</Empty>}</Panel>
    <Panel title="Waiting and back-off" note="what will be built, and what is not tried again yet">{data.waiting.length ? <Table label="Waiting and back-off" rows={data.waiting} keyOf={(w) => w.revision + w.rung} height="18rem" columns={[
      { name: 'Function', width: 'minmax(9rem, 1fr)', least: 150, cell: (w) => link(w.function) },
      { name: 'Rung', width: '10rem', least: 150, cell: (w) => <Rung name={w.rung} /> },
      { name: 'State', width: '9rem', least: 120, cell: (w) => <State value={w.never ? 'failed' : w.phase}>{w.never ? 'cannot be made' : w.wanted ? 'wanted, ' + w.phase : w.phase}</State> },
      { name: 'Failures', num: true, width: '5.5rem', least: 80, cell: (w) => w.failures || '–' },
      { name: 'Not before', width: '8rem', least: 110, cell: (w) => w.notBefore ? <Time at={w.notBefore} /> : '–' },
      { name: 'Reason', width: 'minmax(12rem, 3fr)', least: 220, cell: (w) => <span title={w.reason}>{w.reason}</span> },
    ]} /> : <Empty>Nothing waits for a build.</Empty>}</Panel>
    <Panel title="Builds"><Table label="Builds" rows={data.builds} keyOf={(b) => b.id} height="calc(100vh - 20rem)" empty="Nothing was built yet." columns={[
      { name: 'Queued', width: '7.5rem', least: 110, cell: (b) => <Time at={b.queuedAt} /> },
      { name: 'Function', width: 'minmax(8rem, 1fr)', least: 140, cell: (b) => link(b.function) },
      { name: 'Rung', width: '10rem', least: 140, cell: (b) => <Rung name={b.rung} /> },
      { name: 'State', width: '7rem', least: 100, cell: (b) => <State value={b.state} /> },
      { name: 'Took', num: true, width: '5.5rem', least: 80, cell: (b) => b.cached ? 'cached' : nanos(b.cost.wall) },
      { name: 'CPU', num: true, width: '5.5rem', least: 80, cell: (b) => nanos(b.cost.cpu) },
      { name: 'Peak', num: true, width: '5.5rem', least: 80, cell: (b) => size(b.cost.peakRss) },
      { name: 'Artifact', num: true, width: '5.5rem', least: 80, cell: (b) => size(b.cost.size) },
      { name: 'Why', width: 'minmax(9rem, 2fr)', least: 160, cell: (b) => <span class={b.reason ? 'bad' : 'dim'} title={(b.reason ?? b.trigger ?? '') + ' ' + (b.hint ?? '')}>{b.reason || b.trigger}</span> },
      { name: 'Log', width: '4.5rem', least: 70, cell: (b) => <button type="button" class="plain" aria-label={`Log of the build of ${b.function} for ${b.rung}`} onClick={() => setOpen(b)}>Log</button> },
    ]} /></Panel>
    {open && <Dialog title={`Build of ${open.function}`} close={() => setOpen(null)}><p class="line"><Rung name={open.rung} /> <State value={open.state} /> {nanos(open.cost.wall)}</p>{open.reason && <p class="bad">{open.reason} {open.hint}</p>}<BuildLog b={open} live={open.state === 'running'} /></Dialog>}
  </>
}

function BuildLog({ b, live }) {
  const [log, set] = useState(null)
  const tick = live ? changes.value : 0
  useEffect(() => {
    let on = true
    const look = () => getText(`/functions/${b.function}/revisions/${b.revision}/builds/${b.id}/log`).then((t) => on && set(t), (e) => on && set(e.message))
    look()
    const t = live && setInterval(look, 1000)
    return () => { on = false; clearInterval(t) }
  }, [b.id, live])
  return <pre class="log" tabIndex={0} aria-label="Build log" ref={(e) => { if (e && live) e.scrollTop = e.scrollHeight }}>{log == null ? 'Loading…' : log.slice(-200000) || 'The builder has written nothing yet.'}</pre>
}

export function Deoptimizations() {
  const { data, error } = useGet('/deoptimizations')
  return <Panel title="Deoptimizations" note="A binary met an element that it was not built for. The function went on with a rung below. The next build has the element.">
    <Failed error={error} />
    {!data ? !error && <Waiting /> : <Table label="Deoptimizations" rows={data.deoptimizations} keyOf={(d) => d.at + d.function + d.missing} height="calc(100vh - 11rem)" empty="There was none." columns={[
      { name: 'Time', width: '8rem', least: 110, cell: (d) => <Time at={d.at} /> },
      { name: 'Function', width: 'minmax(9rem, 1fr)', least: 150, cell: (d) => link(d.function) },
      { name: 'Rung', width: '10rem', least: 150, cell: (d) => <Rung name={d.rung} /> },
      { name: 'Missing element', width: 'minmax(16rem, 4fr)', least: 300, cell: (d) => <code title={d.missing}>{d.missing}</code> },
    ]} />}
  </Panel>
}

export function Queue() {
  const { data, error } = useGet('/queue', 2000)
  const { data: dead, error: error2 } = useGet('/dead-letters')
  const [said, say] = useState(null)
  const act = (method, l, path) => async () => {
    try { await send(method, `/cloudjit/v1/dead-letters/${l.id}${path}`); say({ text: path ? `The event of ${l.function} is queued again.` : 'The dead letter is deleted.' }); changes.value++ } catch (error) { say({ error }) }
  }
  const oldest = data?.events?.[0]
  return <>
    <dl class="tiles">
      <div><dt>Waiting</dt><dd>{count(data?.functions.reduce((n, f) => n + f.events - f.running, 0) ?? 0)}</dd></div>
      <div><dt>Running</dt><dd>{count(data?.functions.reduce((n, f) => n + f.running, 0) ?? 0)}</dd></div>
      <div><dt>Oldest</dt><dd>{oldest ? age(oldest.enqueuedAt) : '–'}</dd></div>
      <div><dt>Dead letters</dt><dd class={dead?.deadLetters.length ? 'bad' : ''}>{count(dead?.deadLetters.length ?? 0)}{dead?.deadLetters.length === 100 && '+'}</dd></div>
    </dl>
    <Failed error={error ?? error2 ?? said?.error} />{said?.text && <p class="note" role="status">{said.text}</p>}
    <Panel title="Asynchronous queue" note="the oldest 100 events">{data && <Table label="Asynchronous queue" rows={data.events} keyOf={(e) => e.requestId} height="22rem" empty="The queue is empty." columns={[
      { name: 'Age', num: true, width: '5.5rem', least: 80, cell: (e) => age(e.enqueuedAt) },
      { name: 'Function', width: 'minmax(9rem, 1fr)', least: 150, cell: (e) => link(e.function) },
      { name: 'State', width: '8rem', least: 110, cell: (e) => <State value={e.running ? 'running' : 'queued'}>{e.running ? 'running' : e.notBefore ? 'waits' : 'queued'}</State> },
      { name: 'Failed', num: true, width: '5.5rem', least: 80, cell: (e) => e.failed || '–' },
      { name: 'Put off', num: true, width: '5.5rem', least: 80, cell: (e) => e.deferred || '–' },
      { name: 'Next try', width: '8rem', least: 110, cell: (e) => e.notBefore ? <Time at={e.notBefore} /> : '–' },
      { name: 'Size', num: true, width: '5.5rem', least: 80, cell: (e) => size(e.bytes) },
      { name: 'Request', width: 'minmax(12rem, 2fr)', least: 200, cell: (e) => <span class="mono">{e.requestId}</span> },
    ]} />}</Panel>
    <Panel title="Dead letters" note="given up; redrive queues one again">{dead && <Table label="Dead letters" rows={dead.deadLetters} keyOf={(l) => l.id} height="26rem" empty="There are no dead letters." columns={[
      { name: 'Time', width: '8rem', least: 110, cell: (l) => <Time at={l.at} /> },
      { name: 'Function', width: 'minmax(9rem, 1fr)', least: 150, cell: (l) => link(l.function) },
      { name: 'Reason', width: '10rem', least: 150, cell: (l) => l.reason },
      { name: 'Attempts', num: true, width: '5.5rem', least: 80, cell: (l) => l.attempts },
      { name: 'Error', width: 'minmax(10rem, 2fr)', least: 180, cell: (l) => <span class="bad" title={JSON.stringify(l.error)}>{l.error?.errorMessage ?? ''}</span> },
      { name: 'Event', width: 'minmax(8rem, 1.4fr)', least: 140, cell: (l) => <code title={JSON.stringify(l.payload)}>{JSON.stringify(l.payload)}</code> },
      { name: 'Do', width: '10rem', least: 160, cell: (l) => <span class="tools"><button type="button" onClick={act('POST', l, '/redrive')} aria-label={`Redrive event ${l.id} of ${l.function}`}>Redrive</button><button type="button" class="plain" onClick={act('DELETE', l, '')} aria-label={`Delete dead letter ${l.id}`}>Delete</button></span> },
    ]} />}</Panel>
  </>
}

const Behind = ({ node }) => node.current ? <span>has all of the state</span> : <span class="bad">{node.lag ? `${count(node.lag)} operations behind` : 'its copy of the state is not current'}</span>

/** What concerns all nodes together: who leads, whether anything can be written, and who did not answer. */
function Cluster({ data }) {
  const live = data.nodes.filter((n) => n.state === 'live').length
  const silent = data.unanswered ?? []
  return <Panel title="Cluster" note={`${data.replicas.length} copies of the state`}>
    {!data.quorum && <p class="alert" role="alert"><b>No quorum</b> Fewer than half of the copies can be reached, or no leader is elected yet. Functions are invoked from memory; nothing can be changed.</p>}
    {silent.length > 0 && <p class="alert" role="alert"><b>No answer</b> from {silent.join(', ')}: what is shown of them is what others know.</p>}
    <dl class="tiles">
      <div><dt>Live nodes</dt><dd>{live} <small>of {data.nodes.length}</small></dd></div>
      <div><dt>Leader</dt><dd>{data.leader || 'none'}</dd></div>
      <div><dt>Quorum</dt><dd>{data.quorum ? 'yes' : 'no'}</dd></div>
      <div><dt>Most behind</dt><dd>{count(Math.max(0, ...data.replicas.map((r) => r.lag)))} <small>operations</small></dd></div>
    </dl>
  </Panel>
}

export function Nodes() {
  const { data, error } = useGet('/nodes', 3000)
  if (!data) return <><Failed error={error} />{!error && <Waiting />}</>
  return <>{data.replicas && <Cluster data={data} />}
  {data.nodes.map((n) => {
    const h = n.host
    return <Panel key={n.name} title={n.name} note={`CloudJIT ${n.version}, up for ${age(n.startedAt)}`}>
      <p class="line"><State value={n.status} /> <b class="tag">{n.role === 'single' ? 'the only node' : n.role}</b>{n.state && <> <State value={n.state} /> <Behind node={n} />{n.lastSeen && <> heard of <Time at={n.lastSeen} /></>}</>}</p>
      {(n.problems ?? []).map((p) => <p class="alert" role="alert"><b>{p.component}</b> {p.message} <Time at={p.since} /></p>)}
      <dl class="tiles">
        <div><dt>Load</dt><dd>{h ? h.load.toFixed(2) : '–'} <small>on {n.cpus} CPUs</small></dd></div>
        <div><dt>Memory in use</dt><dd>{h ? size(h.memoryBytes - h.memoryFree) : '–'} <small>of {size(h?.memoryBytes)}</small></dd></div>
        <div><dt>Reserved</dt><dd>{size(n.reservedMiB * 1048576)} <small>of {size(n.budgetMiB * 1048576)}</small></dd></div>
        <div><dt>Disk free</dt><dd>{size(h?.diskFree)} <small>of {size(h?.diskBytes)}</small></dd></div>
        <div><dt>Running, waiting</dt><dd>{n.running}, {n.waiting}</dd></div>
        <div><dt>Builds, queued</dt><dd>{n.buildsRunning}, {n.buildsQueued}</dd></div>
        <div><dt>Invocations</dt><dd>{count(n.invocations)}</dd></div>
        <div><dt>Refused</dt><dd>{count(n.rejections)}</dd></div>
      </dl>
      <div class="columns inner">
        <div><h3>Stored, and how much may be</h3><Bars label="Disk by kind" whole={1} items={(n.disk ?? []).map((d) => ({ label: d.kind, value: d.limit ? d.bytes / d.limit : 0, tone: d.limit && d.bytes > 0.9 * d.limit ? 'full' : '', text: (d.bytes ? size(d.bytes) : 'nothing') + (d.limit ? ' of ' + size(d.limit) : '') }))} /></div>
        <div><h3>Workers</h3>{Object.keys(n.workers ?? {}).length ? <Bars label="Workers by rung" items={Object.entries(n.workers).map(([r, s]) => ({ label: <Rung name={r} />, value: Object.values(s).reduce((a, b) => a + b, 0), text: Object.entries(s).map(([k, v]) => v + ' ' + k).join(', '), tone: 'f-' + r }))} /> : <Empty>No worker runs.</Empty>}</div>
      </div>
    </Panel>
  })}
  <Panel title="Events" note="as they come"><Table label="Events" rows={happened.value} keyOf={(e) => e.seq} height="24rem" empty="None since you opened the page." columns={[
    { name: 'Time', width: '7rem', least: 100, cell: (e) => <Time at={e.time} /> },
    { name: 'Event', width: '12rem', least: 170, cell: (e) => e.type },
    { name: 'Function', width: 'minmax(9rem, 1fr)', least: 150, cell: (e) => e.function ? link(e.function) : '–' },
    { name: 'Reason', width: 'minmax(12rem, 3fr)', least: 220, cell: (e) => <span title={e.reason}>{e.reason ?? ''}</span> },
  ]} /></Panel></>
}

/** Opens what "cloudjit simulate --json" prints; the file stays in the browser. */
export function Simulation() {
  const [state, set] = useState({})
  const read = async (file) => {
    try {
      const r = JSON.parse(await file.text())
      if (!Array.isArray(r.runs) || !r.runs.every((x) => x.policy && x.summary)) throw new Error('it has no "runs" of policies')
      set({ r, name: file.name })
    } catch (e) { set({ error: new Error(`${file.name} is no report of "cloudjit simulate --json": ${e.message}`) }) }
  }
  const r = state.r
  const chart = (title, value, text) => <Panel title={title}><Bars label={title} items={r.runs.map((x) => ({ label: x.policy, value: value(x.summary), text: text(value(x.summary)) }))} /></Panel>
  const area = useDrop(read)
  return <div ref={area} class="dropzone">
    <Panel title="Simulation" note={r ? state.name : 'result.json of a report, or what "cloudjit simulate --json" prints'} tools={<label class="button">Open a report<input type="file" class="sr" accept=".json,application/json" aria-label="Open a report" onChange={(e) => e.currentTarget.files[0] && read(e.currentTarget.files[0])} /></label>}>
      <Failed error={state.error} />
      {!r ? <Empty>Drop a report here. It is read in this browser and sent nowhere.</Empty> : <>
        <p class="line"><b>{count(r.functions)}</b> functions, <b>{count(r.invocations)}</b> invocations, <b>{nanos(r.lengthNs)}</b> of trace, ladder <b>{r.options?.ladder?.name}</b></p>
        <div class="scroll" tabIndex={0} role="region" aria-label="Policies"><table class="plain"><thead><tr><th scope="col">Policy</th>{['Resident memory', 'Saved', 'Cold starts', 'Of them native', 'p50', 'p99', 'Builds', 'Build CPU', 'Deoptimizations', 'Rejected'].map((h) => <th scope="col" class="num">{h}</th>)}</tr></thead>
          <tbody>{r.runs.map(({ policy, summary: s }) => <tr><th scope="row">{policy}</th><td class="num">{size(s.residentMB * 1e6)}</td><td class="num">{percent(s.savedResident)}</td><td class="num">{count(s.coldStarts)} ({percent(s.coldShare)})</td><td class="num">{percent(s.nativeColdShare)}</td><td class="num">{nanos(s.response?.p50Ns)}</td><td class="num">{nanos(s.response?.p99Ns)}</td><td class="num">{count(s.builds)}</td><td class="num">{duration(s.buildCPUSeconds)}</td><td class="num">{count(s.deoptimizations)}</td><td class="num">{count(s.rejected)}</td></tr>)}</tbody></table></div></>}
    </Panel>
    {r && <div class="columns">
      {chart('Memory of resident workers, mean', (s) => s.residentMB * 1e6, size)}
      {chart('Cold starts', (s) => s.coldStarts, count)}
      {chart('Waited for workers', (s) => s.waitedSeconds, duration)}
      {chart('Response, p99', (s) => (s.response?.p99Ns ?? 0) / 1e9, duration)}
      <Panel title="Cold starts by rung">{r.runs.map((x) => <><h3>{x.policy}</h3><Bars label={'Cold starts by rung, ' + x.policy} items={(x.summary.rungs ?? []).map((g) => ({ label: <Rung name={g.rung} />, value: g.coldStarts, text: count(g.coldStarts), tone: 'f-' + g.rung }))} /></>)}</Panel>
    </div>}
  </div>
}
