package nativeimage

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/jar"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// fixture is a builder over the stand-in tool chain of testdata.
type fixture struct {
	*Builder
	cache string
	home  string
}

func newFixture(t *testing.T, mode string) *fixture {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	if err := os.CopyFS(home, os.DirFS("testdata/home")); err != nil {
		t.Fatal(err)
	}
	runtime := filepath.Join(t.TempDir(), "runtime.jar")
	if err := os.WriteFile(runtime, ziptest.OfMap(t, map[string][]byte{"x": nil}), 0o644); err != nil {
		t.Fatal(err)
	}
	f := &fixture{cache: filepath.Join(t.TempDir(), "cache"), home: home}
	opts := Options{Home: home, ID: "fake 1", Runtime: runtime, Cache: f.cache, Runner: sandboxes(t)}
	if mode != "" {
		opts.Extra = []string{"fake:" + mode}
	}
	b, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	f.Builder = b
	t.Cleanup(func() { f.noScratch(t) })
	return f
}

// sandboxes is the driver that the tools of a test run in.
func sandboxes(t testing.TB) *process.Driver {
	return sandboxesIn(t, filepath.Join(t.TempDir(), "sandboxes"))
}

func sandboxesIn(t testing.TB, dir string) *process.Driver {
	t.Helper()
	d, err := process.New(process.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// noScratch fails the test if a build left anything but what is kept.
func (f *fixture) noScratch(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(filepath.Join(f.cache, "scratch"))
	if err != nil || len(left) != 0 {
		t.Errorf("scratch is left: %v, %v", left, err)
	}
}

const testClasses = "../../jar/testdata/classes"

func class(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testClasses, name+".class"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func request(t testing.TB, files map[string][]byte, spec function.Spec) *aot.Request {
	t.Helper()
	b := ziptest.OfMap(t, files)
	code := filepath.Join(t.TempDir(), "code.jar")
	if err := os.WriteFile(code, b, 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	spec.CodeSHA256, spec.Function = hex.EncodeToString(sum[:]), "shop"
	return &aot.Request{
		Revision: &spec, Code: code, Rung: ladder.Rung{Options: "quick"},
		Recording: aot.Recording{Document: []byte(`{"reflection":[{"type":"shop.Traced"}]}`)},
	}
}

func handlerRequest(t testing.TB) *aot.Request {
	return request(t, map[string][]byte{
		"META-INF/MANIFEST.MF":        []byte("Manifest-Version: 1.0\n\n"),
		"shop/Checkout.class":         class(t, "shop/Checkout"),
		"shop/Checkout$Order.class":   class(t, "shop/Checkout$Order"),
		"shop/Checkout$Receipt.class": class(t, "shop/Checkout$Receipt"),
		"library/Base.class":          class(t, "library/Base"),
	}, function.Spec{Kind: function.KindHandler, Handler: "shop.Checkout"})
}

func webRequest(t testing.TB) *aot.Request {
	return request(t, map[string][]byte{
		"META-INF/MANIFEST.MF": []byte("Manifest-Version: 1.0\nMain-Class: shop.Main\n\n"),
		"shop/Main.class":      class(t, "shop/Main"),
	}, function.Spec{Kind: function.KindWeb})
}

func TestBuildKeepsBinaryUnderItsKey(t *testing.T) {
	f, req := newFixture(t, ""), handlerRequest(t)
	var log bytes.Buffer
	var phases []string
	req.Log, req.Progress = &log, func(p string) { phases = append(phases, p) }
	req.Limits = aot.Limits{MemoryMiB: 1024, CPUs: 2, Time: time.Minute}
	r, err := f.Build(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	key, err := f.Key(req)
	if err != nil || r.Key != key || r.Cached {
		t.Errorf("got %+v, want key %s, %v", r, key, err)
	}
	if r.Cost.Wall <= 0 || r.Cost.CPU <= 0 || r.Cost.PeakRSS <= 0 || r.Cost.Size == 0 {
		t.Errorf("cost: %+v", r.Cost)
	}
	var files []string
	entries, _ := os.ReadDir(r.Dir)
	for _, e := range entries {
		files = append(files, e.Name())
	}
	if want := []string{"build.log", "function", "function.args.so", "function.metadata.so", "lib", "libawt.so", "result.json", "sealed.json"}; !slices.Equal(files, want) {
		t.Errorf("kept %q, want %q", files, want)
	}
	args, _ := os.ReadFile(filepath.Join(r.Dir, "function.args.so"))
	for _, want := range []string{"-Ob\n", "--exact-reachability-metadata\n", "-J-Xmx768m\n", "-J-XX:ActiveProcessorCount=2\n", RuntimeMain + "\n"} {
		if !strings.Contains(string(args), want) {
			t.Errorf("no %q in the arguments:\n%s", want, args)
		}
	}
	meta, _ := os.ReadFile(filepath.Join(r.Dir, "function.metadata.so"))
	for _, want := range []string{"shop.Traced", `"shop.Checkout"`, "library.Base", "shop.Checkout$Order", "shop.Checkout$Receipt"} {
		if !strings.Contains(string(meta), want) {
			t.Errorf("no %q in the metadata:\n%s", want, meta)
		}
	}
	if kept, err := f.Log(key); err != nil || !bytes.Contains(kept, []byte("mode build")) || !bytes.Contains(log.Bytes(), []byte("mode build")) {
		t.Errorf("log: %q, %v", kept, err)
	}
	if want := []string{"waiting", "unpack", "image", "keep"}; !slices.Equal(phases, want) {
		t.Errorf("phases: %q", phases)
	}

	again, err := f.Build(t.Context(), req)
	if err != nil || !again.Cached || again.Dir != r.Dir {
		t.Errorf("second build: %+v, %v", again, err)
	}
	if keys, err := f.Keys(); err != nil || !slices.Equal(keys, []aot.Key{key}) {
		t.Errorf("keys: %q, %v", keys, err)
	}
	if err := f.Drop(key); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Lookup(key); ok {
		t.Error("a removed build is found")
	}
}

func TestKeyCountsEverythingThatMatters(t *testing.T) {
	f, req := newFixture(t, ""), webRequest(t)
	base, err := f.Key(req)
	if err != nil {
		t.Fatal(err)
	}
	same := func(edit func(*aot.Request, *function.Spec)) aot.Key {
		r, spec := *req, *req.Revision
		r.Revision = &spec
		edit(&r, &spec)
		key, err := f.Key(&r)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	for name, edit := range map[string]func(*aot.Request, *function.Spec){
		"code":     func(_ *aot.Request, s *function.Spec) { s.CodeSHA256 = strings.Repeat("0", 64) },
		"level":    func(r *aot.Request, _ *function.Spec) { r.Rung.Options = levelOptimized },
		"metadata": func(r *aot.Request, _ *function.Spec) { r.Recording.Document = []byte(`{}`) },
		"main":     func(_ *aot.Request, s *function.Spec) { s.MainClass = "x.Y" },
		"env":      func(_ *aot.Request, s *function.Spec) { s.Environment = map[string]string{"A": "b"} },
	} {
		if same(edit) == base {
			t.Errorf("%s does not change the key", name)
		}
	}
	for name, edit := range map[string]func(*aot.Request, *function.Spec){
		"limits":   func(r *aot.Request, _ *function.Spec) { r.Limits.MemoryMiB = 5 },
		"revision": func(_ *aot.Request, s *function.Spec) { s.ID, s.Version, s.MemoryMiB = "x", "7", 512 },
		"metadata form": func(r *aot.Request, _ *function.Spec) {
			r.Recording.Document = []byte(` { "reflection" : [ {"type":"shop.Traced"} ] } `)
		},
	} {
		if same(edit) != base {
			t.Errorf("%s changes the key", name)
		}
	}
}

func TestFailuresAreToldApart(t *testing.T) {
	for _, tt := range []struct {
		mode   string
		class  aot.Class
		reason string
	}{
		{"heap", aot.ClassMemory, "the build ran out of memory"},
		{"killed", aot.ClassMemory, "the build ran out of memory"},
		{"nomain", aot.ClassUser, "Main entry point class 'x.Main'"},
		{"badmetadata", aot.ClassMetadata, "Error parsing"},
		{"linker", aot.ClassTool, "Linker command exited with 1"},
		{"crash", aot.ClassTool, "should not reach here"},
		{"disk", aot.ClassTool, "No space left"},
		{"nothing", aot.ClassTool, "left no binary"},
		{"noisy", aot.ClassUser, "Class initialization of x.Y failed"},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			f, req := newFixture(t, tt.mode), webRequest(t)
			_, err := f.Build(t.Context(), req)
			var failed *aot.Error
			if !errors.As(err, &failed) || failed.Class != tt.class || !strings.Contains(failed.Reason, tt.reason) {
				t.Fatalf("got %v", err)
			}
			if failed.Cost.Wall <= 0 {
				t.Errorf("cost: %+v", failed.Cost)
			}
			key, _ := f.Key(req)
			log, err := f.Log(key)
			if err != nil || !bytes.Contains(log, []byte("mode "+tt.mode)) || len(log) > keptHead+keptTail+1000 {
				t.Errorf("log of %d bytes, %v", len(log), err)
			}
		})
	}
}

func TestCodeThatCannotBeCompiled(t *testing.T) {
	f := newFixture(t, "")
	gone := handlerRequest(t)
	gone.Revision.Handler = "shop.Gone::answer"
	provided := handlerRequest(t)
	provided.Revision.Kind = function.KindProvided
	noMain := handlerRequest(t)
	noMain.Revision.Kind = function.KindWeb
	broken := handlerRequest(t)
	if err := os.WriteFile(broken.Code, []byte("PK"), 0o644); err != nil {
		t.Fatal(err)
	}
	metadata := handlerRequest(t)
	metadata.Recording.Document = []byte(`{"reflection":`)
	for name, tt := range map[string]struct {
		req   *aot.Request
		class aot.Class
	}{
		"gone": {gone, aot.ClassUser}, "provided": {provided, aot.ClassUser}, "no main": {noMain, aot.ClassUser},
		"broken": {broken, aot.ClassUser}, "metadata": {metadata, aot.ClassMetadata},
	} {
		_, err := f.Build(t.Context(), tt.req)
		var failed *aot.Error
		if !errors.As(err, &failed) || failed.Class != tt.class || !failed.Class.Deterministic() {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestMemoryLimitIsTheKernels(t *testing.T) {
	f, req := newFixture(t, "eat"), webRequest(t)
	req.Limits.MemoryMiB = 64
	if caps := f.opts.Runner.(worker.Driver).Capabilities(); !caps.MemoryLimit {
		t.Skip("CAPABILITY memoryLimit IS LACKING HERE: " + strings.Join(caps.Weaker, " "))
	}
	_, err := f.Build(t.Context(), req)
	var failed *aot.Error
	if !errors.As(err, &failed) || failed.Class != aot.ClassMemory || !strings.Contains(failed.Reason, "64 MiB") {
		t.Errorf("got %v", err)
	}
}

// waitFor polls until ok, which takes milliseconds.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func TestCancelAndTimeLimitKillEverything(t *testing.T) {
	t.Run("cancel", func(t *testing.T) {
		f, req := newFixture(t, "hang"), webRequest(t)
		ctx, cancel := context.WithCancel(t.Context())
		started := make(chan struct{})
		req.Log = writerFunc(func(p []byte) {
			if bytes.Contains(p, []byte("mode hang")) {
				close(started)
			}
		})
		go func() { <-started; cancel() }()
		_, err := f.Build(ctx, req)
		var failed *aot.Error
		if !errors.As(err, &failed) || failed.Class != aot.ClassCancelled {
			t.Errorf("got %v", err)
		}
		if toolRuns(f.home) {
			t.Error("processes are left")
		}
	})
	t.Run("time", func(t *testing.T) {
		f, req := newFixture(t, "hang"), webRequest(t)
		req.Limits.Time = 300 * time.Millisecond
		_, err := f.Build(t.Context(), req)
		var failed *aot.Error
		if !errors.As(err, &failed) || failed.Class != aot.ClassTime {
			t.Errorf("got %v", err)
		}
		if toolRuns(f.home) {
			t.Error("processes are left")
		}
	})
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestEqualKeysAreBuiltOnce(t *testing.T) {
	f, req := newFixture(t, "slow"), webRequest(t)
	// A second builder over the same cache stands for another process.
	other, err := New(f.opts)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var logs [6]bytes.Buffer // only the first caller's is used
	for i := range logs {
		wg.Go(func() {
			b, req := f.Builder, *req
			if i%2 == 1 {
				b = other
			}
			req.Log = &logs[i]
			if _, err := b.Build(t.Context(), &req); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	built := 0
	for i := range logs {
		built += strings.Count(logs[i].String(), "mode slow")
	}
	if built != 1 {
		t.Errorf("built %d times", built)
	}
}

func TestNewCleansWhatAKilledBuilderLeft(t *testing.T) {
	f, req := newFixture(t, "hang"), webRequest(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _, _ = f.Build(ctx, req) }()
	waitFor(t, "the tool", func() bool { return toolRuns(f.home) })
	found, _ := filepath.Glob(filepath.Join(f.cache, "scratch", "build-*"))
	if len(found) != 1 {
		t.Fatalf("scratch of one build: %q", found)
	}
	dir := found[0]
	// While the builder lives, another New leaves its scratch alone.
	if _, err := New(f.opts); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatal("the scratch of a running build was removed")
	}
	// A folder like the ones that a killed server leaves: nobody holds its lock.
	stale := filepath.Join(f.cache, "scratch", "build-stale")
	if err := os.MkdirAll(filepath.Join(stale, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stale, "lock"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(f.opts); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Error("stale scratch is still there")
	}
	cancel()
	<-ended
}

// TestKilledServerLeavesNothing kills a process that builds, as kill -9 of a server does.
func TestKilledServerLeavesNothing(t *testing.T) {
	if cache := os.Getenv("CLOUDJIT_TEST_BUILD_IN"); cache != "" {
		f := newFixture(t, "hang")
		opts := f.opts
		opts.Cache, opts.Runner = cache, sandboxesIn(t, cache+"-sandboxes")
		b, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Build(t.Context(), webRequest(t))
		t.Fatalf("the build ended: %v", err)
	}
	f := newFixture(t, "")
	server := exec.Command(os.Args[0], "-test.run=^TestKilledServerLeavesNothing$")
	tmp := t.TempDir()
	server.Env = append(os.Environ(), "CLOUDJIT_TEST_BUILD_IN="+f.cache, "TMPDIR="+tmp)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the tool", func() bool { return toolRuns(tmp) })
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()
	waitFor(t, "the tool's end", func() bool { return !toolRuns(tmp) })
	// The next server's driver removes the control groups.
	if _, err := sandboxesIn(t, f.cache+"-sandboxes").Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := New(f.opts); err != nil {
		t.Fatal(err)
	}
	// newFixture's cleanup looks for scratch.
}

// toolRuns reports whether a tool runs whose tool chain lies below dir.
func toolRuns(dir string) bool {
	procs, _ := filepath.Glob("/proc/[0-9]*/environ")
	return slices.ContainsFunc(procs, func(p string) bool {
		b, _ := os.ReadFile(p)
		return bytes.Contains(b, []byte("JAVA_HOME="+dir))
	})
}

func TestStandInsComeFirstAndLambdasHaveAFeature(t *testing.T) {
	f := newFixture(t, "")
	f.opts.Image = filepath.Join(t.TempDir(), "image.jar")
	if err := os.WriteFile(f.opts.Image, ziptest.OfMap(t, map[string][]byte{"x": nil}), 0o644); err != nil {
		t.Fatal(err)
	}
	req := handlerRequest(t)
	req.Recording.Document = []byte(`{"reflection":[{"type":"shop.Traced"},{"type":{"lambda":{"declaringClass":"shop.Checkout","interfaces":["java.lang.Runnable"]}}}]}`)
	r, err := f.Build(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	args, err := os.ReadFile(filepath.Join(r.Dir, binaryName+".args.so"))
	if err != nil {
		t.Fatal(err)
	}
	options := strings.Split(string(args), "\n")
	var names []string
	for _, p := range strings.Split(options[slices.Index(options, "-cp")+1], ":") {
		names = append(names, filepath.Base(p))
	}
	if want := []string{"stand-ins", "runtime.jar", "app.jar", "image.jar", "metadata"}; !slices.Equal(names, want) {
		t.Errorf("class path %q, want %q", names, want)
	}
	if !slices.Contains(options, "--features="+lambdaFeature) || !slices.Contains(options, "--features="+exitFeature) {
		t.Errorf("no feature in %q", options)
	}
	doc, err := os.ReadFile(filepath.Join(r.Dir, binaryName+".metadata.so"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(doc), "lambda") || !strings.Contains(string(doc), "shop.Traced") {
		t.Errorf("metadata: %s", doc)
	}
	if !strings.Contains(string(doc), "allDeclaredConstructors") {
		t.Errorf("a class with a stand-in cannot be constructed, which is where it throws: %s", doc)
	}
}

// TestSpringThatCannotBeToldThatItIsAnImage is rehearsed on the JVM too, and both traces are used.
func TestSpringThatCannotBeToldThatItIsAnImage(t *testing.T) {
	f := newFixture(t, "")
	f.opts.Tracer = &metadata.Tracer{Jar: f.opts.Runtime}
	r, err := f.Build(t.Context(), request(t, springFiles(t), function.Spec{Kind: function.KindWeb, Environment: map[string]string{"SPRING_FAILS_IN": "Image"}}))
	if err != nil {
		t.Fatal(err)
	}
	meta, _ := os.ReadFile(filepath.Join(r.Dir, "function.metadata.so"))
	for _, want := range []string{"shop.RehearsedInImage", "shop.RehearsedInJVM"} {
		if !bytes.Contains(meta, []byte(want)) {
			t.Errorf("no %s in\n%s", want, meta)
		}
	}
}

func TestServicesThatALibraryExcludesAreLeftOut(t *testing.T) {
	files := map[string][]byte{
		"META-INF/MANIFEST.MF":                                    []byte("Manifest-Version: 1.0\n\n"),
		"shop/Checkout.class":                                     class(t, "shop/Checkout"),
		"library/Base.class":                                      class(t, "library/Base"),
		"META-INF/services/org.x.Bytecode":                        []byte("org.x.Generating"),
		"META-INF/services/org.x.Other":                           []byte("org.x.OtherProvider"),
		"META-INF/native-image/org.x/orm/native-image.properties": []byte("Args = -H:ServiceLoaderFeatureExcludeServices=org.x.Bytecode,org.x.None \\\n --enable-http"),
	}
	f := newFixture(t, "")
	r, err := f.Build(t.Context(), request(t, files, function.Spec{Kind: function.KindHandler, Handler: "shop.Checkout"}))
	if err != nil {
		t.Fatal(err)
	}
	log, _ := f.Log(r.Key)
	if !bytes.Contains(log, []byte("left out of app.jar, as a library asks for: META-INF/services/org.x.Bytecode\n")) {
		t.Errorf("log:\n%s", log)
	}
	if doc, _ := os.ReadFile(filepath.Join(r.Dir, binaryName+".metadata.so")); !bytes.Contains(doc, []byte(`{"glob":"META-INF/services/org.x.None"}`)) {
		t.Errorf("that the services are not there is not known: %s", doc)
	}
	from, to := filepath.Join(t.TempDir(), "from.jar"), filepath.Join(t.TempDir(), "to.jar")
	if err := os.WriteFile(from, ziptest.OfMap(t, files), 0o644); err != nil {
		t.Fatal(err)
	}
	had, err := withoutFiles(from, to, []string{"META-INF/services/org.x.Bytecode"})
	if err != nil || len(had) != 1 {
		t.Fatalf("got %v, %v", had, err)
	}
	z, err := zip.OpenReader(to)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if len(z.File) != len(files)-1 {
		t.Errorf("%d files are left, want %d", len(z.File), len(files)-1)
	}
}

// TestAncestorsOfGeneratedClasses: Checkout stands for a generated repository, Base for what Spring
// Data's extend.
func TestAncestorsOfGeneratedClasses(t *testing.T) {
	generated := t.TempDir()
	if err := os.MkdirAll(filepath.Join(generated, "shop"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(generated, "shop/Checkout.class"), class(t, "shop/Checkout"), 0o644); err != nil {
		t.Fatal(err)
	}
	set, err := ancestors(generated, []string{generated, testClasses})
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, e := range set.Elements() {
		types = append(types, string(e.Kind)+" "+e.Type)
	}
	if want := []string{"type com.amazonaws.services.lambda.runtime.RequestHandler", "type library.Base"}; !slices.Equal(types, want) {
		t.Errorf("ancestors: %q, want %q", types, want)
	}
}

// springFiles is an archive as Spring Boot's plugin makes it.
func springFiles(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"META-INF/MANIFEST.MF":                         []byte("Main-Class: org.springframework.boot.loader.launch.JarLauncher\nStart-Class: shop.Main\nSpring-Boot-Classes: BOOT-INF/classes/\n\n"),
		"BOOT-INF/classes/shop/Main.class":             class(t, "shop/Main"),
		"BOOT-INF/lib/spring-boot-4.1.2.jar":           ziptest.OfMap(t, map[string][]byte{"org/springframework/boot/SpringApplication.class": nil, "org/springframework/boot/SpringApplicationAotProcessor.class": []byte("x")}),
		"META-INF/native-image/a/b/other-file-of.json": []byte("{}"),
	}
}

func TestSpringIsProcessedFirst(t *testing.T) {
	spring := springFiles(t)
	f := newFixture(t, "")
	f.opts.Tracer = &metadata.Tracer{Jar: f.opts.Runtime}
	req := request(t, spring, function.Spec{Kind: function.KindWeb, Environment: map[string]string{"SPRING_PROFILES_ACTIVE": "prod"}})
	r, err := f.Build(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	log, _ := f.Log(r.Key)
	if !bytes.Contains(log, []byte("processing shop.Main for profile prod")) {
		t.Errorf("log:\n%s", log)
	}
	if meta, _ := os.ReadFile(filepath.Join(r.Dir, "function.metadata.so")); !bytes.Contains(meta, []byte("shop.RehearsedInImage")) || bytes.Contains(meta, []byte("InJVM")) {
		t.Errorf("not the metadata of one rehearsal, as in an image:\n%s", meta)
	}
	args, _ := os.ReadFile(filepath.Join(r.Dir, "function.args.so"))
	cp := strings.Split(strings.SplitN(string(args), "\n", 3)[1], ":")
	var names []string
	for _, p := range cp {
		names = append(names, filepath.Base(p))
	}
	if want := []string{"classes", "resources", "app.jar", "spring-boot-4.1.2.jar", "metadata"}; !slices.Equal(names, want) {
		t.Errorf("class path: %q", names)
	}

	req.Revision.Environment = map[string]string{"SPRING_FAILS": "1"}
	_, err = f.Build(t.Context(), req)
	var failed *aot.Error
	if !errors.As(err, &failed) || failed.Class != aot.ClassUser || !strings.Contains(failed.Reason, "no bean of type x.Y") {
		t.Errorf("got %v", err)
	}
	spring["BOOT-INF/lib/spring-boot-4.1.2.jar"] = ziptest.OfMap(t, map[string][]byte{"org/springframework/boot/SpringApplication.class": nil})
	_, err = f.Build(t.Context(), request(t, spring, function.Spec{Kind: function.KindWeb}))
	if !errors.As(err, &failed) || failed.Class != aot.ClassUser || !strings.Contains(failed.Hint, "Spring Boot 3") {
		t.Errorf("got %v", err)
	}
}

// TestSpringHandlerIsProcessed: an application that a handler starts is prepared as those with a main class are, under the
// name of the class that is the binary's main class; its environment is then part of the key. Who starts none is compiled as it is.
func TestSpringHandlerIsProcessed(t *testing.T) {
	files := map[string][]byte{
		"META-INF/MANIFEST.MF": []byte("Manifest-Version: 1.0\n\n"),
		"shop/Checkout.class":  class(t, "shop/Checkout"),
		"library/Base.class":   class(t, "library/Base"),
		"lib/spring-boot-4.1.2.jar": ziptest.OfMap(t, map[string][]byte{
			"org/springframework/boot/SpringApplication.class": nil, "org/springframework/boot/SpringApplicationAotProcessor.class": []byte("x"),
		}),
	}
	f := newFixture(t, "")
	f.opts.Tracer = &metadata.Tracer{Jar: f.opts.Runtime}
	req := request(t, files, function.Spec{Kind: function.KindHandler, Handler: "shop.Checkout", Environment: map[string]string{"SPRING_PROFILES_ACTIVE": "prod"}})
	build := func() (names []string, log string) {
		t.Helper()
		r, err := f.Build(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		args, _ := os.ReadFile(filepath.Join(r.Dir, "function.args.so"))
		for p := range strings.SplitSeq(strings.SplitN(string(args), "\n", 3)[1], ":") {
			names = append(names, filepath.Base(p))
		}
		b, _ := f.Log(r.Key)
		return names, string(b)
	}
	if names, log := build(); slices.Contains(names, "resources") || strings.Contains(log, "processing") {
		t.Errorf("nothing says that it starts Spring: class path %q, log:\n%s", names, log)
	}
	req.Recording.Document = []byte(`{"reflection":[{"type":"org.springframework.boot.SpringApplication"}]}`)
	names, log := build()
	if !strings.Contains(log, "processing "+RuntimeMain+" for profile prod") || !slices.Equal(names[1:3], []string{"classes", "resources"}) {
		t.Errorf("class path %q, log:\n%s", names, log)
	}
	req.Revision.Environment = map[string]string{"SPRING_FAILS": "1"}
	if names, log := build(); slices.Contains(names, "resources") || !strings.Contains(log, "it is compiled without") {
		t.Errorf("class path %q, log:\n%s", names, log)
	}
	// What does not start once it was processed, and does without, fails before the image is made.
	req.Revision.Environment = map[string]string{"SPRING_FAILS_PROCESSED": "1"}
	_, err := f.Build(t.Context(), req)
	var failed *aot.Error
	if !errors.As(err, &failed) || failed.Class != aot.ClassUser || !strings.Contains(failed.Reason, "a.Broken: another context") {
		t.Errorf("got %v", err)
	}
	// What starts neither way here may do so in service.
	req.Revision.Environment["HANDLER_FAILS"] = "1"
	build()
}

func TestHandlerMetadataFollowsTypes(t *testing.T) {
	cp, err := jar.OpenClassPath([]string{testClasses})
	if err != nil {
		t.Fatal(err)
	}
	defer cp.Close()
	for handler, want := range map[string][]string{
		"shop.Checkout":        {`"shop.Checkout"`, `"library.Base"`, `"shop.Checkout$Order"`, `"shop.Checkout$Receipt"`},
		"shop.Checkout::price": {`"shop.Checkout$Order"`, `"shop.Checkout$Receipt"`},
		"shop.Stream":          {`"shop.Stream"`},
	} {
		b, err := handlerMetadata(cp, handler)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(string(b), w) {
				t.Errorf("%s: no %s in %s", handler, w, b)
			}
		}
		if strings.Contains(string(b), "java.") {
			t.Errorf("%s: a class of the JDK in %s", handler, b)
		}
	}
}

// TestPatchedBuilder: the builder's classes are exchanged where they can be, its log says which cannot, and a builder that
// fails by them makes the image without.
func TestPatchedBuilder(t *testing.T) {
	for name, tc := range map[string]struct {
		patch   bool
		mode    string
		patched bool
		says    string
	}{
		"it can be":      {true, "", true, "lacks cast-messages"},
		"it cannot be":   {false, "", false, ""},
		"it fails by it": {true, "patched", false, "again without: some differences from HotSpot give no signal"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, tc.mode)
			f.opts.Image, f.opts.Patch = filepath.Join(t.TempDir(), "image.jar"), tc.patch
			if err := os.WriteFile(f.opts.Image, ziptest.OfMap(t, map[string][]byte{"x": nil}), 0o644); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			req := handlerRequest(t)
			req.Log = &log
			r, err := f.Build(t.Context(), req)
			if err != nil {
				t.Fatalf("%v\n%s", err, log.String())
			}
			if tc.mode == "" {
				args, err := os.ReadFile(filepath.Join(r.Dir, binaryName+".args.so"))
				if err != nil || strings.Contains(string(args), "-J--patch-module="+builderModule+"=") != tc.patched || strings.Contains(string(args), archiveFeature) != tc.patched {
					t.Errorf("%v: %s", err, args)
				}
			}
			if !strings.Contains(log.String(), tc.says) {
				t.Errorf("%q is not in the log:\n%s", tc.says, log.String())
			}
		})
	}
}
