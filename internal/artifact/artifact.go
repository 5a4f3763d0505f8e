// Package artifact keeps immutable files by their content: uploaded code and what is
// unpacked from it. It must not know what the bytes mean; who needs a file names it by its
// SHA-256, and a file that nothing names any more is removed by Sweep.
//
// Layout of the folder:
//
//	blobs/ab/abcd...   one file for each content, read-only
//	trees/ab/abcd...   a folder made from the blob of the same name
//	tmp/               half-made files; emptied by Open
package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/cloudjit/cloudjit/internal/seal"
)

// ErrTooLarge is returned by Put for content over its limit.
var ErrTooLarge = errors.New("content is larger than allowed")

// ErrDamaged is returned for content whose file is not what was stored; the next Put of the same content heals it.
var ErrDamaged = seal.ErrDamaged

// ErrNotFound is returned for content that is not in the store.
var ErrNotFound = errors.New("no such artifact")

// Ref names one content.
type Ref struct {
	SHA256 string `json:"sha256"` // hex, lower case
	Size   int64  `json:"size"`   // bytes
}

// Store is a folder of artifacts. One server owns it; its methods may be called concurrently.
type Store struct {
	dir   string
	admit func(bytes int64) error

	// removing is held for reading while a content is made or found, for writing while one is removed.
	removing sync.RWMutex
	check    seal.Checker

	mu    sync.Mutex
	trees map[string]*tree // being made

	usage usage

	shared  Shared
	fetches singleflight.Group
}

// Shared keeps contents for all nodes of a cluster.
type Shared interface {
	// PutBlob keeps a file under the SHA-256 (hex) of its content, durably.
	PutBlob(ctx context.Context, sha, file string) error
	// Blob writes what was kept to w.
	Blob(ctx context.Context, sha string, w io.Writer) error
}

// Share has what is put from now on kept for other nodes too, and what is not here fetched. It is called before the store is used.
func (s *Store) Share(with Shared) { s.shared = with }

type tree struct {
	done chan struct{}
	err  error
}

// Open prepares the folder and removes what an earlier server left half-made. admit is asked before
// bytes are written; nil: nobody is.
func Open(dir string, admit func(bytes int64) error) (*Store, error) {
	if admit == nil {
		admit = func(int64) error { return nil }
	}
	if err := os.RemoveAll(filepath.Join(dir, "tmp")); err != nil {
		return nil, fmt.Errorf("clean artifact store: %w", err)
	}
	for _, sub := range []string{"blobs", "trees", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("open artifact store: %w", err)
		}
	}
	return &Store{dir: dir, admit: admit, trees: map[string]*tree{}}, nil
}

// Put stores what r gives, up to limit bytes, and returns when it is durable: after a crash
// of the machine the content is there, whole, or Put had not returned.
func (s *Store) Put(ctx context.Context, r io.Reader, limit int64) (Ref, error) {
	return s.PutHeld(ctx, r, limit, func(string) {})
}

// fetchTime bounds how long a content is fetched from other nodes.
const fetchTime = 2 * time.Minute

// fetch gets a content from other nodes; fs.ErrNotExist where there are none.
func (s *Store) fetch(sha string) error {
	if s.shared == nil {
		return fs.ErrNotExist
	}
	_, err, _ := s.fetches.Do(sha, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
		defer cancel()
		r, w := io.Pipe()
		go func() { w.CloseWithError(s.shared.Blob(ctx, sha, w)) }()
		defer r.Close()
		ref, err := s.put(ctx, r, 1<<40, func(string) {})
		if err == nil && ref.SHA256 != sha {
			err = fmt.Errorf("other nodes sent %s: %w", ref.SHA256, ErrDamaged)
		}
		return nil, err
	})
	return err
}

// PutHeld is Put that says which content it is before any Sweep can take it: from then on keep is asked again.
func (s *Store) PutHeld(ctx context.Context, r io.Reader, limit int64, hold func(sha string)) (Ref, error) {
	ref, err := s.put(ctx, r, limit, hold)
	if err == nil && s.shared != nil {
		if err := s.shared.PutBlob(ctx, ref.SHA256, s.path("blobs", ref.SHA256)); err != nil {
			return Ref{}, fmt.Errorf("store artifact: %w", err)
		}
	}
	return ref, err
}

