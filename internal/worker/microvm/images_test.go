package microvm

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestImages: the same content is one image, made once; a change makes another.
func TestImages(t *testing.T) {
	if _, err := exec.LookPath("mkfs.erofs"); err != nil {
		t.Fatal("mkfs.erofs is missing: scripts/prerequisites guest")
	}
	s, err := newImages(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	at := time.Unix(1_700_000_000, 0)
	write := func(file, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		for f := file; f != filepath.Dir(filepath.Dir(file)); f = filepath.Dir(f) {
			if err := os.Chtimes(f, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	of := func(path string, dir bool) string {
		t.Helper()
		image, err := s.of(t.Context(), imageSource{path: path, dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Base(image)
	}
	base := t.TempDir()
	a, b := filepath.Join(base, "a"), filepath.Join(base, "b")
	write(filepath.Join(a, "f"), "one")
	write(filepath.Join(b, "f"), "one")
	one := of(a, true)
	if again := of(a, true); again != one {
		t.Errorf("asked again: %s, then %s", one, again)
	}
	if other := of(b, true); other != one {
		t.Errorf("the same content is %s and %s", one, other)
	}
	if file := of(filepath.Join(a, "f"), false); file == "" {
		t.Error("no image of a file")
	}
	write(filepath.Join(a, "f"), "more")
	if changed := of(a, true); changed == one {
		t.Error("a change was not seen")
	}
	if _, err := s.of(t.Context(), imageSource{path: filepath.Join(base, "none"), dir: true}); err == nil {
		t.Error("an image of nothing")
	}
	// What is long unused goes, and is made again when it is wanted.
	if err := prune(s.dir, time.Now().Add(unusedTime+time.Hour)); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, "*.erofs")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if again := of(b, true); again != one {
		t.Errorf("made again: %s, was %s", again, one)
	}
}
