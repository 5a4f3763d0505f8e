package javacache

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// fitName is the file beside a cache that says what it fits.
const fitName = "fit.json"

// fit is what must be the same for a cache to be used.
type fit struct {
	Home      string `json:"home"` // of the JDK
	JDK       string `json:"jdk"`
	ClassPath []file `json:"classPath"`
	// Cache is the cache, SHA256 that of its content, Seen how it was when it was kept.
	Cache  file     `json:"cache"`
	SHA256 string   `json:"sha256"`
	Seen   identity `json:"seen"`
}

// file is a file by what a JVM would look at.
type file struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Time int64  `json:"time"` // of the last change, ns since 1970
}

func (f *fit) path(dir string) string { return filepath.Join(dir, f.Cache.Name) }

func readFit(dir string) (*fit, error) {
	b, err := os.ReadFile(filepath.Join(dir, fitName))
	if err != nil {
		return nil, errors.New("it is not there")
	}
	f := new(fit)
	if err := json.Unmarshal(b, f); err != nil || f.Cache.Name != filepath.Base(f.Cache.Name) {
		return nil, errors.New("what it fits cannot be read")
	}
	return f, nil
}

// look is a file as it is now. A folder is refused: its contents are not seen.
func look(path string) (file, error) {
	st, err := os.Stat(path)
	if err != nil {
		return file{}, err
	}
	if !st.Mode().IsRegular() {
		return file{}, fmt.Errorf("%s is no file", path)
	}
	return file{filepath.Base(path), st.Size(), st.ModTime().UnixNano()}, nil
}

func lookAll(paths []string) ([]file, error) {
	files := make([]file, len(paths))
	for i, p := range paths {
		var err error
		if files[i], err = look(p); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (f *fit) classPathFits(paths []string) error {
	now, err := lookAll(paths)
	if err != nil {
		return fmt.Errorf("the class path cannot be read: %w", err)
	}
	if len(now) != len(f.ClassPath) {
		return errors.New("it was made of another class path")
	}
	for i := range now {
		if now[i] != f.ClassPath[i] {
			return fmt.Errorf("it was made of another %s", now[i].Name)
		}
	}
	return nil
}

func (f *fit) jdkFits(home string) error {
	now, err := jdkIdentity(home)
	if err != nil {
		return fmt.Errorf("the JDK cannot be read: %w", err)
	}
	if now != f.JDK {
		return errors.New("it was made by another JDK")
	}
	return nil
}

// jdkIdentity tells builds of JDKs apart, an update in place too: by what the release says of itself, and by
// size and time of the JVM and of its classes.
func jdkIdentity(home string) (string, error) {
	doc, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return "", err
	}
	files, err := lookAll([]string{filepath.Join(home, "lib", "modules"), filepath.Join(home, "lib", "server", "libjvm.so")})
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, _ = h.Write(doc)
	if err := json.NewEncoder(h).Encode(files); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// identity changes whenever a file is written to or exchanged: nobody can set the time of the last change of
// its state.
type identity struct {
	Inode uint64 `json:"inode"`
	Size  int64  `json:"size"`
	Mtime int64  `json:"mtime"` // ns since 1970
	Ctime int64  `json:"ctime"`
}

func identify(path string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return identity{}, err
	}
	return identity{st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}, nil
}

// intact fails where a cache is not what was kept. Its content is read only where the file was touched, or
// copied from elsewhere, and once then.
func (b *Builder) intact(dir string, f *fit) error {
	path := f.path(dir)
	now, err := identify(path)
	if err != nil {
		return errors.New("it is not there")
	}
	if good, ok := b.verified.Load(path); now == f.Seen || ok && good == now {
		return nil
	}
	if now.Size != f.Cache.Size {
		return errors.New("it is damaged: it has another size")
	}
	if sum, err := hashFile(path, nil); err != nil || sum != f.SHA256 {
		return errors.New("it is damaged: it has another content")
	}
	b.verified.Store(path, now)
	return nil
}
