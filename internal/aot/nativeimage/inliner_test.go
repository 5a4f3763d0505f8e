package nativeimage

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/config"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/toolchain"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// TestInliner: a binary that is made with a profile prints what HotSpot does, where an inliner may go wrong: exceptions through
// calls that are tested before, classes that the profile does not know or that are hardly ever there, recursion, locks, the lines of stack traces, and null where its check is a read. The
// real builder makes it, once for each content. The profile is that of a run on HotSpot with Odd's own loop.
func TestInliner(t *testing.T) {
	found, _ := toolchain.Find(toolchain.FindOptions{Cache: config.CacheDir()})
	if len(found) == 0 {
		t.Skip("no native-image here: cloudjit toolchain install")
	}
	if err := found[0].Inlines(); err != nil {
		t.Skip(err)
	}
	dir, classes := t.TempDir(), t.TempDir()
	tool := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), filepath.Join(found[0].Home, "bin", name), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	tool("javac", "-d", classes, "testdata/inliner/Odd.java", "testdata/inliner/Rare.java", "testdata/inliner/Nulls.java")
	want := tool("java", "-XX:+UseSerialGC", "-cp", classes, "Odd")

	b, err := New(Options{
		Home: found[0].Home, ID: filepath.Base(found[0].Home), Image: must(filepath.Abs("../../../java/image/target/image.jar"))(t), Patch: true, Inlines: true,
		Cache: filepath.Join(config.CacheDir(), "test-native"), Runner: sandboxes(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	code := jarOf(t, dir, classes, "Odd")
	r := alone(t, b, &aot.Request{
		Revision: &function.Spec{Kind: function.KindWeb, Function: "odd", CodeSHA256: must(hashFiles(code))(t)}, Code: code, Rung: ladder.Rung{Options: ladder.OptionsProfiled},
		Recording: aot.Recording{Document: []byte("{}"), Also: []string{"testdata/inliner/odd.profile"}}, Limits: aot.Limits{MemoryMiB: 4096, Time: 20 * time.Minute},
	})
	log := must(b.Log(r.Key))(t)
	if !strings.Contains(string(log), "behind a test of the receiver's class") || strings.Contains(string(log), "inlined 0 calls") || strings.Contains(string(log), "moved 0 loads") || strings.Contains(string(log), "; 0 of") || !strings.Contains(string(log), "null checks are reads") || strings.Contains(string(log), "again without") {
		t.Errorf("the build says\n%s", log)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(r.Dir, binaryName)).CombinedOutput()
	if err != nil || string(out) != want {
		t.Errorf("%v: it prints\n%s\nHotSpot\n%s", err, out, want)
	}
}

// alone builds while no other test of the machine does.
func alone(t testing.TB, b *Builder, req *aot.Request) *aot.Result {
	t.Helper()
	lock := must(os.OpenFile(filepath.Join(os.TempDir(), "cloudjit-native.lock"), os.O_CREATE|os.O_RDWR, 0o644))(t)
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	req.Log = &said
	r, err := b.Build(t.Context(), req)
	if err != nil {
		end := said.Bytes()
		t.Fatalf("%v\n%s", err, end[max(0, len(end)-6000):])
	}
	return r
}

// jarOf makes an executable JAR of the classes in a folder.
func jarOf(t testing.TB, dir, classes, main string) string {
	t.Helper()
	files := map[string][]byte{"META-INF/MANIFEST.MF": []byte("Manifest-Version: 1.0\nMain-Class: " + main + "\n")}
	for _, file := range must(filepath.Glob(filepath.Join(classes, "*.class")))(t) {
		files[filepath.Base(file)] = must(os.ReadFile(file))(t)
	}
	file := filepath.Join(dir, strings.ToLower(main)+".jar")
	if err := os.WriteFile(file, ziptest.OfMap(t, files), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
