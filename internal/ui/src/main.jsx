// The page: where one is, who one is, and the panel for that.
import 'uplot/dist/uPlot.min.css'
import './app.css'
import { render } from 'preact'
import { signal } from '@preact/signals'
import { useState } from 'preact/hooks'
import { connection, credentials, follow, locked, signIn } from './api.js'
import { Functions } from './functions.jsx'
import { Function } from './function.jsx'
import { Builds, ColdStarts, Deoptimizations, Invocations, Nodes, Queue, Simulation, Workers } from './panels.jsx'

const panels = [
  ['', 'Functions', Functions], ['invocations', 'Invocations', Invocations], ['cold', 'Cold starts', ColdStarts], ['workers', 'Workers', Workers], ['builds', 'Builds', Builds],
  ['deoptimizations', 'Deoptimizations', Deoptimizations], ['queue', 'Async queue', Queue], ['nodes', 'Nodes', Nodes], ['simulation', 'Simulation', Simulation],
]
const place = signal(location.hash)
addEventListener('hashchange', () => { place.value = location.hash; scrollTo(0, 0); document.getElementById('main')?.focus({ preventScroll: true }) })

function App() {
  const [head, rest] = place.value.replace(/^#\/?/, '').split('/')
  const at = panels.find(([p]) => p === head) ?? panels[0]
  const Shown = at[2]
  const name = head === 'f' ? decodeURIComponent(rest ?? '') : null
  document.title = (name ?? at[1]) + ' – CloudJIT'
  return <>
    <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); document.getElementById('main').focus() }}>Skip to the content</a>
    <div class="frame">
      <header class="side"><a class="logo" href="#/"><img src="icon.svg" alt="" width="26" height="26" />CloudJIT</a>
        <nav aria-label="Panels"><ul>{panels.map(([p, title]) => <li><a href={'#/' + p} aria-current={(head === 'f' ? p === '' : p === at[0]) ? 'page' : undefined}>{title}</a></li>)}</ul></nav>
        <p class={'live ' + connection.value} role="status"><span class="dot" aria-hidden="true" />{{ live: 'Live', connecting: 'Connecting…', lost: 'Not connected' }[connection.value]}</p>
        {credentials.value && <p class="who"><span class="mono">{credentials.value.key}</span><button type="button" class="plain" onClick={() => { signIn(null) }}>Sign out</button></p>}
      </header>
      <main id="main" tabIndex={-1}>{locked.value != null ? <SignIn why={locked.value} /> : name ? <Function key={name} name={name} /> : <><h1 class="sr">{at[1]}</h1><Shown key={at[0]} /></>}</main>
    </div>
  </>
}

function SignIn({ why }) {
  const [busy, set] = useState(false)
  const submit = (e) => {
    e.preventDefault()
    const f = new FormData(e.currentTarget)
    set(true)
    signIn({ key: f.get('key').trim(), secret: f.get('secret').trim(), region: f.get('region').trim() || 'us-east-1' })
  }
  return <section class="panel signin" aria-labelledby="h-signin">
    <h1 id="h-signin">Sign in</h1>
    <p>This server asks for credentials: an access key of its configuration. The key stays in this tab; each request is signed with it, and the secret is never sent.</p>
    {why && <p class="alert" role="alert">{why}</p>}
    <form class="form" onSubmit={submit}>
      <label>Access key ID<input name="key" required autoComplete="username" spellcheck={false} /></label>
      <label>Secret access key<input name="secret" type="password" required autoComplete="current-password" /></label>
      <label>Region<input name="region" defaultValue="us-east-1" /></label>
      <footer><button class="primary" type="submit" disabled={busy}>Sign in</button></footer>
    </form>
  </section>
}

render(<App />, document.getElementById('app'))
follow()
