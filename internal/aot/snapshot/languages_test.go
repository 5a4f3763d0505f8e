package snapshot

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/language"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// drawsPython has every kind of random numbers that a copy must not have like its siblings, a file that it keeps open, and
// hooks; numpy's too where it is there.
const drawsPython = `
import os, random, secrets, ssl, tempfile, threading, uuid
import snapshot_restore_py as hooks
try:
    import numpy
except ImportError:
    numpy = None

seeded = random.Random(42)
random.random(), uuid.uuid1(), next(tempfile._get_candidate_names()), ssl.RAND_bytes(4)

class Own(random.Random):
    def seed(self, *a):
        super().seed(7)

own = {"deep": [Own()]}
closure = (lambda r: lambda: r.random())(random.Random(1))
told = []
hooks.register_before_snapshot(told.append, "before")
hooks.register_after_restore(told.append, "after")
file = open("/tmp/kept", "w+")
file.write("kept")
file.flush()
if numpy:
    generator = numpy.random.default_rng(1)
    legacy = numpy.random.RandomState(2)
    numpy.random.seed(3)
    numpy.random.normal()
calls = 0

def handler(event, context):
    global calls
    calls += 1
    file.seek(0)
    some = list(range(30))
    random.shuffle(some)
    answer = {
        "random": random.random(), "seeded": seeded.random(), "own": own["deep"][0].random(), "closure": closure(), "gauss": random.gauss(0, 1),
        "system": random.SystemRandom().random(), "secrets": secrets.token_hex(), "uuid1": str(uuid.uuid1()), "uuid4": str(uuid.uuid4()),
        "tempfile": next(tempfile._get_candidate_names()), "mkdtemp": tempfile.mkdtemp(), "ssl": ssl.RAND_bytes(8).hex(), "shuffle": some,
        "log stream": context.log_stream_name + str(calls), "_file": file.read(), "_told": "[" + ", ".join(told) + "]", "_calls": calls,
    }
    if numpy:
        answer |= {"numpy": numpy.random.rand(), "numpy normal": numpy.random.normal(), "numpy generator": generator.random(), "numpy legacy": legacy.normal()}
    return answer
`

// drawsNode is the same for Node.js.
const drawsNode = `
const crypto = require('crypto'), fs = require('fs');
const { random } = Math; // as some libraries do
crypto.randomUUID(); crypto.randomInt(5); crypto.randomBytes(4);
const pool = crypto.randomFillSync(Buffer.alloc(256)); // as uuid and nanoid have one
const webPool = crypto.getRandomValues(new Uint8Array(512));
let at = 0;
const told = [];
awslambda.beforeSnapshot(async () => told.push('before'));
awslambda.afterRestore(() => { told.push('after'); });
const file = fs.openSync('/tmp/kept', 'w+');
fs.writeSync(file, 'kept');
let calls = 0;
exports.handler = async (event, context) => {
  const b = Buffer.alloc(4);
  fs.readSync(file, b, 0, 4, 0);
  at += 8;
  const { privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    'Math.random': Math.random(), 'captured': random(), 'randomUUID': crypto.randomUUID(), 'randomInt': crypto.randomInt(2 ** 47),
    'randomBytes': crypto.randomBytes(8).toString('hex'), 'async': (await new Promise((r) => crypto.randomBytes(8, (_, x) => r(x)))).toString('hex'),
    'web crypto': Buffer.from(globalThis.crypto.getRandomValues(new Uint8Array(8))).toString('hex'), 'web uuid': globalThis.crypto.randomUUID(),
    'pool': pool.subarray(at, at + 8).toString('hex'), 'web pool': Buffer.from(webPool.subarray(at, at + 8)).toString('hex'),
    'key': privateKey.export({ format: 'jwk' }).d, 'mkdtemp': fs.mkdtempSync('/tmp/x'),
    'log stream': context.logStreamName + process.env.AWS_LAMBDA_LOG_STREAM_NAME + ++calls,
    _file: b.toString(), _told: '[' + told.join(', ') + ']', _calls: calls,
  };
};
`

