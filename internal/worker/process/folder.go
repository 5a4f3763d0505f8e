package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// folders are what a command may write into, held open by the server: they live as long as that. The command
// does there what it likes, while it runs also between two looks.
type folders struct {
	mu  sync.Mutex // held while a descriptor is used
	all []folder
}

type folder struct {
	worker.Folder
	fd int // -1 when closed
}

func newFolders(specs []worker.Folder, fds []int) *folders {
	f := &folders{}
	for i, fd := range fds {
		f.all = append(f.all, folder{Folder: specs[i], fd: fd})
	}
	return f
}

func (f *folders) close() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.all {
		if f.all[i].fd >= 0 {
			_ = unix.Close(f.all[i].fd)
			f.all[i].fd = -1
		}
	}
}

// read returns a file that lies directly in a folder, nil if there is none. When the sandbox is gone it is the
// one that was kept.
func (f *folders) read(target, name string, limit int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.all {
		if path.Clean(d.Target) != path.Clean(target) {
			continue
		}
		dir := d.fd
		if dir < 0 && d.Keep == "" {
			return nil, nil
		}
		if dir < 0 {
			kept, err := unix.Open(d.Keep, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
			defer unix.Close(kept)
			dir = kept
		}
		return readPlain(dir, name, limit)
	}
	return nil, nil
}

func readPlain(dir int, name string, limit int64) ([]byte, error) {
	file, size, err := openPlain(dir, name)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if size > limit {
		return nil, fmt.Errorf("read %s: it has more than %d MiB", name, limit>>20)
	}
	b, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: it has more than %d MiB", name, limit>>20)
	}
	return b, nil
}

// openPlain opens a file of a folder that is hostile: links, devices and pipes are refused.
func openPlain(dir int, name string) (*os.File, int64, error) {
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if errors.Is(err, unix.ELOOP) {
		return nil, 0, &worker.KeepError{Name: name, Reason: "is a link"}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open %q: %w", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	st, err := file.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &worker.KeepError{Name: name, Reason: fmt.Sprintf("is no file but %v", st.Mode().Type())}
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, st.Size(), nil
}

// keep copies out what is wanted, of a job that failed no trees. Nothing may run in the sandbox any more.
func (f *folders) keep(failed bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, d := range f.all {
		if d.Keep == "" || failed && d.Tree() {
			continue
		}
		to, err := os.OpenRoot(d.Keep)
		if err == nil {
			// Holes take no room in the folder, and would on the host's disk.
			k := keeper{to: to, room: d.Bytes(), wants: d.Wants, all: d.Tree()}
			err = errors.Join(k.folder(d.fd, "", 0), to.Close())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

type keeper struct {
	to    *os.Root
	room  int64 // bytes that may still come out
	wants func(name string) bool
	all   bool // wanted or not
}

// folder keeps what is wanted of the open folder that is named rel.
func (k *keeper) folder(fd int, rel string, depth int) error {
	if depth > worker.MaxFolderDepth {
		return &worker.KeepError{Name: rel, Reason: fmt.Sprintf("lies more than %d folders deep", worker.MaxFolderDepth)}
	}
	list, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("list %q: %w", rel, err)
	}
	dir := os.NewFile(uintptr(list), rel)
	defer dir.Close()
	names, err := dir.Readdirnames(-1) // no more than the folder's Files
	if err != nil {
		return fmt.Errorf("list %q: %w", rel, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := k.entry(int(dir.Fd()), name, path.Join(rel, name), depth); err != nil {
			return err
		}
	}
	return nil
}

func (k *keeper) entry(dir int, name, rel string, depth int) error {
	if !k.all && !k.wants(name) {
		return nil
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return &worker.KeepError{Name: rel, Reason: "has a control character in its name"}
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("keep %q: %w", rel, err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR && k.all {
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("keep %q: %w", rel, err)
		}
		defer unix.Close(fd)
		if err := k.to.Mkdir(rel, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("keep %q: %w", rel, err)
		}
		return k.folder(fd, rel, depth+1)
	}
	file, size, err := openPlain(dir, name)
	var refused *worker.KeepError
	if errors.As(err, &refused) {
		refused.Name = rel
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if k.room -= size; k.room < 0 {
		return &worker.KeepError{Name: rel, Reason: "is larger than its folder can be"}
	}
	mode := os.FileMode(0o644)
	if st.Mode&unix.S_IXUSR != 0 {
		mode = 0o755
	}
	out, err := k.to.OpenFile(rel, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err == nil {
		_, err = io.CopyN(out, file, size)
		err = errors.Join(err, out.Close())
	}
	if err != nil {
		return fmt.Errorf("keep %q: %w", rel, err)
	}
	return nil
}
