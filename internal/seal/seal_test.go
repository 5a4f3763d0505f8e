package seal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestWhatChangedIsDamaged(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"cut":               func(dir string) error { return os.Truncate(filepath.Join(dir, "a/x"), 1) },
		"flipped":           func(dir string) error { return os.WriteFile(filepath.Join(dir, "a/x"), []byte("Code"), 0o644) },
		"gone":              func(dir string) error { return os.Remove(filepath.Join(dir, "a/x")) },
		"the list cut":      func(dir string) error { return os.Truncate(filepath.Join(dir, Name), 20) },
		"the list replaced": func(dir string) error { return os.WriteFile(filepath.Join(dir, Name), []byte(`{"files":[]}`), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "a/x"), "code")
			write(t, filepath.Join(dir, "y"), "")
			if err := Folder(dir); err != nil {
				t.Fatal(err)
			}
			var c Checker
			if err := errors.Join(c.Folder(dir), c.Verify(dir)); err != nil {
				t.Fatalf("as it was: %v", err)
			}
			now := time.Now().Add(time.Second)
			if err := os.Chtimes(filepath.Join(dir, "y"), now, now); err != nil {
				t.Fatal(err)
			}
			if err := c.Folder(dir); err != nil {
				t.Errorf("touched, with the same content: %v", err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if err := c.Folder(dir); !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v, want ErrDamaged", err)
			}
		})
	}
}

func BenchmarkFolder(b *testing.B) {
	dir := b.TempDir()
	for i := range 20 {
		if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))), make([]byte, 1<<20), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	if err := Folder(dir); err != nil {
		b.Fatal(err)
	}
	var c Checker
	for b.Loop() {
		if err := c.Folder(dir); err != nil {
			b.Fatal(err)
		}
	}
}