func (s *Store) put(ctx context.Context, r io.Reader, limit int64, hold func(sha string)) (Ref, error) {
	if err := s.admit(0); err != nil {
		return Ref{}, fmt.Errorf("store artifact: %w", err)
	}
	f, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "put-")
	if err != nil {
		return Ref{}, fmt.Errorf("store artifact: %w", err)
	}
	defer os.Remove(f.Name()) // after the rename there is nothing of that name
	defer f.Close()

	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(admitted{f, s.admit}, sum), io.LimitReader(contextReader{ctx, r}, limit+1))
	switch {
	case err != nil:
		return Ref{}, fmt.Errorf("store artifact: %w", err)
	case n > limit:
		return Ref{}, fmt.Errorf("store artifact: %w: more than %d bytes", ErrTooLarge, limit)
	}
	ref := Ref{SHA256: hex.EncodeToString(sum.Sum(nil)), Size: n}
	path := s.path("blobs", ref.SHA256)
	synced := false
	if s.check.File(path, ref.SHA256) != nil { // it is not there, or damaged
		if err := f.Sync(); err != nil { // before others have to wait for it
			return Ref{}, fmt.Errorf("store artifact: %w", err)
		}
		synced = true
	}
	s.removing.RLock()
	defer s.removing.RUnlock()
	hold(ref.SHA256)
	if err := s.check.File(path, ref.SHA256); err == nil {
		// The new time keeps a concurrent Sweep from taking what was just acknowledged.
		now := time.Now()
		err := os.Chtimes(path, now, now)
		return ref, errors.Join(err, s.check.File(path, ref.SHA256))
	}
	// It is not there, or damaged, and is put in its place.
	if err := f.Chmod(0o444); err != nil {
		return Ref{}, fmt.Errorf("store artifact: %w", err)
	}
	if !synced { // it was removed in this moment
		if err := f.Sync(); err != nil {
			return Ref{}, fmt.Errorf("store artifact: %w", err)
		}
	}
	if old, err := os.Stat(path); err == nil { // a damaged one
		s.usage.add(-old.Size())
	}
	if err := rename(f.Name(), path); err != nil {
		return Ref{}, fmt.Errorf("store artifact: %w", err)
	}
	s.usage.add(n)
	s.check.Forget(path)
	return ref, nil
}

// Path returns the file of a content, once it was compared with its name; ErrDamaged where it is another.
func (s *Store) Path(sha string) (string, error) {
	if !valid(sha) {
		return "", fmt.Errorf("artifact %q: %w", sha, ErrNotFound)
	}
	path := s.path("blobs", sha)
	err := s.check.File(path, sha)
	if s.shared != nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged)) {
		if ferr := s.fetch(sha); ferr != nil {
			return "", fmt.Errorf("artifact %s is not on this node, and cannot be fetched: %w", sha, ferr)
		}
		err = s.check.File(path, sha)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("artifact %s: %w", sha, ErrNotFound)
	case errors.Is(err, ErrDamaged):
		return "", fmt.Errorf("the uploaded archive is %w: upload the same file again", err)
	case err != nil:
		return "", fmt.Errorf("artifact %s: %w", sha, err)
	}
	return path, nil
}

