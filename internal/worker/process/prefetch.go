package process

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// The files that a worker is started from may not be in memory any more. The kernel drops files that nobody uses when it needs the space,
// and some machines drop them after a minute (DAMON). Then a start waits for the disk again and again: a copy of a small function takes
// 57 ms and not 25. So all files that are known to be needed are asked for at once when a start begins, while the sandbox is made.
// A copy that is started when a snapshot is made shows which pieces copies need (record and prefetch: Ustiugov et al., REAP, ASPLOS '21,
// section 5). Asking for 34 MB that are in memory costs 0.1 ms, on another processor.

const (
	// maxPrefetch is how large a file is at most that is asked for as a whole, bytes. Of a larger one only known pieces are.
	maxPrefetch = 64 << 20
	// maxAsked is how many files of a folder are asked for.
	maxAsked = 64
	// maxMapping is how large a mapping is at most that is looked through, bytes.
	maxMapping = 4 << 30
	// nearPages is how many pages that nobody needs may lie between two that are asked for by one call.
	nearPages = 4
)

// fileRange is a piece of a file, bytes.
type fileRange struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// pieces are those of files, by their paths in the sandbox.
type pieces map[string][]fileRange

// prefetch asks for what a worker is going to be started from. It does not wait for it.
func (d *Driver) prefetch(spec *worker.Spec) {
	if spec.Restore == "" {
		for _, m := range spec.Mounts { // the binary, and the function's code
			askFolder(m.Source)
		}
		return
	}
	for _, name := range d.criu.files {
		ask(name, nil)
	}
	var needed pieces
	if b, err := os.ReadFile(filepath.Join(spec.Restore, neededName)); err != nil || json.Unmarshal(b, &needed) != nil {
		m, _ := readManifest(spec.Restore) // who restores it says what is wrong
		needed = m.Needed
	}
	askFolder(spec.Restore, memoryName)
	ask(filepath.Join(spec.Restore, memoryName), needed[memoryPath])
	for name, list := range needed {
		if file := d.outside(spec, name); file != "" && len(list) > 0 {
			ask(file, list)
		}
	}
}

// outside is the host's path of a file that the sandbox shows of the host. It is empty for all other files.
func (d *Driver) outside(spec *worker.Spec, name string) string {
	name = filepath.Clean(name)
	below := func(dir string) (string, bool) {
		rest, ok := strings.CutPrefix(name, strings.TrimSuffix(dir, "/"))
		return rest, ok && (rest == "" || rest[0] == '/')
	}
	for _, m := range spec.Mounts {
		if rest, ok := below(m.Target); ok {
			return m.Source + rest
		}
	}
	for _, dir := range d.base.system {
		if _, ok := below("/" + dir.name); ok {
			return name
		}
	}
	return ""
}

// askFolder asks for the files that lie directly in a folder, but for some.
func askFolder(dir string, but ...string) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range list[:min(len(list), maxAsked)] {
		if e.Type().IsRegular() && !slices.Contains(but, e.Name()) {
			ask(filepath.Join(dir, e.Name()), nil)
		}
	}
}

// ask asks for pieces of a file, where they are known; else for all of it if it is not too large.
func ask(name string, list []fileRange) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return
	}
	for _, p := range list {
		_ = unix.Fadvise(fd, p.Offset, p.Length, unix.FADV_WILLNEED)
	}
	if len(list) == 0 && st.Size <= maxPrefetch {
		_ = unix.Fadvise(fd, 0, 0, unix.FADV_WILLNEED)
	}
}

// neededName is a file beside the images. It says what a copy has needed until its first invocation ended. The first copy that answers one
// leaves it.
const neededName = "needed.json"

// neededKnown reports whether that is there.
func neededKnown(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, neededName))
	return err == nil
}

// learn keeps what this copy has needed so far. If it fails, later copies are slower, and nothing else.
func (h *handle) learn() {
	needed, err := h.present()
	if err != nil || len(needed[memoryPath]) == 0 || h.ended() {
		return
	}
	b, err := json.Marshal(needed)
	if err != nil {
		return
	}
	file := filepath.Join(h.spec.Restore, neededName)
	part := file + "." + h.spec.ID
	if os.WriteFile(part, b, 0o600) != nil || os.Rename(part, file) != nil {
		_ = os.Remove(part)
	}
}

// first is a worker whose first answer is waited for.
type first struct {
	http.RoundTripper
	h *handle
}

// RoundTrip implements http.RoundTripper.
func (f first) RoundTrip(r *http.Request) (*http.Response, error) {
	defer f.h.first()()
	res, err := f.RoundTripper.RoundTrip(r)
	f.h.answered(err)
	return res, err
}

// answered is told of each answer.
func (h *handle) answered(err error) {
	if err == nil && h.saved != nil && h.saved.learn.CompareAndSwap(true, false) {
		go h.learn()
	}
}

// rehearse starts a copy from what was saved in dir, and returns what it needed of files until it was ready.
func (h *handle) rehearse(ctx context.Context, dir string) (pieces, error) {
	spec := h.spec
	spec.ID, spec.Savable, spec.Restore, spec.Output, spec.Trial = h.spec.ID+"-rehearsal", false, dir, nil, true
	w, err := h.driver.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	needed, err := w.(*handle).present()
	err = errors.Join(err, w.Stop(ctx, 0))
	_ = os.Remove(filepath.Join(dir, "stats-restore")) // CRIU's; each copy's is another one
	return needed, err
}

// present are the pieces of files that the worker has mapped and that are in its memory. Files that only this worker can see are left out.
func (h *handle) present() (pieces, error) {
	all, err := present(h.runtime())
	for name := range all {
		if name != memoryPath && h.driver.outside(&h.spec, name) == "" {
			delete(all, name)
		}
	}
	return all, err
}

// present are the pieces of files that a process has mapped, and of which it has pages.
func present(pid int) (pieces, error) {
	maps, err := mappings(pid)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := pieces{}
	for _, m := range maps {
		if m.end-m.start > maxMapping {
			continue
		}
		list, err := presentIn(all[m.path], f, m.start, m.end, m.offset)
		if err != nil {
			return nil, err
		}
		if len(list) > 0 {
			all[m.path] = list
		}
	}
	return all, nil
}

// pagemapPresent is a bit of an entry of /proc/PID/pagemap (https://docs.kernel.org/admin-guide/mm/pagemap.html).
const pagemapPresent = 1 << 63

// presentIn adds the pieces of one mapping.
func presentIn(all []fileRange, pagemap io.ReaderAt, start, end, offset uint64) ([]fileRange, error) {
	page := uint64(os.Getpagesize())
	entries := make([]byte, 8*((end-start)/page))
	if _, err := pagemap.ReadAt(entries, int64(start/page*8)); err != nil {
		return nil, fmt.Errorf("read which pages are present: %w", err)
	}
	for at := int64(offset); len(entries) > 0; entries, at = entries[8:], at+int64(page) {
		if binary.NativeEndian.Uint64(entries)&pagemapPresent == 0 {
			continue
		}
		if n := len(all) - 1; n >= 0 && at >= all[n].Offset && at-all[n].Offset-all[n].Length <= nearPages*int64(page) {
			all[n].Length = max(all[n].Length, at+int64(page)-all[n].Offset)
		} else {
			all = append(all, fileRange{at, int64(page)})
		}
	}
	return all, nil
}
