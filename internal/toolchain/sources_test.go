package toolchain

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ulikunitz/xz"
)

// TestExtractSources: of a release of the JDK's sources what is compiled is taken, into a folder that is not there yet.
func TestExtractSources(t *testing.T) {
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, f := range [][2]string{
		{"jdk-25/README.md", "before"},
		{"jdk-25/src/java.base/share/native/libjava/Class.c", "int x;"},
		{"jdk-25/src/java.base/share/classes/java/lang/Object.java", "class Object { native int hashCode(); }"},
		{"jdk-25/src/java.base/share/classes/java/lang/String.java", "class String {}"},
		{"jdk-25/src/java.desktop/share/native/libawt/awt.c", "int y;"},
		{"jdk-25/test/Test.java", "native"},
	} {
		if err := w.WriteHeader(&tar.Header{Name: f[0], Mode: 0o644, Size: int64(len(f[1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	x, err := xz.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Write(plain.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	archive, dir := filepath.Join(t.TempDir(), "jdk.tar.xz"), filepath.Join(t.TempDir(), "jdk")
	if err := os.WriteFile(archive, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := extractSources(t.Context(), archive, dir); err != nil {
		t.Fatal(err)
	}
	var got []string
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, name)
		}
		return err
	})
	want := []string{"src/java.base/share/classes/java/lang/Object.java", "src/java.base/share/native/libjava/Class.c"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
