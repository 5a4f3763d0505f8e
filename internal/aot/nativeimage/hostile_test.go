package nativeimage

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/assets"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/metadata"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// hostile is a function that attacks the machine that builds it (testdata/hostile), and what it must not reach.
type hostile struct {
	classes map[string][]byte // by path
	data    string            // a server's folder: its store, and another function's code
	outside string            // a folder that everybody may write to
	sleep   string            // how long the processes sleep that it leaves, which nobody else does
	dialled *atomic.Int32     // connections to the loopback
}

func newHostile(t *testing.T, home string) *hostile {
	t.Helper()
	h := &hostile{data: t.TempDir(), outside: t.TempDir(), sleep: strconv.Itoa(90_000_000 + rand.IntN(1_000_000)), dialled: new(atomic.Int32)}
	secret, code := filepath.Join(h.data, "store", "secret"), filepath.Join(h.data, "artifacts", "trees", "other", "app.jar")
	for _, file := range []string{secret, code} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("secret"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(h.data, 0o755), os.Chmod(h.outside, 0o777)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CLOUDJIT_TEST_SECRET", "the server's own")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.dialled.Add(1)
			c.Close()
		}
	}()
	h.compile(t, home, strings.NewReplacer("@SECRET@", secret, "@CODE@", code, "@OUTSIDE@", h.outside, "@HOME@", home, "@SLEEP@", h.sleep,
		"@PORT@", strconv.Itoa(l.Addr().(*net.TCPAddr).Port)))
	return h
}

// compile compiles the attacks; the one that is a Feature only where the tool chain has what that implements.
func (h *hostile) compile(t *testing.T, home string, values *strings.Replacer) {
	t.Helper()
	sources, out := t.TempDir(), t.TempDir()
	sdk, _ := filepath.Glob(filepath.Join(home, "lib", "svm", "builder", "*.jar"))
	var files []string
	err := fs.WalkDir(os.DirFS("testdata/hostile"), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(p, "Hook.java") && len(sdk) == 0 {
			return err
		}
		text, err := os.ReadFile(filepath.Join("testdata/hostile", p))
		file := filepath.Join(sources, p)
		files = append(files, file)
		return errors.Join(err, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(values.Replace(string(text))), 0o644))
	})
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-nowarn", "-proc:none", "--release", "21", "-d", out, "-cp", strings.Join(append(sdk, testClasses), ":")}, files...)
	if said, err := exec.Command(filepath.Join(home, "bin", "javac"), args...).CombinedOutput(); err != nil {
		t.Fatalf("compile the attacks: %v\n%s", err, said)
	}
	h.classes = map[string][]byte{}
	err = fs.WalkDir(os.DirFS(out), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			h.classes[p], err = os.ReadFile(filepath.Join(out, p))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// check wants every attack in a build's log to have failed, and those by who to be there; and nothing of them
// to be left.
func (h *hostile) check(t *testing.T, log string, who ...string) {
	t.Helper()
	attacks := map[string]int{}
	s := bufio.NewScanner(strings.NewReader(log))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if i := strings.Index(s.Text(), "EXPLOIT "); i >= 0 {
			line := s.Text()[i:]
			attacks[strings.Fields(line)[1]]++
			if !strings.HasSuffix(line, ": held") {
				t.Errorf("it got out: %s", line)
			}
		}
	}
	for _, name := range who {
		if attacks[name] < 10 {
			t.Errorf("%d attacks by %s, want all: %v\n%s", attacks[name], name, attacks, log[max(0, len(log)-4000):])
		}
	}
	if attacks["processor"] > 0 {
		t.Error("an annotation processor ran")
	}
	h.nothingLeft(t)
}

func (h *hostile) nothingLeft(t *testing.T) {
	t.Helper()
	if n := h.dialled.Load(); n > 0 {
		t.Errorf("the loopback was reached %d times", n)
	}
	if left, err := os.ReadDir(h.outside); err != nil || len(left) > 0 {
		t.Errorf("written outside: %v, %v", left, err)
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		if b, err := os.ReadFile(p); err == nil && bytes.Contains(b, []byte(h.sleep)) {
			t.Errorf("a process is left: %q", b)
		}
	}
}

