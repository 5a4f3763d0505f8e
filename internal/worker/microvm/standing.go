package microvm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// shape is what two virtual machines have in common where the state of one fits the other.
type shape struct {
	MemoryMiB int `json:"memoryMiB"`
	CPUs      int `json:"cpus"`
	Drives    int `json:"drives"` // places for them
}

// record says what must be known of a virtual machine that was saved.
type record struct {
	Version int   `json:"version"`
	Shape   shape `json:"shape"`
	// Fit is what else must be the same: see Driver.fit.
	Fit string `json:"fit"`
	// TSC is Driver.tsc of the one that saved it.
	TSC int `json:"tsc,omitempty"`
	// Mark begins the session with each of its copies (wire.OpSuspend).
	Mark []byte `json:"mark"`
	// Drives are the names of its images, in their order.
	Drives []string `json:"drives,omitempty"`
	// Env is the environment that its command was started with.
	Env []string `json:"env,omitempty"`
	// Network: its sandbox has a device to reach others by.
	Network bool `json:"network,omitempty"`
	// Devices is the SHA-256 of the state of devices: QEMU waits for ever for the rest of one that is not whole.
	Devices []byte `json:"devices"`
}

const recordVersion = 2

// Files of a folder with a virtual machine that was saved.
const (
	recordFile  = "machine.json"
	memoryFile  = "memory"  // sparse
	devicesFile = "devices" // as QEMU writes it
)

// maxDevices bounds the state of devices, which has some megabytes.
const maxDevices = 64 << 20

// standing is a virtual machine that was saved, in memory. Its files are sealed: no monitor that maps them can change
// what another one sees.
type standing struct {
	record
	memory, devices *os.File
}

// holesMiB is how much of its memory there is nothing of. Where a copy first writes into a hole of a file that it maps for itself alone, the
// kernel makes a page of the file, too, which all copies share: it is counted with the memory of the copy that came first.
func (s *standing) holesMiB() (int, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(s.memory.Fd()), &st); err != nil {
		return 0, fmt.Errorf("look at the saved memory: %w", err)
	}
	const block = 512 // stat(2)
	return int(max(st.Size-st.Blocks*block, 0)>>20) + 1, nil
}

func (s *standing) close() { _, _ = s.memory.Close(), s.devices.Close() }

// load reads a saved virtual machine.
func load(dir string) (_ *standing, err error) {
	b, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return nil, err
	}
	s := &standing{}
	if err := json.Unmarshal(b, &s.record); err != nil {
		return nil, fmt.Errorf("read %s: %w", recordFile, err)
	}
	if s.Version != recordVersion || len(s.Mark) != wire.MarkSize {
		return nil, fmt.Errorf("it is of version %d, and %d is known", s.Version, recordVersion)
	}
	for name, to := range map[string]**os.File{memoryFile: &s.memory, devicesFile: &s.devices} {
		f, err := os.Open(filepath.Join(dir, name))
		if err == nil {
			*to, err = inMemory(f, true)
			_ = f.Close()
		}
		if err != nil {
			for _, f := range []*os.File{s.memory, s.devices} {
				if f != nil {
					_ = f.Close()
				}
			}
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
	}
	if sum, err := hashOf(s.devices); err != nil || !bytes.Equal(sum, s.Devices) {
		s.close()
		return nil, errors.Join(fmt.Errorf("%s is damaged", devicesFile), err)
	}
	if info, err := s.memory.Stat(); err != nil || info.Size() != int64(s.Shape.MemoryMiB)<<20 {
		s.close()
		return nil, fmt.Errorf("%s has not %d MiB", memoryFile, s.Shape.MemoryMiB)
	}
	return s, nil
}

// newMemory makes a file in memory, of which monitors, who are other users, open a path.
func newMemory(size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate("machine", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "machine")
	if err := errors.Join(f.Truncate(size), f.Chmod(0o666)); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("make memory: %w", err)
	}
	return f, nil
}

