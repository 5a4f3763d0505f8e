package process

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker/workertest"
)

// TestManyDescriptors: a server that has more open than a worker may have starts workers all the same.
func TestManyDescriptors(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < maxFiles+500 {
		t.Skipf("SKIPPED: only %d descriptors here", limit.Cur)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for range maxFiles + 200 {
		fd, err := unix.FcntlInt(null.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
	}
	for _, o := range []Options{{}, {Rootless: true}} {
		if o.Rootless && !userNamespaces() {
			continue
		}
		d := newDriver(t, o)
		w := startGuest(t, d, workertest.Handler, "many")
		if open := workertest.Take(t, w, "pipe"); open < 500 {
			t.Errorf("a worker can make %d pipes", open)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
