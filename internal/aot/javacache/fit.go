package javacache

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/seal"
)

// fitName is the file beside a cache that says what it fits.
const fitName = "fit.json"

// fit is what must be the same for a cache to be used.
type fit struct {
	Home      string     `json:"home"` // of the JDK
	JDK       string     `json:"jdk"`
	ClassPath []aot.File `json:"classPath"`
	// Cache is the cache, SHA256 that of its content, Seen how it was when it was kept.
	Cache  aot.File      `json:"cache"`
	SHA256 string        `json:"sha256"`
	Seen   seal.Identity `json:"seen"`
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

func (f *fit) classPathFits(paths []string) error {
	now, err := aot.LookAll(paths)
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
	now, err := aot.JDKIdentity(home)
	if err != nil {
		return fmt.Errorf("the JDK cannot be read: %w", err)
	}
	if now != f.JDK {
		return errors.New("it was made by another JDK")
	}
	return nil
}

// intact fails where a cache is not what was kept. Its content is read only where the file was touched, or
// copied from elsewhere, and once then.
func (b *Builder) intact(dir string, f *fit) error {
	path := f.path(dir)
	now, err := seal.Identify(path)
	if err != nil {
		return errors.New("it is not there")
	}
	if good, ok := b.verified.Load(path); now == f.Seen || ok && good == now {
		return nil
	}
	if now.Size != f.Cache.Size {
		return errors.New("it is damaged: it has another size")
	}
	if sum, err := hashFile(path); err != nil || sum != f.SHA256 {
		return errors.New("it is damaged: it has another content")
	}
	b.verified.Store(path, now)
	return nil
}
