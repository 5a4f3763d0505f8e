package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// small mounts a file system of its own, or skips.
func small(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("small", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("SKIPPED: no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill writes until nothing fits any more.
func fill(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 64<<10); ; {
		if _, err := f.Write(b); err != nil {
			return f.Name()
		}
	}
}

func TestNewThingsAreRefusedBeforeNotes(t *testing.T) {
	dir := small(t, "64m")
	g, err := Open(Options{Dir: dir, Reserve: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Admit(1 << 20); err != nil {
		t.Errorf("on an empty disk: %v", err)
	}
	if err := g.Admit(60 << 20); !errors.Is(err, ErrFull) {
		t.Errorf("more than there is: got %v, want ErrFull", err)
	}
	if st := g.State(); st.Low || st.Full {
		t.Errorf("an empty disk: got %+v", st)
	}
	if err := os.WriteFile(filepath.Join(dir, "much"), make([]byte, 26<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if st := g.State(); !st.Low || st.Full {
		t.Errorf("a disk that is nearly full: got %+v, want low", st)
	}
	if err := os.Remove(filepath.Join(dir, "much")); err != nil {
		t.Fatal(err)
	}
	file := fill(t, dir)
	if err := g.Admit(0); !errors.Is(err, ErrFull) {
		t.Errorf("on a full disk: got %v, want ErrFull", err)
	}
	if err := g.AdmitNote(1 << 20); err != nil {
		t.Errorf("a note, which the reserve is for: %v", err)
	}
	if st := g.State(); !st.Full || st.Since.IsZero() {
		t.Errorf("got %+v, want full", st)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := g.Admit(1 << 20); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
	if st := g.State(); st.Full || st.Free < 40<<20 {
		t.Errorf("got %+v, want room, and the reserve taken again", st)
	}
}

func TestInodesCountToo(t *testing.T) {
	dir := small(t, "64m,nr_inodes=8")
	g, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for i := range 8 {
		_ = os.Mkdir(filepath.Join(dir, string(rune('a'+i))), 0o700)
	}
	var full *FullError
	if err := g.Admit(0); !errors.As(err, &full) || !full.Inodes {
		t.Errorf("got %v, want that there are no inodes left", err)
	}
}