// inMemory copies a file into memory; sealed, it can never be changed.
func inMemory(from *os.File, sealed bool) (*os.File, error) {
	info, err := from.Stat()
	if err != nil {
		return nil, err
	}
	to, err := newMemory(info.Size())
	if err != nil {
		return nil, err
	}
	err = copyData(to, from, info.Size())
	if err == nil && sealed {
		_, err = unix.FcntlInt(to.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		_ = to.Close()
		return nil, fmt.Errorf("copy memory: %w", err)
	}
	return to, nil
}

func hashOf(f *os.File) ([]byte, error) {
	h := sha256.New()
	_, err := io.Copy(h, io.NewSectionReader(f, 0, maxDevices+1))
	return h.Sum(nil), err
}

// copyData copies what of a file is neither a hole nor zero to the same places of another, which has the same size.
func copyData(to, from *os.File, size int64) error {
	buf, zero := make([]byte, 256<<10), make([]byte, 4096)
	for at := int64(0); at < size; {
		begin, err := unix.Seek(int(from.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(int(from.Fd()), begin, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		for at = begin; at < end; {
			n, err := from.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
			if n == 0 {
				return errors.Join(err, io.ErrUnexpectedEOF)
			}
			if err := writeData(to, buf[:n], at, zero); err != nil {
				return err
			}
			at += int64(n)
		}
	}
	return nil
}

// writeData writes all pages but those that are zero.
func writeData(to *os.File, b []byte, at int64, zero []byte) error {
	for len(b) > 0 {
		n := 0 // bytes until a page of zeros
		for n < len(b) && !bytes.Equal(b[n:min(n+len(zero), len(b))], zero[:min(len(zero), len(b)-n)]) {
			n += min(len(zero), len(b)-n)
		}
		if n > 0 {
			if _, err := to.WriteAt(b[:n], at); err != nil {
				return err
			}
		}
		skip := min(n+len(zero), len(b))
		at += int64(skip)
		b = b[skip:]
	}
	return nil
}

// reopen is another opening of a file in memory: monitors must not share a position in it.
func reopen(f *os.File) (*os.File, error) { return os.Open(memoryPath(f)) }

// memoryPath is where the process that has it opens a file in memory.
func memoryPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// write saves a virtual machine that is suspended and whose memory nobody changes meanwhile: it stops.
func (h *handle) write(ctx context.Context, dir string, r record) error {
	devices, err := newMemory(0)
	if err != nil {
		return err
	}
	defer devices.Close()
	if err := h.monitor.save(ctx, h, devices); err != nil {
		return err
	}
	r.Version, r.Shape, r.Fit, r.TSC = recordVersion, h.shape, h.driver.fit(), h.driver.tsc
	for _, d := range h.drives {
		r.Drives = append(r.Drives, filepath.Base(d))
	}
	if r.Devices, err = hashOf(devices); err != nil {
		return err
	}
	doc, err := json.Marshal(r)
	if err != nil {
		return err
	}
	for name, from := range map[string]*os.File{memoryFile: h.memory, devicesFile: devices} {
		info, err := from.Stat()
		if err != nil {
			return err
		}
		if name == devicesFile && info.Size() > maxDevices {
			return fmt.Errorf("the state of its devices has %d bytes", info.Size())
		}
		to, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		err = errors.Join(to.Truncate(info.Size()), copyData(to, from, info.Size()), to.Close())
		if err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, recordFile), doc, 0o600)
}

// shelf keeps saved virtual machines in memory while copies of them are started, and the last few beyond that.
type shelf struct {
	mu   sync.Mutex
	all  map[string]*place
	uses int64
}

type place struct {
	ready chan struct{}
	s     *standing
	err   error
	refs  int
	last  int64
}

// idlePlaces is how many stay in memory that nobody uses.
const idlePlaces = 4

// take returns what is on the shelf under a name, or what fill brings; release must be called.
func (sh *shelf) take(ctx context.Context, name string, fill func() (*standing, error)) (_ *standing, release func(), err error) {
	sh.mu.Lock()
	p, ok := sh.all[name]
	if !ok {
		p = &place{ready: make(chan struct{})}
		sh.all[name] = p
		go func() { // whoever asked first may give up
			p.s, p.err = fill()
			if p.err != nil {
				sh.drop(name, p)
			}
			close(p.ready)
		}()
	}
	p.refs++
	sh.uses++
	p.last = sh.uses
	sh.mu.Unlock()
	release = sync.OnceFunc(func() { sh.leave(p) })
	select {
	case <-p.ready:
	case <-ctx.Done():
		release()
		return nil, nil, ctx.Err()
	}
	if p.err != nil {
		release()
		return nil, nil, p.err
	}
	return p.s, release, nil
}

func (sh *shelf) leave(p *place) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	p.refs--
	if p.refs == 0 {
		sh.clear(idlePlaces)
	}
}

// drop forgets what is under a name: it turned out to be no good.
func (sh *shelf) drop(name string, p *place) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.all[name] == p {
		delete(sh.all, name) // its files are closed by the collector where somebody uses them still
	}
}

// clear keeps so many that nobody uses. sh.mu is held.
func (sh *shelf) clear(keep int) {
	for {
		oldest, idle := "", 0
		for name, p := range sh.all {
			if p.refs > 0 || !closed(p.ready) || p.err != nil {
				continue
			}
			if idle++; oldest == "" || p.last < sh.all[oldest].last {
				oldest = name
			}
		}
		if idle <= keep {
			return
		}
		sh.all[oldest].s.close()
		delete(sh.all, oldest)
	}
}

// close closes what nobody uses.
func (sh *shelf) close() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.clear(0)
}

// saveTime bounds how long saving a virtual machine may take, restoreTime how long one that was saved may take to go on.
const (
	saveTime    = 90 * time.Second
	restoreTime = 10 * time.Second
)
