package jar

import (
	"archive/zip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestPackClasses(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{
		"a/A.class": "class a", "B.class": "class b", "r.txt": "text", "lib/l.jar": "jar", "META-INF/versions/9/C.class": "other",
	} {
		file := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(t.TempDir(), "classes.jar")
	if ok, err := PackClasses(folder, to, "/var/task"); !ok || err != nil {
		t.Fatalf("got %v, %v", ok, err)
	}
	z, err := zip.OpenReader(to)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	if want := []string{"META-INF/MANIFEST.MF", "B.class", "a/A.class"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	if m := string(readSmall(z.File[0])); m != "Manifest-Version: 1.0\r\nClass-Path: file:/var/task/\r\n\r\n" {
		t.Errorf("manifest %q", m)
	}

	if err := os.WriteFile(filepath.Join(folder, "D.class"), []byte("x getCodeSource x"), 0o644); err != nil {
		t.Fatal(err)
	}
	to = filepath.Join(t.TempDir(), "classes.jar")
	if ok, err := PackClasses(folder, to, "/var/task"); ok || err != nil {
		t.Errorf("a class that asks for its code source: got %v, %v", ok, err)
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("a JAR was left")
	}
}