// builderJDK is a JDK for the tools beside native-image.
func builderJDK(t *testing.T) string {
	t.Helper()
	for _, j := range toolchain.FindJDKs(toolchain.FindOptions{}) {
		if j.Feature() >= 21 {
			return j.Home
		}
	}
	t.Skip("SKIPPED: there is no JDK of Java 21 or newer")
	return ""
}

// springRequest packages the attacks as a Spring Boot application.
func (h *hostile) springRequest(t *testing.T, environment map[string]string) *aot.Request {
	boot := map[string][]byte{}
	files := map[string][]byte{
		"META-INF/MANIFEST.MF": []byte("Main-Class: org.springframework.boot.loader.launch.JarLauncher\nStart-Class: evil.Main\nSpring-Boot-Classes: BOOT-INF/classes/\n\n"),
		"BOOT-INF/classes/META-INF/services/java.nio.charset.spi.CharsetProvider":       []byte("evil.Charsets\n"),
		"BOOT-INF/classes/META-INF/services/javax.annotation.processing.Processor":      []byte("evil.Processor\n"),
		"BOOT-INF/classes/META-INF/native-image/evil/evil/native-image.properties":      []byte("Args = --initialize-at-build-time=evil\n"),
		"BOOT-INF/classes/META-INF/native-image/evil/evil/reachability-metadata.json":   []byte("{}"),
		"BOOT-INF/classes/META-INF/native-image/evil/evil/predefined-classes-config.js": []byte("{}"),
	}
	for name, content := range h.classes {
		if strings.HasPrefix(name, "org/springframework/") {
			boot[name] = content
		} else {
			files["BOOT-INF/classes/"+name] = content
		}
	}
	files["BOOT-INF/lib/spring-boot-4.1.2.jar"] = ziptest.OfMap(t, boot)
	req := request(t, files, function.Spec{Kind: function.KindWeb, Environment: environment})
	req.Limits = aot.Limits{MemoryMiB: 512, CPUs: 2, Time: 5 * time.Minute}
	return req
}

// TestHostileApplication: a bean that Spring's ahead-of-time processing runs, an application that is
// rehearsed, a provider of a service and an annotation processor attack the machine, and reach nothing.
func TestHostileApplication(t *testing.T) {
	jdk := builderJDK(t)
	f, h := newFixture(t, ""), newHostile(t, jdk)
	tracer, err := assets.Install(t.TempDir(), assets.Tracer)
	if err != nil {
		t.Skipf("SKIPPED: the tracer is not built: %v", err)
	}
	f.opts.JDK, f.opts.Tracer = jdk, &metadata.Tracer{Jar: tracer}
	var log bytes.Buffer
	req := h.springRequest(t, nil)
	req.Log = &log
	if _, err := f.Build(t.Context(), req); err != nil {
		t.Errorf("an application that reached nothing is built: %v", err)
	}
	h.check(t, log.String(), "spring", "provider", "rehearsal")
}

