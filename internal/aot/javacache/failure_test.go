package javacache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/fake"
)

// fakeFixture is a builder on a machine that is all made up: a JDK of some files, and a job that does what run
// says with the folder for the cache.
type fakeFixture struct {
	*Builder
	request launch.Request
	driver  *fake.Driver
	opts    Options
	jobs    int
}

func newFake(t *testing.T, run func(ctx context.Context, out string) worker.Finished) *fakeFixture {
	t.Helper()
	home := fakeJDK(t, "25.0.1")
	code := t.TempDir()
	write(t, filepath.Join(code, "app.jar"), "classes")
	f := &fakeFixture{request: launch.Request{
		Revision: &function.Spec{ID: "01REV", Function: "f", Kind: function.KindWeb, CodeSHA256: "c0de", MemoryMiB: 256},
		Paths:    launch.Paths{Code: code, ClassPath: []string{"app.jar"}, MainClass: "Main", JDK: launch.JDK{Home: home, Version: 25}},
	}}
	var mu sync.Mutex
	f.driver = fake.New(func(spec worker.Spec) fake.Program {
		mu.Lock()
		f.jobs++
		mu.Unlock()
		out := ""
		for _, f := range spec.Folders {
			out = f.Keep
		}
		return fake.Program{Job: func(ctx context.Context) worker.Finished { return run(ctx, out) }}
	})
	f.opts = Options{Cache: filepath.Join(t.TempDir(), "caches"), Runner: f.driver, Request: func(context.Context, *function.Spec) (launch.Request, error) {
		return f.request, nil
	}}
	var err error
	if f.Builder, err = New(f.opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.driver.Close() })
	return f
}

func fakeJDK(t *testing.T, version string) string {
	t.Helper()
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, "lib", "server"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, "release"), "JAVA_VERSION="+version)
	write(t, filepath.Join(home, "lib", "modules"), "modules")
	write(t, filepath.Join(home, "lib", "server", "libjvm.so"), "jvm")
	return home
}

// good is a job that leaves a cache.
func good(_ context.Context, out string) worker.Finished {
	_ = os.WriteFile(filepath.Join(out, "app.jsa"), bytes.Repeat([]byte("cache"), 1000), 0o600)
	return worker.Finished{CPU: time.Second, PeakRSS: 1 << 20}
}

// recorded is a file that begins as a configuration does.
func recorded(t *testing.T, rest string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "app.classlist")
	write(t, file, listHead+"\n"+rest)
	return file
}

func (f *fakeFixture) build(ctx context.Context, recording string) (*aot.Result, error) {
	return f.Build(ctx, &aot.Request{Revision: f.request.Revision, Rung: cached, Recording: aot.Recording{File: recording}})
}

func (f *fakeFixture) empty(t *testing.T) {
	t.Helper()
	left, _ := filepath.Glob(filepath.Join(f.opts.Cache, "scratch", "*"))
	kept, _ := filepath.Glob(filepath.Join(f.opts.Cache, "images", "*", "*"))
	if len(left)+len(kept) > 0 {
		t.Errorf("left behind: %q %q", left, kept)
	}
}

func TestFailuresSayWhy(t *testing.T) {
	end := func(exit worker.Exit) func(context.Context, string) worker.Finished {
		return func(context.Context, string) worker.Finished { return worker.Finished{Exit: exit} }
	}
	linked := func(t *testing.T) string {
		file := filepath.Join(t.TempDir(), "app.classlist")
		if err := os.Symlink("/etc/hostname", file); err != nil {
			t.Fatal(err)
		}
		return file
	}
	tests := map[string]struct {
		run       func(context.Context, string) worker.Finished
		recording func(t *testing.T) string
		class     aot.Class
		reason    string
	}{
		"no recording":  {good, func(t *testing.T) string { return filepath.Join(t.TempDir(), "app.classlist") }, aot.ClassMetadata, "cannot be read"},
		"link":          {good, linked, aot.ClassMetadata, "cannot be read"},
		"garbage":       {good, func(t *testing.T) string { f := recorded(t, ""); write(t, f, "garbage"); return f }, aot.ClassMetadata, "no list of classes"},
		"refused":       {end(worker.Exit{Code: 1}), nil, aot.ClassMetadata, "made no cache of the recording (exit status 1)"},
		"crash":         {end(worker.Exit{Code: -1, Signal: "segmentation fault"}), nil, aot.ClassMetadata, "segmentation fault"},
		"out of memory": {end(worker.Exit{Code: -1, Signal: "killed", OutOfMemory: true}), nil, aot.ClassMemory, "ran out of its 2048 MiB"},
		"no cache":      {end(worker.Exit{}), nil, aot.ClassTool, "left no cache"},
		"link for cache": {func(_ context.Context, out string) worker.Finished {
			_ = os.Symlink("/etc/passwd", out+"/app.jsa")
			return worker.Finished{}
		}, nil, aot.ClassTool, "left no cache"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, test.run)
			recording := recorded(t, "x")
			if test.recording != nil {
				recording = test.recording(t)
			}
			_, err := f.build(t.Context(), recording)
			if got := class(t, err); got != test.class || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got %s, %v, want %s, %q", got, err, test.class, test.reason)
			}
			f.empty(t)
		})
	}
}

