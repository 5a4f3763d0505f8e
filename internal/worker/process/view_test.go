package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

func TestMountPoints(t *testing.T) {
	const mountinfo = `22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:5 / /usr rw - ext4 /dev/sdb1 rw
31 30 0:6 / /usr/local rw - ext4 /dev/sdc1 rw
32 31 0:7 / /usr/local/share/a\040b rw - tmpfs t rw
33 22 0:8 / /usrx rw - tmpfs t rw
`
	all := mountPoints(mountinfo)
	if got, want := within(all, "/usr"), []string{"/usr/local"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := within(all, "/usr/local/share"), []string{"/usr/local/share/a b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := within(all, "/opt"); got != nil {
		t.Errorf("got %q", got)
	}
}

// TestViewOfItsOwn: a worker sees nothing of who else opens the files that it sees, locks nobody out, and what
// its runtime maps is known all the same.
func TestViewOfItsOwn(t *testing.T) {
	d := newDriver(t, Options{})
	defer d.Close()
	if !d.base.views {
		t.Skip("CAPABILITY overlay IS LACKING HERE: workers see the host's own files")
	}
	code := t.TempDir()
	exe, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(filepath.Join(code, "guest"), exe, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	start := func(id string) worker.Worker {
		t.Helper()
		spec := guestSpec(t, workertest.Handler)
		spec.ID, spec.Revision = id, revision(false)
		spec.Mounts = []worker.Mount{{Source: code, Target: "/var/task"}}
		w, err := d.Start(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	w, other := start("w"), start("other")
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	files := []string{shell, "/var/task/guest", "/etc/passwd"}
	if d.base.nodes {
		files = append(files, "/dev/null")
	}
	for _, file := range files {
		if err := workertest.Lock(t, w, file); err != "" {
			t.Errorf("lock %s: %s", file, err)
		}
		// Another worker, and the host.
		if err := workertest.Lock(t, other, file); err != "" {
			t.Errorf("%s is locked by another worker: %s", file, err)
		}
	}
	for _, file := range []string{shell, filepath.Join(code, "guest"), "/dev/null"} {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil && (file != "/dev/null" || d.base.nodes) {
			t.Errorf("%s is locked on the host: %v", file, err)
		}
		f.Close()
	}
	for dir, want := range map[string]string{"/var/task": "guest", "/usr": "bin", "/etc": "passwd"} {
		if names := workertest.List(t, w, dir); !slices.Contains(names, want) {
			t.Errorf("in %s a worker sees %q", dir, names)
		}
	}
	seen := workertest.Watch(t, w, append(files, filepath.Dir(shell), "/var/task"), func() {
		if out, err := exec.Command("/bin/sh", "-c", "exit 0").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if f, err := os.Open(filepath.Join(code, "guest")); err == nil {
			f.Close()
		}
		start("third")
	})
	if seen != 0 {
		t.Errorf("a worker saw %d times that others used files", seen)
	}
	// Its own files it can watch.
	if n := workertest.Watch(t, w, []string{"/tmp"}, func() { workertest.Lock(t, w, "/tmp/x") }); n == 0 {
		t.Error("a worker cannot watch its own files")
	}
	for file, want := range map[string]bool{filepath.Join(code, "guest"): true, shell: false} {
		if got, err := w.(worker.Mapper).Maps(file); err != nil || got != want {
			t.Errorf("maps %s: got %v, %v, want %v", file, got, err, want)
		}
	}
}
