package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lock takes the folder for this process and returns what releases it. The kernel drops the
// lock with the process, however it ends, so that a stale one cannot exist.
func lock(dir string) (func() error, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock data folder %s: %w", dir, err)
		}
		buf := make([]byte, 32)
		n, _ := f.Read(buf)
		holder := strings.TrimSpace(string(buf[:n]))
		if holder == "" {
			holder = "unknown"
		}
		return nil, fmt.Errorf("%s: %w (process %s): stop it, or choose another folder", dir, ErrInUse, holder)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // a courtesy for the error above
	}
	return f.Close, nil
}
