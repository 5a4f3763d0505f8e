package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// TraceFile is what the tracer writes in Spec.RecordDir.
const TraceFile = "reachability-metadata.json"

// maxTrace is the largest trace that is read; real ones have some hundred kilobytes.
const maxTrace = 64 << 20

// traceDir is the host's folder that is RecordDir inside, empty if there is none.
func traceDir(spec *worker.Spec) string {
	if spec.RecordDir == "" {
		return ""
	}
	for _, m := range spec.Mounts {
		if path.Clean(m.Target) == path.Clean(spec.RecordDir) {
			return m.Source
		}
	}
	return ""
}

// readTrace reads the trace of a folder that the function may write whatever it likes into:
// links, devices, pipes and giants are refused.
func readTrace(dir string) ([]byte, error) {
	d, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	defer unix.Close(d)
	fd, err := unix.Openat2(d, TraceFile, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	f := os.NewFile(uintptr(fd), filepath.Join(dir, TraceFile))
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("read trace: it is no file but %v", st.Mode().Type())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTrace+1))
	if err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	if len(b) > maxTrace {
		return nil, fmt.Errorf("read trace: it has more than %d MiB", maxTrace>>20)
	}
	return b, nil
}
