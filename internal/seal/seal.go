// Package seal notices that files are not what they were when they were finished: a folder is sealed with a
// list of its files and their checksums, and looked at each time before it is used. It does not
// know what the files are for, and repairs nothing.
package seal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrDamaged is returned for what is not what it was when it was sealed.
var ErrDamaged = errors.New("damaged on disk")

// Name is the file of a folder that lists the others.
const Name = "sealed.json"

// Identity changes whenever a file is written to or exchanged: nobody can set the time of the last change of its state.
type Identity struct {
	Inode uint64 `json:"inode"`
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"` // ns since 1970
	Ctime int64  `json:"ctime"`
}

// Identify looks at a file, not through it.
func Identify(path string) (Identity, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Identity{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	return Identity{st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}, nil
}

// Sum is the SHA-256 of a file, hex.
func Sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sealed is one file of a folder.
type sealed struct {
	Path   string   `json:"path"`
	SHA256 string   `json:"sha256"`
	Seen   Identity `json:"seen"`
}

// list is the content of the file Name.
type list struct {
	Files []sealed `json:"files"`
	// CRC is that of Files, as JSON.
	CRC uint32 `json:"crc"`
}

// Folder seals a folder: all its ordinary files as they are now. It is on disk when the caller syncs it.
func Folder(dir string) error {
	var l list
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || rel == Name {
			return err
		}
		f := sealed{Path: rel}
		if f.SHA256, err = Sum(path); err != nil {
			return err
		}
		f.Seen, err = Identify(path)
		l.Files = append(l.Files, f)
		return err
	})
	if err != nil {
		return fmt.Errorf("seal %s: %w", dir, err)
	}
	b, err := json.Marshal(l.Files)
	if err != nil {
		return fmt.Errorf("seal %s: %w", dir, err)
	}
	l.CRC = crc32.ChecksumIEEE(b)
	if b, err = json.Marshal(l); err != nil {
		return fmt.Errorf("seal %s: %w", dir, err)
	}
	if err := os.WriteFile(filepath.Join(dir, Name), b, 0o644); err != nil {
		return fmt.Errorf("seal %s: %w", dir, err)
	}
	return nil
}

// Checker remembers what it has found good. The zero value is ready; its methods may be called concurrently.
type Checker struct {
	good    sync.Map // path -> Identity of a file whose content was compared
	folders sync.Map // folder -> *folder
}

type folder struct {
	list    *list
	seen    Identity // of the list
	checked time.Time
}

// many is how many files a folder has that is looked at once a second at most.
const many = 2000

// File fails, with an ErrDamaged, where a file's content has not the SHA-256 sum. It is read only where it was not before,
// or has changed since.
func (c *Checker) File(path, sum string) error {
	now, err := Identify(path)
	if err != nil {
		return err
	}
	if good, ok := c.good.Load(path); ok && good == now {
		return nil
	}
	got, err := Sum(path)
	if err != nil {
		return err
	}
	if got != sum {
		return fmt.Errorf("%w: %s has the checksum %.12s and not %.12s", ErrDamaged, filepath.Base(path), got, sum)
	}
	c.good.Store(path, now)
	return nil
}

// Forget is for files that are gone or exchanged.
func (c *Checker) Forget(path string) {
	c.good.Delete(path)
	c.folders.Delete(path)
}

// Folder fails, with an ErrDamaged, where a file of a sealed folder is missing or is not what it was. One that was not
// sealed, by an earlier version, passes.
func (c *Checker) Folder(dir string) error {
	now, err := Identify(filepath.Join(dir, Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var f *folder
	if v, ok := c.folders.Load(dir); ok && v.(*folder).seen == now {
		f = v.(*folder)
	}
	if f == nil {
		l, err := read(dir)
		if err != nil {
			return err
		}
		f = &folder{list: l, seen: now}
	} else if len(f.list.Files) > many && time.Since(f.checked) < time.Second {
		return nil
	}
	began := time.Now()
	for i := range f.list.Files {
		if err := c.one(dir, &f.list.Files[i]); err != nil {
			return err
		}
	}
	c.folders.Store(dir, &folder{f.list, now, began})
	return nil
}

func (c *Checker) one(dir string, s *sealed) error {
	path := filepath.Join(dir, s.Path)
	now, err := Identify(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is not there any more", ErrDamaged, s.Path)
	}
	if err != nil {
		return err
	}
	if now == s.Seen {
		return nil
	}
	if now.Size != s.Seen.Size {
		return fmt.Errorf("%w: %s has %d bytes and not %d", ErrDamaged, s.Path, now.Size, s.Seen.Size)
	}
	return c.File(path, s.SHA256)
}

// Verify is Folder with every file read, whatever it looks like.
func (c *Checker) Verify(dir string) error {
	if err := c.Folder(dir); err != nil {
		return err
	}
	l, err := read(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range l.Files {
		sum, err := Sum(filepath.Join(dir, s.Path))
		if err != nil {
			return err
		}
		if sum != s.SHA256 {
			return fmt.Errorf("%w: %s has another content", ErrDamaged, s.Path)
		}
	}
	return nil
}

// Files are the files of a sealed folder, in it, with their SHA-256, hex. fs.ErrNotExist of one that was not sealed.
func Files(dir string) (map[string]string, error) {
	l, err := read(dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string]string, len(l.Files))
	for _, s := range l.Files {
		files[s.Path] = s.SHA256
	}
	return files, nil
}

func read(dir string) (*list, error) {
	b, err := os.ReadFile(filepath.Join(dir, Name))
	if err != nil {
		return nil, err
	}
	l := new(list)
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("%w: the list of its files cannot be read", ErrDamaged)
	}
	files, err := json.Marshal(l.Files)
	if err != nil || crc32.ChecksumIEEE(files) != l.CRC {
		return nil, fmt.Errorf("%w: the list of its files is not what was written", ErrDamaged)
	}
	for _, s := range l.Files {
		if !filepath.IsLocal(s.Path) {
			return nil, fmt.Errorf("%w: the list of its files names %q", ErrDamaged, s.Path)
		}
	}
	return l, nil
}
