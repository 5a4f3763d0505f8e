package snapshot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// draws is a function with every kind of random numbers that a copy must not have like its siblings, with a file of its
// own that it keeps open, and with hooks of the published org.crac library.
const draws = `
import org.crac.*;
import java.io.*;
import java.util.*;
import java.util.concurrent.ThreadLocalRandom;
import java.security.SecureRandom;
public class Draws {
    static final Random RANDOM = new Random(42);
    static final SplittableRandom SPLITTABLE = new SplittableRandom(42);
    static final Map<String, Object> HELD = new HashMap<>();
    static final List<String> TOLD = new ArrayList<>();
    static final Resource HOOKS = new Resource() {
        public void beforeCheckpoint(Context<? extends Resource> c) { TOLD.add("before"); }
        public void afterRestore(Context<? extends Resource> c) { TOLD.add("after"); }
    };
    static RandomAccessFile file;
    static int calls;
    public Draws() throws Exception {
        HELD.put("secure", SecureRandom.getInstance("SHA1PRNG"));
        ((SecureRandom) HELD.get("secure")).nextInt();
        Core.getGlobalContext().register(HOOKS);
        file = new RandomAccessFile("/tmp/kept", "rw");
        file.writeBytes("kept");
    }
    public Map<String, Object> handle(Map<String, Object> event) throws Exception {
        Map<String, Object> m = new TreeMap<>();
        m.put("Random", RANDOM.nextLong());
        m.put("SplittableRandom", SPLITTABLE.nextLong());
        m.put("SecureRandom", new SecureRandom().nextLong());
        m.put("SHA1PRNG", ((SecureRandom) HELD.get("secure")).nextLong());
        m.put("Math.random", Math.random());
        m.put("ThreadLocalRandom", ThreadLocalRandom.current().nextLong());
        m.put("UUID", UUID.randomUUID().toString());
        List<Integer> list = new ArrayList<>(); for (int i = 0; i < 30; i++) list.add(i);
        Collections.shuffle(list);
        m.put("shuffle", list.toString());
        m.put("temporary", File.createTempFile("xyz", "y").getName());
        file.seek(0);
        m.put("_file", file.readLine());
        m.put("_told", TOLD.toString());
        m.put("_calls", ++calls);
        return m;
    }
}
`

// drawsWeb answers the same as a plain web application, whose generators are known to nobody but its handler and its threads.
const drawsWeb = `
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.*;
import java.util.concurrent.*;
import java.util.random.RandomGenerator;
public class DrawsWeb {
    public static void main(String[] args) throws Exception {
        Draws draws = new Draws();
        Random local = new Random(7);
        RandomGenerator modern = RandomGenerator.of("L64X128MixRandom");
        Random inQueue = new Random(8);
        ThreadLocal<Random> held = new ThreadLocal<>();
        ExecutorService one = Executors.newSingleThreadExecutor();
        one.submit(() -> held.set(new Random(9))).get();
        HttpServer server = HttpServer.create(new InetSocketAddress(Integer.parseInt(System.getenv("PORT"))), 0);
        server.createContext("/", exchange -> {
            try {
                Map<String, Object> m = draws.handle(Map.of());
                m.put("local", local.nextLong());
                m.put("modern", modern.nextLong());
                m.put("in a thread", one.submit(() -> held.get().nextLong()).get());
                m.put("log stream", System.getenv("AWS_LAMBDA_LOG_STREAM_NAME") + "/" + m.get("_calls"));
                m.put("_path", System.getProperty("java.class.path"));
                m.put("_variable", String.valueOf(System.getenv("CLOUDJIT_CHECKPOINT_API")));
                StringBuilder json = new StringBuilder("{");
                m.forEach((k, v) -> json.append(json.length() > 1 ? "," : "").append('"').append(k).append("\":\"").append(v).append('"'));
                byte[] b = json.append("}").toString().getBytes();
                exchange.sendResponseHeaders(200, b.length);
                exchange.getResponseBody().write(b);
            } catch (Exception e) { throw new RuntimeException(e); }
            exchange.close();
        });
        server.start();
    }
}
`

type fixture struct {
	*Builder
	t       testing.TB
	driver  worker.Driver
	request launch.Request
	// asked is how often a worker is asked before it is saved, answers what it said then.
	asked   int
	answers []map[string]any
}

// newDriver has a driver that saves workers.
func newDriver(t testing.TB) worker.Driver { return newDriverIn(t, t.TempDir(), nil) }

