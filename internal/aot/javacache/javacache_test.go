package javacache

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oklog/ulid/v2"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	plain  = ladder.Rung{Name: "plain"}
	cached = ladder.Rung{Name: "cached", Artifact: ladder.ArtifactCache, From: ladder.RecordingClasses, Builder: ladder.BuilderCache}
)

// server is a web function that says where it was loaded from, and whether its classes come from a cache.
const server = `
import java.net.*;
public class Server {
    public static void main(String[] args) throws Exception {
        System.out.println(new Greeting().text());
        if (System.getenv("HANG") != null)
            Runtime.getRuntime().addShutdownHook(new Thread(() -> { while (true) Thread.onSpinWait(); }));
        ServerSocket s = new ServerSocket(Integer.parseInt(System.getenv("PORT")));
        while (true) { try (Socket c = s.accept()) { c.getInputStream().read(); } catch (java.io.IOException e) { } }
    }
}
class Greeting { String text() { return "resource " + Server.class.getResource("/note.txt"); } }
`

// fixture is one function on one JDK, in real sandboxes.
type fixture struct {
	*Builder
	t       testing.TB
	driver  worker.Driver
	request launch.Request
	cache   string
}

func newFixture(t testing.TB, feature int) *fixture {
	t.Helper()
	f := &fixture{t: t, cache: filepath.Join(t.TempDir(), "caches")}
	var jdk launch.JDK
	for _, j := range toolchain.FindJDKs(toolchain.FindOptions{}) {
		if j.Feature() == feature || feature == launchNewest && j.Feature() >= 25 {
			jdk = launch.JDK{Home: j.Home, Version: j.Feature()}
			break
		}
	}
	if jdk.Home == "" {
		t.Skipf("NO JDK %d ON THIS MACHINE", feature)
	}
	code := t.TempDir()
	source := filepath.Join(t.TempDir(), "Server.java")
	write(t, source, server)
	if out, err := exec.Command(filepath.Join(jdk.Home, "bin", "javac"), "--release", "17", "-d", code, source).CombinedOutput(); err != nil {
		t.Skipf("NO COMPILER: %v: %s", err, out)
	}
	classes := filepath.Join(t.TempDir(), "classes.jar")
	pack(t, classes, code)
	write(t, filepath.Join(code, "note.txt"), "hello")
	d, err := process.New(process.Options{Dir: filepath.Join(t.TempDir(), "workers")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	f.driver = d
	workertest.Open(t, code, filepath.Dir(classes))
	f.request = launch.Request{
		Revision: &function.Spec{ID: "01REV", Function: "f", Kind: function.KindWeb, CodeSHA256: "c0de", MemoryMiB: 256, TmpMiB: 64},
		Paths:    launch.Paths{Code: code, ClassPath: []string{"."}, Classes: classes, MainClass: "Server", JDK: jdk},
	}
	f.reopen()
	return f
}

// launchNewest is the newest JDK that has AOT caches.
const launchNewest = 0

// reopen is a restart of the server.
func (f *fixture) reopen() {
	f.t.Helper()
	var err error
	f.Builder, err = New(Options{Cache: f.cache, Runner: f.driver.(worker.Runner), Request: func(context.Context, *function.Spec) (launch.Request, error) {
		return f.request, nil
	}})
	if err != nil {
		f.t.Fatal(err)
	}
}

func write(t testing.TB, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func pack(t testing.TB, to, code string) {
	t.Helper()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w := zip.NewWriter(out)
	add := func(name, content string) {
		e, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(e, content)
	}
	add("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\nClass-Path: file:/var/task/\r\n\r\n")
	files, _ := filepath.Glob(filepath.Join(code, "*.class"))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		add(filepath.Base(file), string(b))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// run starts a worker, and returns it with what it wrote.
func (f *fixture) run(r launch.Request) (worker.Worker, *output, error) {
	f.t.Helper()
	r.ID = ulid.Make().String()
	spec, err := launch.Worker(r)
	if err != nil {
		f.t.Fatal(err)
	}
	out := new(output)
	spec.Output = out
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Minute)
	defer cancel()
	w, err := f.driver.Start(ctx, spec)
	if err == nil {
		f.t.Cleanup(func() { _ = w.Stop(context.Background(), 0) })
	}
	return w, out, err
}

// record is the way of a recording through the node.
func (f *fixture) record() string {
	f.t.Helper()
	r := f.request
	r.Rung, r.Recording, r.Paths.Record = plain, ladder.RecordingClasses, f.t.TempDir()
	workertest.Open(f.t, r.Paths.Record)
	w, out, err := f.run(r)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := w.Stop(f.t.Context(), 30*time.Second); err != nil {
		f.t.Fatal(err)
	}
	if got := out.String(); got != "resource file:/var/task/note.txt\n" {
		f.t.Errorf("the recording worker wrote %q", got)
	}
	file, ok := launch.RecordingFile(ladder.RecordingClasses, r.Paths.Record)
	if !ok {
		f.t.Fatalf("no recording; exit %+v", w.Exit())
	}
	return file
}

func (f *fixture) build(recording string) (*aot.Result, error) {
	return f.Build(f.t.Context(), &aot.Request{
		Revision: f.request.Revision, Rung: cached, Recording: aot.Recording{File: recording}, Limits: aot.Limits{Time: time.Minute},
	})
}

// serve starts a worker with the cache.
func (f *fixture) serve(dir string, check bool) (worker.Worker, *output, error) {
	r := f.request
	r.Rung, r.Paths.Artifact, r.Check = cached, dir, check
	return f.run(r)
}

func class(t *testing.T, err error) aot.Class {
	t.Helper()
	var failed *aot.Error
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want *aot.Error", err)
	}
	return failed.Class
}

// output collects what a worker writes.
type output struct {
	mu sync.Mutex
	b  strings.Builder
}

func (o *output) Write(p []byte) (int, error) { o.mu.Lock(); defer o.mu.Unlock(); return o.b.Write(p) }
func (o *output) String() string              { o.mu.Lock(); defer o.mu.Unlock(); return o.b.String() }

func TestCacheFromRecordingToService(t *testing.T) {
	for name, feature := range map[string]int{"AOT cache": launchNewest, "AppCDS": 17} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, feature)
			recording := f.record()
			made, err := f.build(recording)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("cost %+v", made.Cost)
			if made.Cached || made.Cost.Size < 1<<18 || made.Cost.Wall <= 0 {
				t.Errorf("got %+v", made)
			}
			for _, check := range []bool{true, false} {
				w, out, err := f.serve(made.Dir, check)
				if err != nil {
					t.Fatal(err)
				}
				if used, known := launch.CacheUsed(w, made.Dir); !used || !known {
					t.Errorf("check %v: the cache is not used: %v, %v", check, used, known)
				}
				_ = w.Stop(t.Context(), 0)
				if got := out.String(); got != "resource file:/var/task/note.txt\n" {
					t.Errorf("check %v: a worker wrote %q", check, got)
				}
			}
			if err := f.Check(made.Dir, &f.request); err != nil {
				t.Error(err)
			}
			again, err := f.build(recording)
			if err != nil || !again.Cached || again.Dir != made.Dir {
				t.Errorf("the same again: got %+v, %v", again, err)
			}
			f.reopen()
			if _, ok := f.Lookup(made.Key); !ok {
				t.Error("not found after a restart")
			}
			for range 2 {
				if err := f.Drop(made.Key); err != nil {
					t.Error(err)
				}
			}
			if _, ok := f.Lookup(made.Key); ok {
				t.Error("found what was dropped")
			}
			if err := f.Check(made.Dir, &f.request); !errors.Is(err, aot.ErrStale) {
				t.Errorf("a dropped cache: got %v, want ErrStale", err)
			}
			left, _ := filepath.Glob(filepath.Join(f.cache, "scratch", "*"))
			if len(left) > 0 {
				t.Errorf("left in scratch: %q", left)
			}
		})
	}
}

