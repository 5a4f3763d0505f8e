package store

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLockWaitsForTheLastChildOfAKilledServer: a child of the server has the lock for a moment
// longer than the server, whose number the file has.
func TestLockWaitsForTheLastChildOfAKilledServer(t *testing.T) {
	dir := t.TempDir()
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("true")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	pid := server.Process.Pid
	for running(pid) { // it ends, and nobody waits for it yet
		time.Sleep(time.Millisecond)
	}
	if _, err := f.WriteString(strconv.Itoa(pid) + "\n"); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { f.Close() })
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil {
		t.Error(err)
	}
	// One that runs is not waited for.
	begin := time.Now()
	if _, err := lock(dir); !errors.Is(err, ErrInUse) || time.Since(begin) > lastChildren/2 {
		t.Errorf("got %v after %s", err, time.Since(begin))
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}