// newDriverIn has one in a folder, with a key.
func newDriverIn(t testing.TB, dir string, key []byte) worker.Driver {
	t.Helper()
	criu, err := toolchain.FindCRIU(t.Context(), config.CacheDir())
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	d, err := process.New(process.Options{Dir: filepath.Join(dir, "workers"), CRIU: criu, SnapshotKey: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if !d.Capabilities().Snapshot {
		t.Skipf("CAPABILITY snapshot IS LACKING HERE: %v", d.Capabilities().Weaker)
	}
	return d
}

// newFixture has a builder for functions of a kind, which are compiled of the sources.
func newFixture(t testing.TB, kind function.Kind, sources map[string]string) *fixture {
	t.Helper()
	d := newDriver(t)
	f := &fixture{t: t, driver: d, asked: 1}
	jdks := toolchain.FindJDKs(toolchain.FindOptions{})
	if len(jdks) == 0 {
		t.Skip("NO JDK ON THIS MACHINE")
	}
	jdk := launch.JDK{Home: jdks[0].Home, Version: jdks[0].Feature()}
	assets := t.TempDir()
	for _, name := range []string{"runtime.jar", "serialization.jar"} {
		b, err := os.ReadFile(filepath.Join("../../assets/files", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(assets, name), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	code := t.TempDir()
	crac, err := os.ReadFile("../../../java/runtime/target/lib/crac.jar")
	if err == nil {
		err = os.WriteFile(filepath.Join(code, "crac.jar"), crac, 0o644)
	}
	if err != nil {
		t.Skipf("SKIPPED: %v: make build", err)
	}
	javac := exec.Command(filepath.Join(jdk.Home, "bin", "javac"), "--release", "17", "-cp", filepath.Join(code, "crac.jar"), "-d", code)
	for name, text := range sources {
		source := filepath.Join(t.TempDir(), name+".java")
		if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		javac.Args = append(javac.Args, source)
	}
	if out, err := javac.CombinedOutput(); err != nil {
		t.Skipf("NO COMPILER: %v: %s", err, out)
	}
	workertest.Open(t, code, assets)
	row, _ := ladder.Of(kind).Find(ladder.Snapshot)
	f.request = launch.Request{
		Rung:     ladder.Of(kind).Rungs[row],
		Revision: &function.Spec{ID: "01REV", Function: "f", Kind: kind, CodeSHA256: "c0de", MemoryMiB: 256, TmpMiB: 64, Concurrency: 4},
		Paths: launch.Paths{Code: code, ClassPath: []string{".", "crac.jar"}, JDK: jdk,
			Runtime: filepath.Join(assets, "runtime.jar"), Serialization: filepath.Join(assets, "serialization.jar")},
	}
	if kind == function.KindWeb {
		f.request.Revision.MainClass = "DrawsWeb"
	} else {
		f.request.Revision.Handler = "Draws::handle"
	}
	f.Builder, err = New(Options{Cache: filepath.Join(t.TempDir(), "snapshots"), Driver: d, Request: func(context.Context, *function.Spec) (launch.Request, error) {
		return f.request, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) build() (*aot.Result, error) {
	return f.Build(f.t.Context(), &aot.Request{Revision: f.request.Revision, Rung: f.request.Rung,
		Exercise: func(_ context.Context, w worker.Worker) error {
			for range f.asked {
				f.answers = append(f.answers, f.ask(w))
			}
			return nil
		}})
}

func (f *fixture) restore(dir string) (worker.Worker, error) {
	r := f.request
	r.ID, r.Now, r.Paths.Artifact = ulid.Make().String(), time.Now(), dir
	spec, err := launch.Worker(r)
	if err != nil {
		return nil, err
	}
	w, err := f.driver.Start(f.t.Context(), spec)
	if err == nil {
		f.t.Cleanup(func() { _ = w.Stop(context.Background(), 0) })
	}
	return w, err
}

func (f *fixture) ask(w worker.Worker) map[string]any {
	f.t.Helper()
	if f.request.Revision.Kind == function.KindWeb {
		return f.get(w)
	}
	res, err := w.Invoke(f.t.Context(), &worker.Invocation{RequestID: ulid.Make().String(), Payload: []byte("{}"), Deadline: time.Now().Add(time.Minute)})
	if err != nil {
		f.t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(res.Payload, &m); err != nil || res.Outcome != function.OutcomeOK {
		f.t.Fatalf("got %v %s", res.Outcome, res.Payload)
	}
	return m
}

func (f *fixture) get(w worker.Worker) map[string]any {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, "http://sandbox/", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	res, err := w.HTTP().RoundTrip(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	var m map[string]any
	if err := json.NewDecoder(res.Body).Decode(&m); err != nil || res.StatusCode != http.StatusOK {
		f.t.Fatalf("got %s %v", res.Status, err)
	}
	return m
}

// TestCopiesDiffer: copies go on where the saved worker stood, after the invocations that it had answered, and have nothing in common
// that should be random, neither with each other nor with what it answered.
func TestCopiesDiffer(t *testing.T) {
	copiesDiffer(t, newFixture(t, function.KindHandler, map[string]string{"Draws": draws}))
}

// TestWebCopiesDiffer: so have those of a web application, which knows nothing of the platform.
func TestWebCopiesDiffer(t *testing.T) {
	copiesDiffer(t, newFixture(t, function.KindWeb, map[string]string{"Draws": draws, "DrawsWeb": drawsWeb}))
}

// TestEarlyCopiesDiffer: and those of a worker that had answered nothing, and did by itself, before it was saved, what first invocations need.
func TestEarlyCopiesDiffer(t *testing.T) {
	f := newFixture(t, function.KindHandler, map[string]string{"Draws": draws})
	row, _ := ladder.Of(function.KindHandler).Find(ladder.SnapshotDeploy)
	f.request.Rung = ladder.Of(function.KindHandler).Rungs[row]
	copiesDifferAfter(t, f, 0)
}

func copiesDiffer(t *testing.T, f *fixture) {
	t.Helper()
	copiesDifferAfter(t, f, 20)
}

// copiesDifferAfter saves a worker that has answered so many invocations.
func copiesDifferAfter(t *testing.T, f *fixture, asked int) {
	t.Helper()
	f.asked = asked
	made, err := f.build()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("cost %+v", made.Cost)
	seen := map[string]bool{}
	for _, answer := range f.answers {
		for kind, value := range answer {
			seen[kind+fmt.Sprint(value)] = true
		}
	}
	before := 0
	for i := range restores(t) {
		w, err := f.restore(made.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			before = descriptors(t)
		}
		for call := range 2 {
			for kind, value := range f.ask(w) {
				text := fmt.Sprint(value)
				switch kind {
				case "_file":
					if text != "kept" {
						t.Errorf("its open file says %q", text)
					}
				case "_told":
					if text != "[before, after]" {
						t.Errorf("hooks were told %s", text)
					}
				case "_calls":
					if text != fmt.Sprint(f.asked+call+1) {
						t.Errorf("call %s, want %d", text, f.asked+call+1)
					}
				case "_path":
					if text != launch.TaskDir+":"+launch.TaskDir+"/crac.jar" {
						t.Errorf("the class path that it sees is %s", text)
					}
				case "_variable":
					if text != "null" {
						t.Errorf("it sees the platform's variable: %s", text)
					}
				default:
					if seen[kind+text] {
						t.Errorf("%s: %s twice", kind, text)
					}
					seen[kind+text] = true
				}
			}
		}
		if i > 0 { // the first is kept, as a worker that serves while others come and go
			if err := w.Stop(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors are open, %d were after the second copy", after, before)
	}
	if left, err := f.driver.Clean(t.Context()); err != nil || left > 0 {
		t.Errorf("%d workers were left: %v", left, err)
	}
}

// restores is how many copies are made of a snapshot; CLOUDJIT_RESTORES=1000 is the run that docs/ladder.md speaks of.
func restores(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("CLOUDJIT_RESTORES"), "4"))
	if err != nil || n < 2 {
		t.Fatalf("CLOUDJIT_RESTORES: want a number over 1")
	}
	return n
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// renamed is a driver under another name.
type renamed struct{ worker.Driver }

func (renamed) Name() string { return "vault" }

// TestSnapshotThatDoesNotFit is not restored, and says why.
func TestSnapshotThatDoesNotFit(t *testing.T) {
	f := newFixture(t, function.KindHandler, map[string]string{"Draws": draws})
	made, err := f.build()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(made.Dir, &f.request); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(made.Dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("its folder: %v, %v", st.Mode(), err)
	}
	images, err := filepath.Glob(filepath.Join(made.Dir, "*.img"))
	if err != nil || len(images) == 0 {
		t.Fatalf("its images: %v, %v", images, err)
	}
	for _, name := range images {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want it for its owner alone", name, st.Mode(), err)
		}
	}
	other := f.request
	other.Revision = &function.Spec{ID: "02REV"}
	if err := f.Check(made.Dir, &other); !errors.Is(err, aot.ErrStale) {
		t.Errorf("another revision: %v", err)
	}
	own := f.opts.Driver
	f.opts.Driver = renamed{own}
	if err := f.Check(made.Dir, &f.request); !errors.Is(err, aot.ErrStale) || !strings.Contains(err.Error(), `it is a worker's of the driver "process", and its workers have "vault" now`) {
		t.Errorf("another driver: %v", err)
	}
	f.opts.Driver = own
	f.machine = "another"
	if err := f.Check(made.Dir, &f.request); !errors.Is(err, aot.ErrStale) {
		t.Errorf("another machine: %v", err)
	}
	pages := filepath.Join(made.Dir, "pages-1.img")
	// What the comparison does not see CRIU notices: here its own images are damaged.
	if err := os.WriteFile(filepath.Join(made.Dir, "pstree.img"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	var failed *worker.StartError
	if _, err := f.restore(made.Dir); !errors.As(err, &failed) || !errors.Is(err, worker.ErrNotRestored) {
		t.Errorf("damaged images: %v", err)
	}
	if err := os.Truncate(pages, 4096); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Lookup(made.Key); ok {
		t.Error("found what is cut off")
	}
	if err := f.Drop(made.Key); err != nil {
		t.Fatal(err)
	}
	if keys, err := f.Private(); err != nil || len(keys) > 0 {
		t.Errorf("left: %v, %v", keys, err)
	}
}
