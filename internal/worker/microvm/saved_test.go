package microvm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// TestSnapshot: a worker that was saved goes on itself, and as copies, which are others than it and each other.
func TestSnapshot(t *testing.T) {
	for _, kernel := range testKernels(t) {
		t.Run(kernel, func(t *testing.T) { testSnapshot(t, kernel) })
	}
}

func testSnapshot(t *testing.T, kernel string) {
	d := newDriverOf(t, kernel, process.Options{})
	defer d.Close()
	spec := guestSpec(t, workertest.Handler)
	spec.Savable = true
	h := startSpec(t, d, spec, "saved")
	answer(t, h, workertest.Command{Do: "write", Text: "/tmp/kept"})
	dir := t.TempDir()
	began := time.Now()
	if err := h.Snapshot(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	t.Logf("saved in %v, started before in %+v", time.Since(began), h.Phases())
	if got := answer(t, h, workertest.Command{Do: "echo", Text: "on"}); got != `"on"` {
		t.Errorf("after it was saved: %s", got)
	}
	if err := h.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
	spec.Savable, spec.Restore = false, dir
	seen := map[string]bool{}
	for _, id := range []string{"copy-a", "copy-b", "copy-c"} {
		began := time.Now()
		c := startSpec(t, d, spec, id)
		defer c.Stop(t.Context(), 0)
		m, err := c.Memory(t.Context())
		t.Logf("restored in %v, %+v, %+v, %v", time.Since(began), c.Phases(), m, err)
		if got := answer(t, c, workertest.Command{Do: "list", Text: "/tmp"}); !strings.Contains(got, "kept") {
			t.Errorf("%s: its files are %s", id, got)
		}
		if random := answer(t, c, workertest.Command{Do: "read", Text: "/proc/sys/kernel/random/uuid"}); seen[random] {
			t.Errorf("two copies have the random number %s", random)
		} else {
			seen[random] = true
		}
		now, err := strconv.ParseInt(answer(t, c, workertest.Command{Do: "now"}), 10, 64)
		if late := time.Since(time.UnixMilli(now)); err != nil || late.Abs() > 10*time.Second {
			t.Errorf("%s: its clock is %v late, %v", id, late, err)
		}
	}
	for name, harm := range map[string]func(file string) error{
		recordFile:  func(file string) error { return os.WriteFile(file, []byte("{"), 0o600) },
		devicesFile: func(file string) error { return os.Truncate(file, 1000) },
		memoryFile:  func(file string) error { return os.Truncate(file, 1<<20) },
	} {
		bad := spec
		bad.Revision = probed
		bad.ID, bad.Restore = "damaged", filepath.Join(t.TempDir(), "saved")
		if err := os.CopyFS(bad.Restore, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := harm(filepath.Join(bad.Restore, name)); err != nil {
			t.Fatal(err)
		}
		if w, err := d.Start(t.Context(), bad); !errors.Is(err, worker.ErrNotRestored) {
			t.Errorf("%s is damaged: got %v, %v, want ErrNotRestored", name, w, err)
		}
	}
	other := spec
	other.Revision = probed
	other.ID, other.Mounts = "other", append(other.Mounts, worker.Mount{Source: t.TempDir(), Target: "/opt/more"})
	if _, err := d.Start(t.Context(), other); !errors.Is(err, worker.ErrNotRestored) {
		t.Errorf("with other files: got %v, want ErrNotRestored", err)
	}
}

// TestSealed: with a key nothing of a saved worker is on a disk in the clear.
func TestSealed(t *testing.T) {
	d := newDriverWith(t, process.Options{SnapshotKey: bytes.Repeat([]byte{7}, process.KeySize)})
	defer d.Close()
	spec := guestSpec(t, workertest.Handler)
	const secret = "a-secret-of-the-function"
	spec.Env = append(spec.Env, "PASSWORD="+secret)
	spec.Savable = true
	h := startSpec(t, d, spec, "saved")
	dir := t.TempDir()
	if err := h.Snapshot(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	_ = h.Stop(t.Context(), 0)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatalf("it saved %v, %v", files, err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(filepath.Join(dir, f.Name())); err != nil || bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s has the secret in the clear, or cannot be read: %v", f.Name(), err)
		}
	}
	spec.Savable, spec.Restore = false, dir
	c := startSpec(t, d, spec, "copy")
	defer c.Stop(t.Context(), 0)
	if res, err := invoke(t.Context(), c, workertest.Command{Do: "echo", Text: "on"}); err != nil || string(res.Payload) != `"on"` {
		t.Errorf("a copy answered %v, %v", res, err)
	}
}