// Tree returns the folder made from a blob, making it first where it is not there: fill gets
// the blob's path and an empty folder. Concurrent callers share one fill; a fill that fails
// or dies leaves nothing.
func (s *Store) Tree(ctx context.Context, sha string, fill func(blob, dir string) error) (string, error) {
	if !valid(sha) {
		return "", fmt.Errorf("artifact %q: %w", sha, ErrNotFound)
	}
	dir := s.path("trees", sha)
	for {
		s.mu.Lock()
		t, busy := s.trees[sha]
		if !busy {
			// Looked for under the lock: a filler leaves the map only after its tree is in
			// place, so whoever finds neither is the one to fill.
			if _, err := os.Stat(dir); err == nil {
				s.mu.Unlock()
				err := s.check.Folder(dir)
				if err == nil {
					return dir, nil
				}
				if !errors.Is(err, ErrDamaged) {
					return "", fmt.Errorf("look at what was unpacked: %w", err)
				}
				if _, err := s.Path(sha); err != nil {
					return "", err // nothing to unpack it from again
				}
				if err := s.removeTree(sha); err != nil {
					return "", fmt.Errorf("remove what was unpacked and is damaged: %w", err)
				}
				continue
			}
			t = &tree{done: make(chan struct{})}
			s.trees[sha] = t
		}
		s.mu.Unlock()
		if busy {
			select {
			case <-t.done:
				if t.err != nil {
					return "", t.err
				}
				continue
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		blob, err := s.Path(sha)
		if err == nil {
			err = s.makeTree(blob, dir, fill)
		}
		t.err = err
		s.mu.Lock()
		delete(s.trees, sha)
		s.mu.Unlock()
		close(t.done)
		if t.err != nil {
			return "", t.err
		}
	}
}

// Known returns the folder made from a blob if it is there and is what was made.
func (s *Store) Known(sha string) (string, error) {
	if !valid(sha) {
		return "", fmt.Errorf("artifact %q: %w", sha, ErrNotFound)
	}
	dir := s.path("trees", sha)
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("artifact %s: %w", sha, ErrNotFound)
	}
	return dir, s.check.Folder(dir)
}

func (s *Store) makeTree(blob, dir string, fill func(blob, dir string) error) error {
	if err := s.admit(0); err != nil {
		return fmt.Errorf("unpack artifact: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "tree-")
	if err != nil {
		return fmt.Errorf("unpack artifact: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("unpack artifact: %w", err)
	}
	if err := fill(blob, tmp); err != nil {
		return fmt.Errorf("unpack artifact: %w", err)
	}
	size := Size(tmp)
	if err := seal.Folder(tmp); err != nil {
		return fmt.Errorf("unpack artifact: %w", err)
	}
	if err := rename(tmp, dir); err != nil {
		return fmt.Errorf("unpack artifact: %w", err)
	}
	s.usage.add(size)
	return nil
}

// removeTree takes a tree out of sight at once, and removes it. Workers that run from it keep their files.
func (s *Store) removeTree(sha string) error {
	gone, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "gone-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(gone)
	s.check.Forget(s.path("trees", sha))
	if err := os.Rename(s.path("trees", sha), filepath.Join(gone, "tree")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.usage.add(-Size(filepath.Join(gone, "tree")))
	return nil
}

// Damage is one content that is not what was stored.
type Damage struct {
	SHA256 string
	Err    error
	// Healed: what was unpacked was damaged, the archive is not; it is unpacked again.
	Healed bool
}

// Verify reads every blob, and what was unpacked from it, and returns what is damaged, until ctx ends.
func (s *Store) Verify(ctx context.Context) ([]Damage, error) {
	var found []Damage
	err := filepath.WalkDir(filepath.Join(s.dir, "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		sha := d.Name()
		if !valid(sha) {
			return nil
		}
		if _, err := s.Path(sha); err != nil && !errors.Is(err, ErrNotFound) {
			found = append(found, Damage{SHA256: sha, Err: err})
			return nil
		}
		if err := s.check.Verify(s.path("trees", sha)); errors.Is(err, ErrDamaged) {
			if rerr := s.removeTree(sha); rerr != nil {
				return rerr
			}
			found = append(found, Damage{sha, err, true})
		}
		return nil
	})
	if err != nil {
		return found, fmt.Errorf("verify artifacts: %w", err)
	}
	return found, nil
}

// Sweep removes blobs and trees that keep refuses and that are older than age: what was put
// a moment ago may not have been named yet. It returns how many bytes of blobs went.
func (s *Store) Sweep(keep func(sha string) bool, age time.Duration) (int64, error) {
	var freed int64
	limit := time.Now().Add(-age)
	err := filepath.WalkDir(filepath.Join(s.dir, "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if keep(d.Name()) {
			return nil
		}
		s.removing.Lock()
		defer s.removing.Unlock()
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || keep(d.Name()) || info.ModTime().After(limit) {
			return err
		}
		tree := s.path("trees", d.Name())
		size := Size(tree)
		if err := os.RemoveAll(tree); err != nil {
			return err
		}
		freed += info.Size()
		if err := os.Remove(path); err != nil {
			return err
		}
		s.usage.add(-size - info.Size())
		return nil
	})
	if err != nil {
		return freed, fmt.Errorf("sweep artifact store: %w", err)
	}
	return freed, nil
}

func (s *Store) path(kind, sha string) string { return filepath.Join(s.dir, kind, sha[:2], sha) }

func valid(sha string) bool {
	b, err := hex.DecodeString(sha)
	return err == nil && len(b) == sha256.Size
}

// rename moves a finished file or folder to its place and makes the move durable.
func rename(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// admitted asks before each write whether there is room for it.
type admitted struct {
	w     io.Writer
	admit func(int64) error
}

func (a admitted) Write(p []byte) (int, error) {
	if err := a.admit(int64(len(p))); err != nil {
		return 0, err
	}
	return a.w.Write(p)
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
