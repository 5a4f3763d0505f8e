package nativeimage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/keep"
)

// Names in the folder of a finished build.
const (
	binaryName = "function"
	logName    = "build.log"
)

// store is the cache folder.
type store struct {
	*keep.Store
	logs string // folder
}

func openStore(dir string) (*store, error) {
	kept, err := keep.Open(dir)
	if err != nil {
		return nil, err
	}
	s := &store{Store: kept, logs: filepath.Join(dir, "logs")}
	if err := os.MkdirAll(s.logs, 0o755); err != nil {
		return nil, fmt.Errorf("open build cache: %w", err)
	}
	return s, nil
}

// Find returns the finished build of a key in a cache folder, if it is there. It is for who
// wants the binary outside of the platform.
func Find(cache string, key aot.Key) (*aot.Result, bool) {
	return keep.At(cache).Lookup(key, binaryName)
}

func (s *store) lookup(key aot.Key) (*aot.Result, bool) { return s.Lookup(key, binaryName) }

func (s *store) log(key aot.Key) ([]byte, error) {
	if !keep.Valid(key) {
		return nil, fs.ErrNotExist
	}
	b, err := os.ReadFile(filepath.Join(s.Path(key), logName))
	if errors.Is(err, fs.ErrNotExist) {
		b, err = os.ReadFile(s.failed(key))
	}
	return b, err
}

// failed is the file of the log of a key's last failed build.
func (s *store) failed(key aot.Key) string { return filepath.Join(s.logs, string(key)+".log") }

// publish moves a folder with a binary into place, all at once.
func (s *store) publish(key aot.Key, from string, r *aot.Result) error {
	err := s.Publish(key, from, r)
	if err == nil {
		_ = os.Remove(s.failed(key))
	}
	return err
}
