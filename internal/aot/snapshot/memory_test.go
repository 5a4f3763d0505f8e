package snapshot

import (
	"fmt"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// TestCopiesShareMemory: the second and further copies of a snapshot take less memory than as many plain workers, since what
// none of them has written to is there once.
func TestCopiesShareMemory(t *testing.T) {
	const copies, bar = 5, 0.7
	for name, f := range map[string]*fixture{
		"java":   newFixture(t, function.KindHandler, map[string]string{"Draws": draws}),
		"python": newLanguageFixture(t, function.KindPython, "draws.py", drawsPython),
		"nodejs": newLanguageFixture(t, function.KindNode, "draws.js", drawsNode),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "python" {
				if _, release := numpy(); release == "" {
					t.Skip("SKIPPED: without NumPy a worker of Python has too little to share (make test-prerequisites)")
				}
			}
			made, err := f.build()
			if err != nil {
				t.Fatal(err)
			}
			measure := func(start func() (worker.Worker, error)) (alone, last float64) {
				var all []worker.Worker
				defer func() {
					for _, w := range all {
						if err := w.Stop(t.Context(), 0); err != nil {
							t.Error(err)
						}
					}
				}()
				for range copies {
					w, err := start()
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, w)
					f.ask(w)
					m, err := w.Memory(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if last = float64(m.PSS); len(all) == 1 {
						alone = last
					}
				}
				return alone, last
			}
			plainAlone, plain := measure(f.plain)
			copiedAlone, copied := measure(func() (worker.Worker, error) { return f.restore(made.Dir) })
			t.Logf("alone: plain %.1f MB, a copy %.1f MB, %.2f of it", plainAlone/1e6, copiedAlone/1e6, copiedAlone/plainAlone)
			t.Logf("one of %d: plain %.1f MB, copies %.1f MB, %.2f of it", copies, plain/1e6, copied/1e6, copied/plain)
			if copied > bar*plain {
				t.Errorf("a copy takes %.2f of a plain worker, want %.2f at most", copied/plain, bar)
			}
		})
	}
}

// Programs whose memory is in use when they are saved, and which afterwards give it back and take it again in every way that their
// allocators have: a page that comes back with its content of before, where zeros are relied on, would show in the sums.
const (
	stirsPython = `
import gc, hashlib, mmap, threading
try:
    import numpy
except ImportError:
    numpy = None

def stir(held, rounds):
    sums = []
    for i in range(rounds):
        held.append([bytes([i % 256]) * n for n in (40, 700, 5000, 300000)])
        if len(held) > 40:
            del held[::2]
            gc.collect()
        zeros = bytearray(200000 + 4096 * i)
        if numpy is not None and numpy.zeros(30000 + 512 * i).any():
            raise ValueError("numpy.zeros")
        fresh = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        sums += [zeros.strip(b"\0"), fresh[:].strip(b"\0")]
        fresh.close()
        grown = bytearray(10)
        for _ in range(12):
            grown += bytes(grown)
        sums.append(grown.strip(b"\0"))
    return any(sums), hashlib.sha256(b"".join(b for l in held for b in l)).hexdigest()

kept = []
def threads():
    out = {}
    def run(n):
        mine = []
        out[n] = stir(mine, 12)
        if n == 0:
            kept.append(mine)
    all = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    [t.start() for t in all], [t.join() for t in all]
    return [out[n] for n in sorted(out)]

main = []
threads(), stir(main, 45)
def handler(event, context):
    return {"threads": threads(), "main": stir([], 45), "was": hashlib.sha256(b"".join(b for l in kept[0] for b in l)).hexdigest()}
`
	stirsNode = `
const crypto = require('crypto'), v8 = require('v8'), vm = require('vm');
v8.setFlagsFromString('--expose-gc');
const none = Buffer.alloc(1e6);
const dirty = (b, at = 0, n = b.byteLength) => !Buffer.from(b, at, n).equals(none.subarray(0, n));
const gc = vm.runInNewContext('gc');
function stir(held, rounds) {
  let bad = 0;
  for (let i = 0; i < rounds; i++) {
    held.push(Array.from({ length: 5000 }, (_, j) => ({ j, s: 'x' + (i * j) })), Buffer.alloc(300000, i));
    if (held.length > 12) {
      held.splice(0, 6);
      gc();
    }
    const zeros = [Buffer.alloc(200000 + 4096 * i), new Float64Array(30000 + 512 * i), new Uint8Array(new SharedArrayBuffer(70000))];
    bad += zeros.filter((z) => dirty(z.buffer, z.byteOffset, z.byteLength)).length;
    const memory = new WebAssembly.Memory({ initial: 2, maximum: 20 });
    memory.grow(3);
    bad += dirty(memory.buffer);
    bad += new Function('a', 'return a + ' + i)(1) !== 1 + i;
  }
  const h = crypto.createHash('sha256');
  held.forEach((x) => h.update(Buffer.isBuffer(x) ? x : JSON.stringify(x)));
  return [bad, h.digest('hex')];
}
const kept = [];
stir(kept, 40);
exports.handler = async () => ({ stirred: stir([], 25), was: crypto.createHash('sha256').update(JSON.stringify(kept)).digest('hex') });
`
	stirsJava = `
import java.util.*;
public class Stirs {
    static final List<Object> KEPT = new ArrayList<>();
    static String stir(List<Object> held, int rounds) throws Exception {
        boolean bad = false;
        for (int i = 0; i < rounds; i++) {
            byte[] b = new byte[200000 + 4096 * i];
            for (byte x : b) bad |= x != 0;
            Arrays.fill(b, (byte) i);
            held.add(b);
            held.add(String.valueOf(i).repeat(20000));
            java.nio.ByteBuffer direct = java.nio.ByteBuffer.allocateDirect(300000);
            while (direct.hasRemaining()) bad |= direct.get() != 0;
            if (held.size() > 40) { held.subList(0, 20).clear(); System.gc(); }
            int n = i;
            int[] got = {0};
            Thread t = new Thread(() -> got[0] = n);
            t.start(); t.join();
            bad |= got[0] != n;
        }
        return bad + sum(held);
    }
    static String sum(List<Object> held) {
        long h = 1;
        for (Object o : held) h = 31 * h + (o instanceof byte[] b ? Arrays.hashCode(b) : o.hashCode());
        return " " + h;
    }
    public Stirs() throws Exception { stir(KEPT, 60); }
    public Map<String, Object> handle(Map<String, Object> event) throws Exception {
        return new TreeMap<>(Map.of("stirred", stir(new ArrayList<>(), 60), "was", sum(KEPT)));
    }
}
`
)

// TestSharedMemoryIsAsItWas: copies of a program that uses its memory hard answer as it did before it was saved.
func TestSharedMemoryIsAsItWas(t *testing.T) {
	java := newFixture(t, function.KindHandler, map[string]string{"Stirs": stirsJava})
	java.request.Revision.Handler = "Stirs::handle"
	python := newLanguageFixture(t, function.KindPython, "draws.py", stirsPython)
	node := newLanguageFixture(t, function.KindNode, "draws.js", stirsNode)
	for name, f := range map[string]*fixture{"java": java, "python": python, "nodejs": node} {
		t.Run(name, func(t *testing.T) {
			w, err := f.plain()
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprint(f.ask(w))
			if err := w.Stop(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			made, err := f.build()
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				w, err := f.restore(made.Dir)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if got := fmt.Sprint(f.ask(w)); got != want {
						t.Errorf("a copy answers %s, a plain worker %s", got, want)
					}
				}
				if err := w.Stop(t.Context(), 0); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