// TestGreedyApplication: what takes all there is of something, or never ends, ends with its build, and
// takes none of the machine's.
func TestGreedyApplication(t *testing.T) {
	jdk := builderJDK(t)
	f, h := newFixture(t, ""), newHostile(t, jdk)
	f.opts.JDK = jdk
	limited := f.opts.Runner.(worker.Driver).Capabilities().MemoryLimit
	for _, test := range []struct {
		takes   string
		classes []aot.Class
		says    string // in the log
	}{
		{"disk", []aot.Class{aot.ClassMemory, aot.ClassTool}, ""},
		{"output", []aot.Class{aot.ClassTool, aot.ClassMemory}, "No space left"},
		{"files", []aot.Class{aot.ClassTool}, "No space left"},
		{"link", []aot.Class{aot.ClassUser}, ""},
		{"memory", []aot.Class{aot.ClassMemory}, ""},
		{"processes", []aot.Class{aot.ClassTool, aot.ClassUser}, "EXPLOIT processes: "},
		{"time", []aot.Class{aot.ClassTime}, "EXPLOIT time daemon: held"},
	} {
		t.Run(test.takes, func(t *testing.T) {
			if test.takes == "memory" && !limited {
				t.Skip("CAPABILITY memoryLimit IS LACKING HERE")
			}
			var log bytes.Buffer
			req := h.springRequest(t, map[string]string{"EVIL_TAKES": test.takes})
			req.Log = &log
			if test.takes == "time" {
				req.Limits.Time = 5 * time.Second
			}
			_, err := f.Build(t.Context(), req)
			var failed *aot.Error
			if !errors.As(err, &failed) || !slices.Contains(test.classes, failed.Class) {
				t.Errorf("got %v, want %v\n%s", err, test.classes, log.String())
			}
			if test.takes == "link" && !strings.Contains(fmt.Sprint(err), "is a link") {
				t.Errorf("got %v", err)
			}
			if !strings.Contains(log.String(), test.says) || strings.Contains(log.String(), ": wrote") || strings.Contains(log.String(), ": made") {
				t.Errorf("log:\n%s", log.String())
			}
			const counted = "EXPLOIT processes: "
			if i := strings.LastIndex(log.String(), counted); i >= 0 {
				if n, err := strconv.Atoi(strings.Fields(log.String()[i+len(counted):])[0]); err != nil || n < 100 || n >= maxPIDs {
					t.Errorf("%d processes, %v", n, err)
				}
			}
			h.nothingLeft(t)
		})
	}
}

// TestHostileImage: a static initializer, a Feature and a provider of a service that native-image itself runs
// attack the machine, and reach nothing. It is the one test that makes a binary.
func TestHostileImage(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: makes a binary, which takes minutes")
	}
	found, _ := toolchain.Find(toolchain.FindOptions{Cache: config.CacheDir()})
	if len(found) == 0 {
		t.Skip("SKIPPED: there is no native-image: run \"cloudjit toolchain install\"")
	}
	home := found[0].Home
	h := newHostile(t, home)
	runtime, err := assets.Install(t.TempDir(), assets.Runtime)
	if err != nil {
		t.Skipf("SKIPPED: the runtime client is not built: %v", err)
	}
	cache := filepath.Join(t.TempDir(), "cache")
	b, err := New(Options{Home: home, ID: "hostile", Runtime: runtime, Cache: cache, Runner: sandboxes(t)})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{
		"META-INF/MANIFEST.MF": []byte("Manifest-Version: 1.0\n\n"),
		"META-INF/native-image/evil/evil/native-image.properties": []byte("Args = --initialize-at-build-time=evil --features=evil.Hook\n"),
		"META-INF/services/java.nio.charset.spi.CharsetProvider":  []byte("evil.Charsets\n"),
		"META-INF/services/javax.annotation.processing.Processor": []byte("evil.Processor\n"),
	}
	for name, content := range h.classes {
		if !strings.HasPrefix(name, "org/springframework/") {
			files[name] = content
		}
	}
	var log bytes.Buffer
	req := request(t, files, function.Spec{Kind: function.KindHandler, Handler: "evil.Handler"})
	req.Log, req.Limits = &log, aot.Limits{MemoryMiB: 3072, Time: 25 * time.Minute}
	r, err := b.Build(t.Context(), req)
	if err != nil {
		t.Fatalf("a function that reached nothing is built: %v\n%s", err, log.String())
	}
	t.Logf("cost: %+v", r.Cost)
	h.check(t, log.String(), "initializer", "feature")
}

// TestSourcesAreQuoted: the names of generated files are the application's choice, and stand in a file of
// arguments.
func TestSourcesAreQuoted(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{`a" -processor evil "b.java`, `c\.java`, "d e.java", "f.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list := filepath.Join(t.TempDir(), "sources.txt")
	n, err := listSources(dir, list)
	got, _ := os.ReadFile(list)
	want := fmt.Sprintf("\"%[1]s/a\\\" -processor evil \\\"b.java\"\n\"%[1]s/c\\\\.java\"\n\"%[1]s/d e.java\"\n", dir)
	if err != nil || n != 3 || string(got) != want {
		t.Errorf("got %d, %v\n%s\nwant\n%s", n, err, got, want)
	}
}
