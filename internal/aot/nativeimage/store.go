package nativeimage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/keep"
	"github.com/cloudjit/cloudjit/internal/cgroup"
)

// Names in the folder of a finished build.
const (
	binaryName = "function"
	logName    = "build.log"
)

// groupPrefix begins the names of builds' control groups; the name of the scratch folder follows.
const groupPrefix = "cloudjit-build-"

// store is the cache folder.
type store struct {
	*keep.Store
	logs string // folder
}

func openStore(dir string) (*store, error) {
	stale := map[string]bool{}
	kept, err := keep.Open(dir, func(scratch string) {
		stale[groupPrefix+filepath.Base(scratch)] = true
		killLeft(scratch)
	})
	if err != nil {
		return nil, err
	}
	s := &store{Store: kept, logs: filepath.Join(dir, "logs")}
	if err := os.MkdirAll(s.logs, 0o755); err != nil {
		return nil, fmt.Errorf("open build cache: %w", err)
	}
	return s, cgroup.Clean(groupPrefix, func(name string) bool { return stale[name] })
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

// remember notes the process group of the tool that runs in a scratch folder, for a clean after a crash.
func remember(scratch string, pid int) error {
	start, err := startTime(pid)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(scratch, "process"), []byte(strconv.Itoa(pid)+" "+start), 0o644)
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