// newLanguageFixture has a builder for a function in a language that an interpreter runs.
func newLanguageFixture(t testing.TB, kind function.Kind, file, source string) *fixture {
	t.Helper()
	f := &fixture{t: t, driver: newDriver(t), asked: 1}
	lang, _ := language.Of(kind)
	client, err := assets.InstallFolder(t.TempDir(), lang.Client)
	if err != nil {
		t.Fatal(err)
	}
	code := t.TempDir()
	if err := os.WriteFile(filepath.Join(code, file), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	workertest.Open(t, code, client)
	row, _ := ladder.Of(kind).Find(ladder.Snapshot)
	f.request = launch.Request{
		Rung:     ladder.Of(kind).Rungs[row],
		Revision: &function.Spec{ID: "01REV", Function: "f", Kind: kind, Handler: "draws.handler", CodeSHA256: "c0de", MemoryMiB: 256, TmpMiB: 64},
		Paths:    launch.Paths{Code: code, Client: client},
	}
	libraries, release := numpy()
	for _, i := range toolchain.FindInterpreters(t.Context(), toolchain.InterpreterOptions{}) {
		if i.Kind == kind && (kind != function.KindPython || release == "" || i.Release == release) {
			f.request.Revision.Runtime = i.Runtime
			f.request.Paths.Interpreter = launch.Interpreter{Release: i.Release, Program: i.Program, Home: i.Home}
		}
	}
	if f.request.Paths.Interpreter.Program == "" {
		t.Skipf("SKIPPED: no interpreter for %s on this machine (make test-prerequisites)", kind)
	}
	if kind == function.KindPython {
		if release == "" {
			t.Log("WITHOUT NUMPY, which is not installed (make test-prerequisites)")
		}
		for _, library := range libraries {
			if out, err := exec.Command("cp", "-a", library, code).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	f.Builder, err = New(Options{Cache: filepath.Join(t.TempDir(), "snapshots"), Driver: f.driver, Request: func(context.Context, *function.Spec) (launch.Request, error) {
		return f.request, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// numpy is what the tests' own Python has of it, and that one's release.
func numpy() (folders []string, release string) {
	python := filepath.Join(config.CacheDir(), "python", "current", "bin", "python3")
	out, err := exec.Command(python, "-c", "import numpy, sys; print('%d.%d' % sys.version_info[:2], end='')").Output()
	if err != nil {
		return nil, ""
	}
	for _, pattern := range []string{"numpy", "numpy.libs"} {
		found, _ := filepath.Glob(filepath.Join(config.CacheDir(), "python", "current", "lib", "python*", "site-packages", pattern))
		folders = append(folders, found...)
	}
	return folders, string(out)
}

// TestPythonCopiesDiffer is TestCopiesDiffer for Python.
func TestPythonCopiesDiffer(t *testing.T) {
	copiesDiffer(t, newLanguageFixture(t, function.KindPython, "draws.py", drawsPython))
}

// TestNodeCopiesDiffer is TestCopiesDiffer for Node.js.
func TestNodeCopiesDiffer(t *testing.T) {
	copiesDiffer(t, newLanguageFixture(t, function.KindNode, "draws.js", drawsNode))
}

// large are functions with large libraries.
var large = map[function.Kind]string{
	function.KindPython: "import numpy, pandas\nd = pandas.DataFrame({'a': range(9)})\ndef handler(event, context):\n    return {'sum': int(d.a.sum()), 'mean': float(numpy.mean(d.a))}\n",
	function.KindNode: `const { S3Client } = require('@aws-sdk/client-s3'), { DynamoDBClient } = require('@aws-sdk/client-dynamodb');
const clients = [new S3Client({ region: 'eu-west-1' }), new DynamoDBClient({ region: 'eu-west-1' })];
exports.handler = async () => ({ clients: clients.length });
`,
}

// BenchmarkLanguages is the time from the start of a worker to its first answer, plain and restored, in turn, and the parts of the
// second, and the CPU time of each: of small functions, or of large ones where CLOUDJIT_LANGUAGE_LIBRARIES is set.
func BenchmarkLanguages(b *testing.B) {
	for kind, source := range map[function.Kind][2]string{function.KindPython: {"draws.py", drawsPython}, function.KindNode: {"draws.js", drawsNode}} {
		b.Run(kind.String(), func(b *testing.B) {
			f := newLanguageFixture(b, kind, source[0], source[1])
			if folder := os.Getenv("CLOUDJIT_LANGUAGE_LIBRARIES"); folder != "" { // as TestLibraryTable
				f.request.Paths.Code = filepath.Join(folder, kind.String())
				if kind == function.KindPython {
					// Without pyarrow, which pandas imports where it is there.
					f.request.Paths.Code = b.TempDir()
					for _, name := range []string{"numpy", "numpy.libs", "pandas", "dateutil", "six.py"} {
						if out, err := exec.Command("cp", "-a", filepath.Join(folder, kind.String(), name), f.request.Paths.Code).CombinedOutput(); err != nil {
							b.Fatalf("%v: %s", err, out)
						}
					}
				}
				if err := os.WriteFile(filepath.Join(f.request.Paths.Code, source[0]), []byte(large[kind]), 0o644); err != nil {
					b.Fatal(err)
				}
				workertest.Open(b, f.request.Paths.Code)
			}
			made, err := f.build()
			if err != nil {
				b.Fatal(err)
			}
			times := map[string][]time.Duration{}
			for b.Loop() {
				for _, restored := range []bool{false, true} {
					began := time.Now()
					var w worker.Worker
					if restored {
						w, err = f.restore(made.Dir)
					} else {
						w, err = f.plain()
					}
					if err != nil {
						b.Fatal(err)
					}
					up := time.Now()
					f.ask(w)
					name := map[bool]string{false: "plain", true: "restored"}[restored]
					times[name] = append(times[name], time.Since(began))
					times[name+"-first"] = append(times[name+"-first"], time.Since(up))
					times[name+"-sandbox"] = append(times[name+"-sandbox"], w.Phases().Sandbox)
					times[name+"-runtime"] = append(times[name+"-runtime"], w.Phases().Runtime)
					times[name+"-init"] = append(times[name+"-init"], w.Phases().Init)
					if c, ok := w.(worker.Clocker); ok { // of all in the sandbox, which other work on the machine does not lengthen
						times[name+"-cpu"] = append(times[name+"-cpu"], c.CPU())
					}
					if err := w.Stop(b.Context(), 0); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(0, "ns/op")
			for name, list := range times {
				slices.Sort(list)
				b.ReportMetric(float64(list[0])/1e6, name+"-min-ms")
				b.ReportMetric(float64(list[len(list)/2])/1e6, name+"-p50-ms")
			}
		})
	}
}

// plain starts a worker of the first rung.
func (f *fixture) plain() (worker.Worker, error) {
	r := f.request
	r.ID, r.Now, r.Rung = ulid.Make().String(), time.Now(), ladder.Of(r.Revision.Kind).Rungs[ladder.First]
	spec, err := launch.Worker(r)
	if err != nil {
		return nil, err
	}
	return f.driver.Start(f.t.Context(), spec)
}
