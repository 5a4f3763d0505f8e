package nativeimage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/cgroup"
)

// Names in the folder of a finished build.
const (
	binaryName = "function"
	resultName = "result.json"
	logName    = "build.log"
)

// groupPrefix begins the names of builds' control groups; the name of the scratch folder follows.
const groupPrefix = "cloudjit-build-"

// store is the cache folder.
type store struct{ dir string }

func openStore(dir string) (*store, error) {
	// Paths are handed to tools that run elsewhere.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open build cache: %w", err)
	}
	for _, sub := range []string{"images", "logs", "locks", "scratch"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("open build cache: %w", err)
		}
	}
	s := &store{dir: dir}
	return s, s.clean()
}

func (s *store) image(key aot.Key) string {
	return filepath.Join(s.dir, "images", string(key[:2]), string(key))
}

// Find returns the finished build of a key in a cache folder, if it is there. It is for who
// wants the binary outside of the platform.
func Find(cache string, key aot.Key) (*aot.Result, bool) {
	return (&store{dir: cache}).lookup(key)
}

func valid(key aot.Key) bool {
	if len(key) != 64 {
		return false
	}
	return strings.Trim(string(key), "0123456789abcdef") == ""
}

func (s *store) lookup(key aot.Key) (*aot.Result, bool) {
	if !valid(key) {
		return nil, false
	}
	dir := s.image(key)
	b, err := os.ReadFile(filepath.Join(dir, resultName))
	if err != nil {
		return nil, false
	}
	var r aot.Result
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, false
	}
	if _, err := os.Stat(filepath.Join(dir, binaryName)); err != nil {
		return nil, false
	}
	r.Key, r.Dir, r.Cached = key, dir, true
	return &r, true
}

func (s *store) log(key aot.Key) ([]byte, error) {
	if !valid(key) {
		return nil, fs.ErrNotExist
	}
	b, err := os.ReadFile(filepath.Join(s.image(key), logName))
	if errors.Is(err, fs.ErrNotExist) {
		b, err = os.ReadFile(filepath.Join(s.dir, "logs", string(key)+".log"))
	}
	return b, err
}

func (s *store) remove(key aot.Key) error {
	if !valid(key) {
		return nil
	}
	// Out of sight first, so that a half-removed build is never found.
	gone := filepath.Join(s.dir, "scratch", "removed-"+string(key))
	if err := os.Rename(s.image(key), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove build %s: %w", key, err)
	}
	return os.RemoveAll(gone)
}

func (s *store) keys() ([]aot.Key, error) {
	dirs, err := filepath.Glob(filepath.Join(s.dir, "images", "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("list builds: %w", err)
	}
	var out []aot.Key
	for _, d := range dirs {
		if key := aot.Key(filepath.Base(d)); valid(key) {
			out = append(out, key)
		}
	}
	return out, nil
}

// publish moves a folder with a binary into place, all at once.
func (s *store) publish(key aot.Key, from string, r *aot.Result) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	if err := os.WriteFile(filepath.Join(from, resultName), b, 0o644); err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	// The binary must be on disk before its name is: after a crash of the machine there is all or nothing.
	if err := syncAll(from); err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	to := s.image(key)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	// What stands there is damaged, or lookup had found it.
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	_ = os.Remove(filepath.Join(s.dir, "logs", string(key)+".log"))
	r.Dir = to
	return syncDir(filepath.Dir(to))
}

func syncAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := syncDir(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// syncDir flushes a file or a folder.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// lock waits until this process alone may build the key.
func (s *store) lock(ctx context.Context, key aot.Key) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "locks", string(key)), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock build %s: %w", key, err)
	}
	// A file lock cannot be waited for with a context; other processes' builds take minutes.
	const poll = 200 * time.Millisecond
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock build %s: %w", key, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(poll):
		}
	}
}

// scratch is the folder of one build. Its lock file is held as long as the builder lives.
type scratch struct {
	dir  string
	lock *os.File
}

func (s *store) scratch() (*scratch, error) {
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
	return &scratch{dir: final, lock: f}, nil
}

// name is unique among all builds that share the cache folder.
func (s *scratch) name() string { return filepath.Base(s.dir) }

func (s *scratch) remove() error {
	// Read-only folders that a tool made would stop RemoveAll for anybody but root.
	err := os.RemoveAll(s.dir)
	if err != nil {
		_ = filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = os.Chmod(p, 0o700)
			}
			return nil
		})
		err = os.RemoveAll(s.dir)
	}
	s.lock.Close()
	if err != nil {
		return fmt.Errorf("remove scratch folder: %w", err)
	}
	return nil
}

// remember notes the process group of the running tool, for a clean after a crash.
func (s *scratch) remember(pid int) error {
	start, err := startTime(pid)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "process"), []byte(strconv.Itoa(pid)+" "+start), 0o644)
}

// clean removes the scratch of builds whose process is gone, with all that they left running.
func (s *store) clean() error {
	entries, err := os.ReadDir(filepath.Join(s.dir, "scratch"))
	if err != nil {
		return fmt.Errorf("clean build cache: %w", err)
	}
	var errs []error
	stale := map[string]bool{}
	for _, e := range entries {
		dir := filepath.Join(s.dir, "scratch", e.Name())
		if strings.HasPrefix(e.Name(), ".new-") && young(dir) {
			continue // another process makes it at this moment
		}
		sc := &scratch{dir: dir}
		if sc.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0); err == nil {
			if unix.Flock(int(sc.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
				sc.lock.Close()
				continue // in use
			}
		}
		stale[groupPrefix+e.Name()] = true
		killLeft(dir)
		errs = append(errs, sc.remove())
	}
	errs = append(errs, cgroup.Clean(groupPrefix, func(name string) bool { return stale[name] }))
	return errors.Join(errs...)
}

func young(dir string) bool {
	st, err := os.Stat(dir)
	return err == nil && time.Since(st.ModTime()) < time.Minute
}

// killLeft ends the process group that a killed builder's scratch folder names, if the process
// is still the one that was meant.
func killLeft(dir string) {
	b, err := os.ReadFile(filepath.Join(dir, "process"))
	if err != nil {
		return
	}
	pidText, start, _ := strings.Cut(string(b), " ")
	pid, err := strconv.Atoi(pidText)
	if err != nil || pid <= 1 {
		return
	}
	if now, err := startTime(pid); err == nil && now != start {
		return // the number was given to another process
	}
	// The leader may be gone and its children not: the group keeps the number occupied.
	if belongs(pid, dir) {
		_ = unix.Kill(-pid, unix.SIGKILL)
	}
}
