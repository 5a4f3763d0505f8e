// Package keep is where builders keep what they made: folders by the hash of everything that they were
// made from, which appear all at once or not at all, even when the machine goes down.
//
// It also has what builds of one key and of one folder must share: one build of a key at a time, among
// processes too, and scratch folders that the next Open removes where a builder was killed. It does not
// know what is built.
package keep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/seal"
)

// resultName is the file of an artifact's folder that says what it is.
const resultName = "result.json"

// Store is a folder:
//
//	images/ab/abcd.../   one finished build, with result.json
//	locks/abcd...        held while a key is built
//	scratch/…/           one build each, locked while it runs
type Store struct{ dir string }

// At is the store in a folder that was opened before, for who only looks things up.
func At(dir string) *Store { return &Store{dir: dir} }

// Open makes the folder, and removes the scratch of builds whose process is gone.
func Open(dir string) (*Store, error) {
	// Paths are handed to tools that run elsewhere.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open build cache: %w", err)
	}
	for _, sub := range []string{"images", "locks", "scratch"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("open build cache: %w", err)
		}
	}
	s := &Store{dir: dir}
	return s, s.clean()
}

// Path is the folder of a key's artifact, whether there is one or not.
func (s *Store) Path(key aot.Key) string {
	return filepath.Join(s.dir, "images", string(key[:2]), string(key))
}

// Valid reports whether a key is one: the hex of a SHA-256.
func Valid(key aot.Key) bool {
	return len(key) == 64 && strings.Trim(string(key), "0123456789abcdef") == ""
}

// Lookup returns a finished build whose folder has the file main.
func (s *Store) Lookup(key aot.Key, main string) (*aot.Result, bool) {
	if !Valid(key) {
		return nil, false
	}
	dir := s.Path(key)
	b, err := os.ReadFile(filepath.Join(dir, resultName))
	if err != nil {
		return nil, false
	}
	var r aot.Result
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, false
	}
	if _, err := os.Stat(filepath.Join(dir, main)); err != nil {
		return nil, false
	}
	if err := check.Folder(dir); err != nil {
		return nil, false // damaged: it is built again
	}
	r.Key, r.Dir, r.Cached = key, dir, true
	return &r, true
}

// check remembers which artifacts were compared with their seals, for all stores: they share folders.
var check seal.Checker

// Check fails where an artifact's files are not what was published; cheap where they were not touched.
func Check(dir string) error { return check.Folder(dir) }

// Remove deletes a finished build. Processes that have its files open or mapped keep them. Idempotent.
func (s *Store) Remove(key aot.Key) error {
	if !Valid(key) {
		return nil
	}
	// Out of sight first, so that a half-removed build is never found.
	gone := filepath.Join(s.dir, "scratch", "removed-"+string(key))
	if err := os.Rename(s.Path(key), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove build %s: %w", key, err)
	}
	return os.RemoveAll(gone)
}

// Keys are the finished builds, in no order.
func (s *Store) Keys() ([]aot.Key, error) {
	dirs, err := filepath.Glob(filepath.Join(s.dir, "images", "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("list builds: %w", err)
	}
	var out []aot.Key
	for _, d := range dirs {
		if key := aot.Key(filepath.Base(d)); Valid(key) {
			out = append(out, key)
		}
	}
	return out, nil
}

// Publish moves the folder from into place, all at once, and sets r.Dir.
func (s *Store) Publish(key aot.Key, from string, r *aot.Result) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	if err := os.WriteFile(filepath.Join(from, resultName), b, 0o644); err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	if err := s.place(key, from); err != nil {
		return err
	}
	r.Dir = s.Path(key)
	return nil
}

// place moves a folder with its resultName into place, all at once.
func (s *Store) place(key aot.Key, from string) error {
	if err := seal.Folder(from); err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	// The artifact must be on disk before its name is: after a crash of the machine there is all or nothing.
	if err := syncAll(from); err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	to := s.Path(key)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	// What stands there is damaged, or Lookup had found it.
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("keep build %s: %w", key, err)
	}
	return sync(filepath.Dir(to))
}

func syncAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := sync(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return sync(dir)
}

// sync flushes a file or a folder.
func sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Lock waits until this process alone may build the key.
func (s *Store) Lock(ctx context.Context, key aot.Key) (release func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "locks", string(key)), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock build %s: %w", key, err)
	}
	// A file lock cannot be waited for with a context; other processes' builds take a while.
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