func TestReasonIsTheJVMsOwn(t *testing.T) {
	tests := map[string]string{
		"Error occurred during initialization of VM\nMust be a valid AOT configuration generated by the current JVM: c.conf\n": "Must be a valid AOT configuration",
		"[0.722s][error][aot] Error: non-empty directory 'cls'\n":                                                              "non-empty directory",
		"[0.007s][error  ][aot] The AOT cache has been truncated.\n":                                                           "has been truncated",
	}
	for log, want := range tests {
		if got := failed(worker.Exit{Code: 1}, log, 1); !strings.Contains(got.Reason, want) || got.Class != aot.ClassMetadata {
			t.Errorf("got %+v, want %q", got, want)
		}
	}
	if got := failed(worker.Exit{Code: 1}, "java.lang.OutOfMemoryError: x", 1); got.Class != aot.ClassMemory {
		t.Errorf("got %+v", got)
	}
}

func TestEqualKeysAreBuiltOnce(t *testing.T) {
	f := newFake(t, func(ctx context.Context, out string) worker.Finished {
		time.Sleep(100 * time.Millisecond)
		return good(ctx, out)
	})
	other, err := New(f.opts) // another process
	if err != nil {
		t.Fatal(err)
	}
	recording := recorded(t, "x")
	var wg sync.WaitGroup
	for i := range 6 {
		b := []*Builder{f.Builder, other}[i%2]
		wg.Go(func() {
			if _, err := b.Build(t.Context(), &aot.Request{Revision: f.request.Revision, Rung: cached, Recording: aot.Recording{File: recording}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if f.jobs != 1 {
		t.Errorf("%d jobs ran", f.jobs)
	}
	if _, err := f.build(t.Context(), recorded(t, "y")); err != nil || f.jobs != 2 {
		t.Errorf("another recording: %v after %d jobs", err, f.jobs)
	}
}

func TestCancelledBuildLeavesNothing(t *testing.T) {
	f := newFake(t, func(ctx context.Context, out string) worker.Finished { <-ctx.Done(); return good(ctx, out) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := f.build(ctx, recorded(t, "x")); class(t, err) != aot.ClassCancelled {
		t.Errorf("got %v", err)
	}
	f.empty(t)
	_, err := f.Build(t.Context(), &aot.Request{
		Revision: f.request.Revision, Rung: cached, Recording: aot.Recording{File: recorded(t, "x")}, Limits: aot.Limits{Time: 50 * time.Millisecond},
	})
	if class(t, err) != aot.ClassTime {
		t.Errorf("got %v, want class time", err)
	}
	f.empty(t)
}

// TestStaleCacheIsFound changes one thing after the other that a cache depends on.
func TestStaleCacheIsFound(t *testing.T) {
	cacheOf := func(r *aot.Result) string { return filepath.Join(r.Dir, "app.jsa") }
	rewrite := func(t *testing.T, file string, change func([]byte) []byte) {
		t.Helper()
		b, err := os.ReadFile(file)
		if err == nil {
			err = os.Chmod(file, 0o644)
		}
		if err == nil {
			err = os.WriteFile(file, change(b), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		change func(t *testing.T, f *fakeFixture, r *aot.Result)
		lookup bool // whether Lookup, which does not know how a worker is started, still finds it
		want   string
	}{
		"nothing": {func(*testing.T, *fakeFixture, *aot.Result) {}, true, ""},
		"touched": {func(t *testing.T, f *fakeFixture, r *aot.Result) {
			if err := os.Chtimes(cacheOf(r), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}, true, ""},
		"corrupt": {func(t *testing.T, f *fakeFixture, r *aot.Result) {
			old, _ := os.Stat(cacheOf(r))
			rewrite(t, cacheOf(r), func(b []byte) []byte { b[2000] ^= 1; return b })
			_ = os.Chtimes(cacheOf(r), old.ModTime(), old.ModTime()) // as a rotten disk would
		}, false, "another content"},
		"truncated": {func(t *testing.T, f *fakeFixture, r *aot.Result) {
			rewrite(t, cacheOf(r), func(b []byte) []byte { return b[:2000] })
		}, false, "another size"},
		"gone":   {func(t *testing.T, f *fakeFixture, r *aot.Result) { _ = os.Remove(cacheOf(r)) }, false, "not there"},
		"no fit": {func(t *testing.T, f *fakeFixture, r *aot.Result) { write(t, filepath.Join(r.Dir, fitName), "{") }, false, "cannot be read"},
		"JDK updated": {func(t *testing.T, f *fakeFixture, r *aot.Result) {
			write(t, filepath.Join(f.request.Paths.JDK.Home, "release"), "JAVA_VERSION=25.0.2")
		}, false, "another JDK"},
		"JVM exchanged": {func(t *testing.T, f *fakeFixture, r *aot.Result) {
			write(t, filepath.Join(f.request.Paths.JDK.Home, "lib", "server", "libjvm.so"), "fixed")
		}, false, "another JDK"},
		"JDK gone":    {func(t *testing.T, f *fakeFixture, r *aot.Result) { _ = os.RemoveAll(f.request.Paths.JDK.Home) }, false, "JDK cannot be read"},
		"another JDK": {func(t *testing.T, f *fakeFixture, r *aot.Result) { f.request.Paths.JDK.Home = fakeJDK(t, "26") }, true, "another JDK"},
		"another JAR": {func(t *testing.T, f *fakeFixture, r *aot.Result) {
			write(t, filepath.Join(f.request.Paths.Code, "app.jar"), "other")
		}, true, "another app.jar"},
		"one JAR more": {func(t *testing.T, f *fakeFixture, r *aot.Result) {
			f.request.Paths.ClassPath = []string{"app.jar", "app.jar"}
		}, true, "another class path"},
		"a folder": {func(t *testing.T, f *fakeFixture, r *aot.Result) { f.request.Paths.ClassPath = []string{"."} }, true, "class path cannot be read"},
		"foreign cache": {func(t *testing.T, f *fakeFixture, r *aot.Result) {
			rewrite(t, cacheOf(r), func(b []byte) []byte { return bytes.Repeat([]byte("other"), len(b)/5) })
		}, false, "another content"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, good)
			r, err := f.build(t.Context(), recorded(t, "x"))
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Check(r.Dir, &f.request); err != nil {
				t.Fatal(err)
			}
			test.change(t, f, r)
			restarted, err := New(f.opts)
			if err != nil {
				t.Fatal(err)
			}
			for when, b := range map[string]*Builder{"while it runs": f.Builder, "after a restart": restarted} {
				err = b.Check(r.Dir, &f.request)
				if test.want == "" && err != nil || test.want != "" && (!errors.Is(err, aot.ErrStale) || !strings.Contains(fmt.Sprint(err), test.want)) {
					t.Errorf("%s: got %v, want %q", when, err, test.want)
				}
				if _, ok := b.Lookup(r.Key); ok != test.lookup {
					t.Errorf("%s: lookup got %v", when, ok)
				}
			}
		})
	}
}

// builderEnv makes the test binary a server that is killed while a cache is made.
const builderEnv = "JAVACACHE_TEST_SERVER"

func TestServerToBeKilled(t *testing.T) {
	cache := os.Getenv(builderEnv)
	if cache == "" {
		t.Skip("only runs as the child of TestKilledBuilderLeavesNothing")
	}
	f := newFake(t, func(ctx context.Context, out string) worker.Finished {
		fmt.Println("started")
		<-ctx.Done()
		return worker.Finished{}
	})
	f.opts.Cache = cache
	b, err := New(f.opts)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = b.Build(t.Context(), &aot.Request{Revision: f.request.Revision, Rung: cached, Recording: aot.Recording{File: recorded(t, "x")}})
}

func TestKilledBuilderLeavesNothing(t *testing.T) {
	f := newFake(t, good)
	cmd := exec.Command(os.Args[0], "-test.run=^TestServerToBeKilled$", "-test.v")
	cmd.Env = append(os.Environ(), builderEnv+"="+f.opts.Cache, "TMPDIR="+t.TempDir()) // it cannot remove its own
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for said := ""; !strings.Contains(said, "started"); {
		n, err := out.Read(buf)
		if said += string(buf[:n]); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(f.opts.Cache, "scratch", "*")); len(left) != 1 {
		t.Errorf("scratch while it is made: %q", left)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	b, err := New(f.opts)
	if err != nil {
		t.Fatal(err)
	}
	f.empty(t)
	if _, err := b.Build(t.Context(), &aot.Request{Revision: f.request.Revision, Rung: cached, Recording: aot.Recording{File: recorded(t, "x")}}); err != nil {
		t.Errorf("the same again: %v", err)
	}
}
