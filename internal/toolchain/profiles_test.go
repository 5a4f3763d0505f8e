package toolchain

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudjit/cloudjit/internal/ziptest"
)

// TestProfiles: the builder itself says whether it takes profiles, whatever it calls itself.
func TestProfiles(t *testing.T) {
	for _, tt := range []struct{ name, help, want string }{
		{"offers it", "echo '    --pgo-instrument      instrument AOT-compiled code to collect data'", ""},
		{"does not", "echo '    -O                    control code optimizations'", "need Oracle GraalVM"},
		{"fails", "echo --pgo-instrument; exit 3", "does not say"},
	} {
		home := t.TempDir()
		if err := os.Mkdir(filepath.Join(home, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		script := "#!/bin/sh\n[ \"$1\" = --help ] || exit 9\n" + tt.help + "\n"
		if err := os.WriteFile(filepath.Join(home, "bin", "native-image"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		err := Toolchain{Kind: GraalVM, Home: home, Version: "25.0.2", Edition: "community"}.Profiles(t.Context())
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("one that %s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := (Toolchain{Kind: Assembled}).Profiles(t.Context()); err == nil || !strings.Contains(err.Error(), "need Oracle GraalVM") {
		t.Errorf("an assembled one: %v", err)
	}
}

// TestInlines: our inliner is put only into a builder whose classes are known byte for byte. Of all others it says why not.
func TestInlines(t *testing.T) {
	known := inlinerKnown
	t.Cleanup(func() { inlinerKnown = known })
	home := t.TempDir()
	tc := Toolchain{Kind: GraalVM, Home: home, Version: "25.0.2", Patches: true}
	refused := func(want string) {
		t.Helper()
		if err := tc.Inlines(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	refused("there is no JAR")
	dir := filepath.Join(home, "lib", "svm", "builder")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	jar := func(name string, classes []string, content string) {
		t.Helper()
		files := map[string][]byte{}
		for _, c := range classes {
			files[c+".class"] = []byte(content + c)
		}
		if err := os.WriteFile(filepath.Join(dir, name), ziptest.OfMap(t, files), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	jar("a.jar", inlinerClasses[:3], "1")
	refused("it has no class com.oracle.svm.hosted.NativeImageGenerator")
	jar("b.jar", inlinerClasses[3:], "1")
	refused("are not those of 25.0.2")
	sum, err := tc.sumOf(inlinerClasses)
	if err != nil {
		t.Fatal(err)
	}
	inlinerKnown = map[string]string{sum: "25.0.2"}
	if err := tc.Inlines(); err != nil {
		t.Error(err)
	}
	jar("a.jar", inlinerClasses[:3], "2")
	refused("are not those of 25.0.2")
	if err := os.WriteFile(filepath.Join(dir, "a.jar"), []byte("no JAR"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused("read a.jar")
	tc.Patches = false
	refused("cannot be replaced")
}
