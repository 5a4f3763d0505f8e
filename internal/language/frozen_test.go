package language_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/language"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// held keep a TLS connection to a server of their own, and a timer that fires every 20 ms.
var held = map[function.Kind]struct{ file, source string }{
	function.KindPython: {"app.py", `
import os, socket, ssl, threading, time
here = os.path.dirname(__file__)
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(os.path.join(here, "cert.pem"), os.path.join(here, "key.pem"))
listener = socket.create_server(("127.0.0.1", 0))

def echo():
    with server.wrap_socket(listener.accept()[0], server_side=True) as s:
        while data := s.recv(100):
            s.sendall(data)

threading.Thread(target=echo, daemon=True).start()
client = ssl.create_default_context(cafile=os.path.join(here, "cert.pem"))
connection = client.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname="localhost")
ticks = 0

def tick():
    global ticks
    while True:
        time.sleep(0.02)
        ticks += 1

threading.Thread(target=tick, daemon=True).start()

def handler(event, context):
    connection.sendall(b"over TLS")
    return {"echo": connection.recv(100).decode(), "ticks": ticks, "left": context.get_remaining_time_in_millis()}
`},
	function.KindNode: {"app.js", `
const tls = require('tls'), fs = require('fs'), path = require('path');
const read = (name) => fs.readFileSync(path.join(__dirname, name));
let ticks = 0;
setInterval(() => { ticks++; }, 20);
const connection = new Promise((resolve) => {
  const server = tls.createServer({ cert: read('cert.pem'), key: read('key.pem') }, (s) => s.pipe(s));
  server.listen(0, '127.0.0.1', () => {
    const c = tls.connect({ port: server.address().port, host: '127.0.0.1', servername: 'localhost', ca: read('cert.pem') }, () => resolve(c));
  });
});
exports.handler = async (event, context) => {
  const c = await connection;
  const echo = await new Promise((resolve) => { c.once('data', (d) => resolve(d.toString())); c.write('over TLS'); });
  return { echo, ticks, left: context.getRemainingTimeInMillis() };
};
`},
}

// TestFrozenInterpreters: an idle worker that was paused goes on with its timers, threads and connections.
func TestFrozenInterpreters(t *testing.T) {
	d, err := process.New(process.Options{Dir: filepath.Join(t.TempDir(), "workers")})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	found := toolchain.FindInterpreters(t.Context(), toolchain.InterpreterOptions{})
	for kind, app := range held {
		t.Run(kind.String(), func(t *testing.T) {
			var interpreter launch.Interpreter
			for _, i := range found {
				if i.Kind == kind {
					interpreter = launch.Interpreter{Release: i.Release, Program: i.Program, Home: i.Home}
				}
			}
			if interpreter.Program == "" {
				t.Skipf("SKIPPED: no interpreter for %s on this machine (make test-prerequisites)", kind)
			}
			code := t.TempDir()
			certificate(t, code)
			if err := os.WriteFile(filepath.Join(code, app.file), []byte(app.source), 0o644); err != nil {
				t.Fatal(err)
			}
			lang, _ := language.Of(kind)
			client, err := assets.InstallFolder(t.TempDir(), lang.Client)
			if err != nil {
				t.Fatal(err)
			}
			workertest.Open(t, code, client)
			spec, err := launch.Worker(launch.Request{
				ID: ulid.Make().String(), Rung: ladder.Of(kind).Rungs[ladder.First], Now: time.Now(),
				Revision: &function.Spec{ID: "r", Function: "f", Version: "$LATEST", Kind: kind, Handler: "app.handler", MemoryMiB: 256, TmpMiB: 64},
				Paths:    launch.Paths{Code: code, Client: client, Interpreter: interpreter},
			})
			if err != nil {
				t.Fatal(err)
			}
			w, err := d.Start(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = w.Stop(context.Background(), 0) }()
			ask := func() (a struct {
				Echo        string
				Ticks, Left int
			}) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				res, err := w.Invoke(ctx, &worker.Invocation{RequestID: ulid.Make().String(), Payload: []byte("{}"), Deadline: time.Now().Add(time.Minute)})
				if err != nil || res.Outcome != function.OutcomeOK || json.Unmarshal(res.Payload, &a) != nil || a.Echo != "over TLS" {
					t.Fatalf("got %+v, %v", res, err)
				}
				return a
			}
			before := ask()
			pauser, ok := w.(worker.Pauser)
			if !ok {
				t.Fatal("its workers cannot be paused")
			}
			for range 3 {
				if err := pauser.Pause(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(400 * time.Millisecond)
				if err := pauser.Resume(); err != nil {
					t.Fatal(err)
				}
				if a := ask(); a.Left < 50_000 {
					t.Errorf("of a minute %d ms are left", a.Left)
				}
			}
			// Once it runs the timers go on.
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				if now := ask(); now.Ticks > before.Ticks+5 {
					break
				} else if time.Now().After(end) {
					t.Fatalf("timers stand still: %d, then %d", before.Ticks, now.Ticks)
				}
			}
		})
	}
}

// certificate writes cert.pem and key.pem, for localhost.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
