import { useState } from 'preact/hooks'
import { send } from './api.js'
import { count, duration, Failed, Panel, percent, rate, Rung, size, State, Table, useDrop, useGet, Waiting, Dialog } from './kit.jsx'

const columns = [
  { name: 'Function', width: 'minmax(12rem, 2fr)', least: 190, sort: (f) => f.name, cell: (f) => <a href={'#/f/' + f.name}>{f.name}</a> },
  { name: 'Rung', width: 'minmax(11rem, 1.4fr)', least: 176, sort: (f) => f.rung ?? '', cell: (f) => <><Rung name={f.rung} />{f.making && f.making !== f.rung && <span class="making" title={f.phase + ' ' + f.making}><span class="spin" aria-hidden="true" /><span class="sr">{f.phase}</span> {f.making}</span>}</> },
  { name: 'Rate', num: true, width: 'minmax(5rem, .7fr)', least: 76, sort: (f) => f.rate, cell: (f) => rate(f.rate) },
  { name: 'Errors', num: true, width: 'minmax(5rem, .7fr)', least: 76, sort: (f) => f.errors, cell: (f) => f.errors ? <span class="bad">{count(f.errors)}{f.rate > 0 && f.errorRate > 0 && ` (${percent(f.errorRate / f.rate)})`}</span> : '–' },
  { name: 'p50', num: true, width: 'minmax(5rem, .7fr)', least: 76, sort: (f) => f.p50, cell: (f) => duration(f.p50) },
  { name: 'p99', num: true, width: 'minmax(5rem, .7fr)', least: 76, sort: (f) => f.p99, cell: (f) => duration(f.p99) },
  { name: 'Memory', num: true, width: 'minmax(5rem, .8fr)', least: 80, sort: (f) => f.memoryBytes, cell: (f) => size(f.memoryBytes) },
  { name: 'Workers', num: true, width: 'minmax(5rem, .6fr)', least: 80, sort: (f) => f.workers, cell: (f) => f.workers || '–' },
  { name: 'Cold starts', num: true, width: 'minmax(6rem, .7fr)', least: 96, sort: (f) => f.coldStarts, cell: (f) => f.coldStarts ? count(f.coldStarts) : '–' },
  { name: 'State', width: 'minmax(6rem, .7fr)', least: 90, sort: (f) => f.state, cell: (f) => <State value={f.state} /> },
]

export function Functions() {
  const { data, error } = useGet('/overview', 3000)
  const [text, setText] = useState('')
  const [deploy, setDeploy] = useState(null)
  const all = data?.functions ?? []
  const rows = all.filter((f) => f.name.toLowerCase().includes(text.toLowerCase()) || (f.rung ?? '').includes(text.toLowerCase()))
  const sum = (k) => all.reduce((n, f) => n + (f[k] ?? 0), 0)
  const area = useDrop(setDeploy)
  return <div ref={area} class="dropzone">
    <dl class="tiles">
      <div><dt>Functions</dt><dd>{count(all.length)}</dd></div>
      <div><dt>Invocations</dt><dd>{rate(sum('rate'))}</dd></div>
      <div><dt>Failing</dt><dd class={sum('errorRate') ? 'bad' : ''}>{sum('errorRate') ? rate(sum('errorRate')) : 'none'}</dd></div>
      <div><dt>Workers</dt><dd>{count(sum('workers'))}</dd></div>
      <div><dt>Memory</dt><dd>{size(sum('memoryBytes'))}</dd></div>
      <div><dt>Above the first rung</dt><dd>{count(all.filter((f) => f.rung && f.rung !== 'hotspot').length)}</dd></div>
    </dl>
    <Panel title="Functions" tools={<>
      <input type="search" placeholder="Search by name or rung" aria-label="Search functions" value={text} onInput={(e) => setText(e.currentTarget.value)} />
      <button type="button" class="primary" onClick={() => setDeploy(true)}>Deploy a JAR</button></>}>
      <Failed error={error} />
      {!data ? !error && <Waiting /> : <Table label="Functions" columns={columns} rows={rows} keyOf={(f) => f.name} href={(f) => '#/f/' + f.name} initial={{ at: 0, down: false }} height="calc(100vh - 17.5rem)"
        empty={text ? 'No function has this in its name.' : 'There are no functions yet. Drop a JAR anywhere on this page, or deploy one with "cloudjit deploy".'} />}
    </Panel>
    {deploy && <Deploy file={deploy === true ? null : deploy} names={all.map((f) => f.name)} close={() => setDeploy(null)} />}
  </div>
}

