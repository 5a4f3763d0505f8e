package microvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode"

	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// maxEntries is how many files a guest may tell of.
const maxEntries = 1 << 20

// keep copies out of the guest what is wanted, of a job that failed no trees. Nothing of the command runs any more.
func (h *handle) keep(ctx context.Context) error {
	var errs []error
	for i, f := range h.spec.Folders {
		if f.Keep == "" || h.job && h.exit.Code != 0 && f.Tree() {
			continue
		}
		errs = append(errs, h.session().keep(ctx, i, f))
	}
	return errors.Join(errs...)
}

func (s *session) keep(ctx context.Context, i int, f worker.Folder) error {
	st, stop, err := s.open(ctx, wire.Request{Op: wire.OpKeep, Folder: i, Names: f.Names})
	if err != nil {
		return err
	}
	defer st.Close()
	defer stop()
	to, err := os.OpenRoot(f.Keep)
	if err != nil {
		return fmt.Errorf("keep what was made: %w", err)
	}
	defer to.Close()
	k := keeper{to: to, room: f.Bytes(), Folder: f}
	return k.all(st)
}

// keeper writes what a guest sends, which is believed in nothing.
type keeper struct {
	worker.Folder
	to   *os.Root
	room int64 // bytes that may still come out
}

func (k *keeper) all(from io.Reader) error {
	for range maxEntries {
		var e wire.Entry
		if err := wire.Read(from, &e); err != nil {
			return fmt.Errorf("keep what was made: %w", err)
		}
		if e.Error != "" {
			return fmt.Errorf("keep what was made: the guest: %s", e.Error)
		}
		if e.Path == "" {
			return nil
		}
		if err := k.entry(from, &e); err != nil {
			return err
		}
	}
	return fmt.Errorf("keep what was made: more than %d files", maxEntries)
}

func (k *keeper) entry(from io.Reader, e *wire.Entry) error {
	refuse := func(reason string) error { return &worker.KeepError{Name: e.Path, Reason: reason} }
	switch {
	case !fs.ValidPath(e.Path) || e.Path == "." || !k.Tree() && strings.Contains(e.Path, "/") || !k.Tree() && !k.Wants(path.Base(e.Path)):
		return refuse("was not asked for")
	case strings.ContainsFunc(e.Path, unicode.IsControl):
		return refuse("has a control character in its name")
	case strings.Count(e.Path, "/") > worker.MaxFolderDepth:
		return refuse(fmt.Sprintf("lies more than %d folders deep", worker.MaxFolderDepth))
	}
	switch mode := fs.FileMode(e.Mode); {
	case mode.IsDir() && k.Tree():
		if err := k.to.Mkdir(e.Path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("keep %q: %w", e.Path, err)
		}
		return nil
	case mode&fs.ModeSymlink != 0:
		return refuse("is a link")
	case !mode.IsRegular():
		return refuse(fmt.Sprintf("is no file but %v", mode.Type()))
	}
	// Holes take no room in the guest, and would on the host's disk.
	if k.room -= e.Size; e.Size < 0 || k.room < 0 {
		return refuse("is larger than its folder can be")
	}
	mode := fs.FileMode(0o644)
	if e.Mode&0o100 != 0 {
		mode = 0o755
	}
	out, err := k.to.OpenFile(e.Path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err == nil {
		_, err = io.CopyN(out, from, e.Size)
		err = errors.Join(err, out.Close())
	}
	if err != nil {
		return fmt.Errorf("keep %q: %w", e.Path, err)
	}
	return nil
}

// read returns a file that lies directly in a folder of the guest, nil if there is none.
func (s *session) read(ctx context.Context, folder int, name string, limit int64) ([]byte, error) {
	st, stop, err := s.open(ctx, wire.Request{Op: wire.OpRead, Folder: folder, Name: name, Limit: limit})
	if err != nil {
		return nil, err
	}
	defer st.Close()
	defer stop()
	return readEntry(st, name, limit)
}

// readEntry reads one file that a guest sends.
func readEntry(from io.Reader, name string, limit int64) ([]byte, error) {
	var e wire.Entry
	if err := wire.Read(from, &e); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	switch mode := fs.FileMode(e.Mode); {
	case e.Error != "":
		return nil, fmt.Errorf("read %s: the guest: %s", name, e.Error)
	case e.Path == "":
		return nil, nil
	case mode&fs.ModeSymlink != 0:
		return nil, &worker.KeepError{Name: name, Reason: "is a link"}
	case !mode.IsRegular():
		return nil, &worker.KeepError{Name: name, Reason: fmt.Sprintf("is no file but %v", mode.Type())}
	case e.Size < 0 || e.Size > limit:
		return nil, fmt.Errorf("read %s: it has more than %d MiB", name, limit>>20)
	}
	b, err := io.ReadAll(io.LimitReader(from, e.Size))
	if err == nil && int64(len(b)) < e.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// readKept reads a file that was kept, nil if none was.
func readKept(dir, name string, limit int64) ([]byte, error) {
	if dir == "" {
		return nil, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer root.Close()
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("it has more than %d MiB", limit>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}
