package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lastChildren is how long the children of a server that was killed may keep its lock: each holds
// its descriptors until it executes its program, which takes a moment on a busy machine.
const lastChildren = 10 * time.Second

// lock takes the folder for this process and returns what releases it. The kernel drops the
// lock with the process, however it ends, and its last children, so that a stale one cannot exist.
func lock(dir string) (func() error, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	for end := time.Now().Add(lastChildren); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock data folder %s: %w", dir, err)
		}
		holder := holderOf(f)
		if pid, err := strconv.Atoi(holder); err == nil && !running(pid) && time.Now().Before(end) {
			continue
		}
		f.Close()
		return nil, fmt.Errorf("%s: %w (process %s): stop it, or choose another folder", dir, ErrInUse, holder)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // a courtesy for the error above
	}
	return f.Close, nil
}

func holderOf(f *os.File) string {
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0)
	if holder := strings.TrimSpace(string(buf[:n])); holder != "" {
		return holder
	}
	return "unknown"
}

// running reports whether a process is there that has not ended; one that nobody has waited for has.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, rest, ok := bytes.Cut(stat, []byte(") "))
	return !ok || len(rest) == 0 || rest[0] != 'Z' && rest[0] != 'X'
}
