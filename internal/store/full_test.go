package store

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/disk"
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

// fill takes what is free at this moment, and no more: not what the guard gives back when it notices. That is for what is
// under way, which would wait for as long as another program takes it.
func fill(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// TestAFullDiskIsAnAnswer fills the disk under a store and frees it again, with a guard, which refuses what is
// new, and without, where the embedded server itself meets the end of the disk.
func TestAFullDiskIsAnAnswer(t *testing.T) {
	for name, guarded := range map[string]bool{"guarded": true, "unguarded": false} {
		t.Run(name, func(t *testing.T) {
			dir := small(t, "96m")
			o := Options{Dir: dir, NoSync: true, Reserve: -1, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
			if guarded {
				o.Reserve = 0
			}
			s, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			create(t, s, "before")
			enqueue := func(id string) error {
				return s.Enqueue(t.Context(), &Async{RequestID: id, Function: "before", Payload: []byte(strings.Repeat("x", 10<<10))})
			}
			update := func() error {
				_, err := s.UpdateFunction(t.Context(), "before", func(f *Function) error { f.LastVersion++; return nil })
				return err
			}
			if err := enqueue("first"); err != nil {
				t.Fatal(err)
			}
			running := next(t, s) // runs while the disk is full
			accepted := map[string]bool{}
			file := fill(t, dir)
			for i := range 20 {
				began := time.Now()
				id := "full-" + string(rune('a'+i))
				err := enqueue(id)
				if err == nil {
					accepted[id] = true
				} else if !errors.Is(err, disk.ErrFull) && !errors.Is(err, ErrUnavailable) && guarded {
					t.Errorf("on a full disk: got %v, want ErrFull or ErrUnavailable", err)
				}
				if guarded && err == nil {
					t.Error("a full disk took an invocation")
				}
				_ = update()
				if d := time.Since(began); d > 2*time.Second {
					t.Errorf("refused after %v", d)
				}
			}
			if _, ok := s.Function("before"); !ok {
				t.Error("a full disk keeps from reading")
			}
			if guarded {
				if err := running.Done(t.Context()); err != nil {
					t.Errorf("what was under way cannot be finished: %v", err)
				}
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			for enqueue("after") != nil || update() != nil {
				if time.Since(began) > 5*time.Second {
					t.Fatal("nothing can be written 5 s after there is room again")
				}
				time.Sleep(20 * time.Millisecond)
			}
			t.Logf("writes work again after %v", time.Since(began))
			if !guarded {
				if err := running.Done(t.Context()); err != nil {
					t.Errorf("what was leased before cannot be finished: %v", err)
				}
			}
			accepted["after"] = true
			for len(accepted) > 0 {
				d := next(t, s)
				if d.RequestID == "first" {
					t.Error("what was finished came again")
				}
				delete(accepted, d.RequestID)
				if err := d.Done(t.Context()); err != nil {
					t.Error(err)
				}
			}
			create(t, s, "later")
		})
	}
}