const base64 = (file) => new Promise((done, fail) => {
  const r = new FileReader()
  r.onload = () => done(r.result.slice(r.result.indexOf(',') + 1))
  r.onerror = () => fail(new Error('The file cannot be read.'))
  r.readAsDataURL(file)
})
const nameOf = (file) => file.name.replace(/\.(jar|zip)$/i, '').replace(/[^A-Za-z0-9_-]+/g, '-').slice(0, 64)

function Deploy({ file: given, names, close }) {
  const [file, setFile] = useState(given)
  const [name, setName] = useState(given ? nameOf(given) : '')
  const [state, setState] = useState({})
  const { data: health } = useGet('/health')
  const runtimes = ['java21', 'java25', 'java17', ...(health?.runtimes ?? []), 'provided.al2023']
  const known = names.includes(name)
  const submit = async (e) => {
    e.preventDefault()
    const f = new FormData(e.currentTarget)
    setState({ busy: true })
    try {
      const ZipFile = await base64(file)
      if (known) await send('PUT', `/2015-03-31/functions/${name}/code`, JSON.stringify({ ZipFile }))
      else {
        await send('POST', '/2015-03-31/functions', JSON.stringify({
          FunctionName: name, Runtime: f.get('runtime'), Handler: f.get('handler') || undefined, MemorySize: +f.get('memory'), Timeout: +f.get('timeout'),
          Role: 'arn:aws:iam::000000000000:role/cloudjit', Code: { ZipFile },
        }))
      }
      close()
      location.hash = '#/f/' + name
    } catch (error) { setState({ error }) }
  }
  const pick = (x) => { if (x) { setFile(x); if (!name) setName(nameOf(x)) } }
  return <Dialog title="Deploy a JAR" close={close}>
    <form onSubmit={submit} class="form">
      <label class="file" onDragOver={(e) => e.preventDefault()} onDrop={(e) => { e.preventDefault(); e.stopPropagation(); pick(e.dataTransfer.files[0]) }}>
        <span>{file ? <><b>{file.name}</b> {size(file.size)}</> : 'Drop a JAR or ZIP here, or choose one'}</span>
        <input type="file" accept=".jar,.zip" aria-label="Archive" onChange={(e) => pick(e.currentTarget.files[0])} />
      </label>
      <label>Name<input name="name" required pattern="[A-Za-z0-9_\-]{1,64}" maxLength={64} value={name} onInput={(e) => setName(e.currentTarget.value)} /></label>
      {known ? <p class="note">There is a function of this name: it gets the new code and keeps its settings.</p> : <>
        <label>Handler<input name="handler" placeholder="found in the archive if there is one" /></label>
        <div class="row">
          <label>Runtime<select name="runtime">{runtimes.map((r) => <option>{r}</option>)}</select></label>
          <label>Memory, MiB<input name="memory" type="number" min="128" max="10240" value="512" /></label>
          <label>Timeout, s<input name="timeout" type="number" min="1" max="900" value="30" /></label>
        </div></>}
      <Failed error={state.error} />
      <footer><button type="submit" class="primary" disabled={!file || state.busy}>{state.busy ? 'Deploying…' : known ? 'Update the code' : 'Deploy'}</button></footer>
    </form>
  </Dialog>
}