// TestTurnedDownByTheJVM: what no comparison before the start can know.
func TestTurnedDownByTheJVM(t *testing.T) {
	f := newFixture(t, launchNewest)
	made, err := f.build(f.record())
	if err != nil {
		t.Fatal(err)
	}
	rev := *f.request.Revision
	rev.Environment = map[string]string{"JAVA_TOOL_OPTIONS": "-XX:+UseCompactObjectHeaders"}
	f.request.Revision = &rev
	const picked = "Picked up JAVA_TOOL_OPTIONS: -XX:+UseCompactObjectHeaders\n"
	w, out, err := f.serve(made.Dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if used, known := launch.CacheUsed(w, made.Dir); used || !known {
		t.Errorf("got %v, %v, want a cache that is known not to be used", used, known)
	}
	_ = w.Stop(t.Context(), 0)
	if got := out.String(); strings.ReplaceAll(got, picked, "") != "resource file:/var/task/note.txt\n" {
		t.Errorf("a worker wrote %q", got)
	}
	var failed *worker.StartError
	if _, _, err := f.serve(made.Dir, true); !errors.As(err, &failed) || failed.Exit == nil || !strings.Contains(failed.Exit.Stderr, "UseCompactObjectHeaders setting") {
		t.Errorf("the check: got %v", err)
	}
}

// TestFunctionThatHangsAtItsEnd is killed when its time is over; what it loaded is listed all the same.
func TestFunctionThatHangsAtItsEnd(t *testing.T) {
	f := newFixture(t, launchNewest)
	f.request.Revision.Environment = map[string]string{"HANG": "yes"}
	r := f.request
	r.Rung, r.Recording, r.Paths.Record = plain, ladder.RecordingClasses, t.TempDir()
	workertest.Open(t, r.Paths.Record)
	w, _, err := f.run(r)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := w.Stop(t.Context(), 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("its end took %v", took)
	}
	file, ok := launch.RecordingFile(r.Recording, r.Paths.Record)
	if !ok {
		t.Fatal("no recording")
	}
	if _, err := f.build(file); err != nil {
		t.Error(err)
	}
}

// TestRecordingsThatTheJVMRefuses: what it does with them is its own matter, in its own sandbox; that it fails
// and leaves nothing is ours.
func TestRecordingsThatTheJVMRefuses(t *testing.T) {
	f := newFixture(t, launchNewest)
	whole, err := os.ReadFile(f.record())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty":               {},
		"garbage":             whole[len(whole)/2:],
		"a line that is none": append(bytes.Clone(whole), "java/lang/Object id: 0 super: none\n@lambda-proxy\n\x00\x01\n"...),
	} {
		file := filepath.Join(t.TempDir(), "app.classlist")
		write(t, file, string(content))
		_, err := f.build(file)
		t.Logf("%s: %v", name, err)
		if got := class(t, err); !got.Deterministic() {
			t.Errorf("%s: got class %s", name, got)
		}
	}
	for _, sub := range []string{"scratch/*", "images/*/*"} {
		if left, _ := filepath.Glob(filepath.Join(f.cache, sub)); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}
