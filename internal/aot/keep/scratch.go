package keep

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Scratch is the folder of one build. Its lock file is held as long as the builder lives.
type Scratch struct {
	Dir  string
	lock *os.File
}

// Scratch makes an empty folder for one build.
func (s *Store) Scratch() (*Scratch, error) {
	// Made under a name that clean does not look at, and locked before it gets its own.
	dir, err := os.MkdirTemp(filepath.Join(s.dir, "scratch"), ".new-*")
	if err != nil {
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	final := filepath.Join(s.dir, "scratch", "build-"+strings.TrimPrefix(filepath.Base(dir), ".new-"))
	if err == nil {
		err = os.Rename(dir, final)
	}
	if err != nil {
		f.Close()
		os.RemoveAll(dir)
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	return &Scratch{Dir: final, lock: f}, nil
}

// Copy copies a plain file, which a function may have written, to a new one that a tool's user can read and nobody else changes.
func Copy(from, to string) error {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is no file but %v", from, st.Mode().Type())
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(in, st.Size()))
	return errors.Join(err, out.Close())
}

// Remove deletes the folder.
func (s *Scratch) Remove() error {
	// Read-only folders that a tool made would stop RemoveAll for anybody but root.
	err := os.RemoveAll(s.Dir)
	if err != nil {
		_ = filepath.WalkDir(s.Dir, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = os.Chmod(p, 0o700)
			}
			return nil
		})
		err = os.RemoveAll(s.Dir)
	}
	s.lock.Close()
	if err != nil {
		return fmt.Errorf("remove scratch folder: %w", err)
	}
	return nil
}

// clean removes the scratch of builds whose process is gone.
func (s *Store) clean() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, "scratch"))
	if err != nil {
		return fmt.Errorf("clean build cache: %w", err)
	}
	var errs []error
	for _, e := range entries {
		dir := filepath.Join(s.dir, "scratch", e.Name())
		if strings.HasPrefix(e.Name(), ".new-") && young(dir) {
			continue // another process makes it at this moment
		}
		sc := &Scratch{Dir: dir}
		if sc.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0); err == nil {
			if unix.Flock(int(sc.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
				sc.lock.Close()
				continue // in use
			}
		}
		errs = append(errs, sc.Remove())
	}
	return errors.Join(errs...)
}

func young(dir string) bool {
	st, err := os.Stat(dir)
	return err == nil && time.Since(st.ModTime()) < time.Minute
}
