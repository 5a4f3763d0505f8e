package microvm

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// Memory of a virtual machine, MiB, beside what its function may have.
const (
	// guestMiB is what the kernel, the agent and the file cache take in the guest.
	guestMiB = 96
)

// memorySteps are the sizes of functions' memory, MiB, that guests are made for: a guest that has booted serves all functions
// up to its size. The function's own limit holds in it.
var memorySteps = []int{128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 10240}

// shapeOf is that of the guest for a function with so much memory, MiB, and so many images; cpus 0: no limit.
func (k *kind) shapeOf(memory int, cpus float64, images int) shape {
	sh := shape{MemoryMiB: step(memory, memorySteps) + guestMiB, CPUs: virtualCPUs(memory, cpus), Drives: step(images, k.drives)}
	if k.joined {
		sh.Drives = 1
	}
	return sh
}

// step is the first that is not below n, n itself if all are.
func step(n int, steps []int) int {
	for _, s := range steps {
		if s >= n {
			return s
		}
	}
	return n
}

// powering is how a virtual machine begins.
type powering struct {
	shape  shape
	drives []string
	from   *standing // nil: it boots
	// savable: its memory can be saved. That of one that boots always can.
	savable bool
	release func() // called when from is not needed any more
}

// power starts a monitor, and the session with the guest that boots in it, or goes on. p.release is its to call.
func (d *Driver) power(ctx context.Context, spec worker.Spec, p powering) (_ *handle, err error) {
	h := &handle{driver: d, spec: spec, shape: p.shape, drives: p.drives, listener: newListener(), done: make(chan struct{}), removed: make(chan struct{})}
	h.undo = append(h.undo, func() { _ = h.listener.Close() })
	if p.release != nil {
		h.undo = append(h.undo, p.release)
	}
	defer func() {
		if err != nil && h.machine != nil {
			err = h.machine.Explain(err)
			h.cut()
		} else if err != nil {
			h.forget()
		}
	}()
	l, err := d.kind.lay(d, h, &p)
	if err != nil {
		return nil, err
	}
	h.monitor = l.monitor
	h.undo = append(h.undo, h.monitor.close)
	if memory := h.memory; memory != nil {
		h.undo = append(h.undo, func() { _ = memory.Close() })
	}
	holesMiB := 0
	if p.from != nil {
		if holesMiB, err = p.from.holesMiB(); err != nil {
			return nil, err
		}
	}
	contained := worker.Spec{
		ID: spec.ID, Revision: spec.Revision, Rung: spec.Rung, Path: d.kind.path(d.program), Args: l.args, Dir: "/", Env: []string{"PATH=/usr/bin"},
		Mounts: l.mounts, Folders: l.folders, Output: spec.Output, Trial: spec.Trial,
		Limits: worker.Limits{MemoryMiB: p.shape.MemoryMiB + d.kind.memoryMiB(d.kvm) + holesMiB, CPUs: spec.Limits.CPUs, PIDs: 128, TmpMiB: 16},
	}
	h.machine, err = d.options.Process.Contain(ctx, contained, l.connected)
	for _, f := range l.inherited {
		_ = f.Close()
	}
	if err != nil {
		return nil, err
	}
	if p.from == nil {
		if h.conn, err = h.monitor.begin(ctx, h, nil); err != nil {
			return nil, fmt.Errorf("boot the machine: %w", err)
		}
	} else if err := h.restore(ctx, p.from); err != nil {
		return nil, fmt.Errorf("restore the machine: %w", err)
	}
	conn := h.conn
	h.undo = append(h.undo, func() { _ = conn.Close() })
	var s *session
	if p.from == nil {
		s, err = newSession(conn, h.listener)
	} else {
		s, err = nextSession(conn, h.listener, p.from.Mark, restoreTime*d.slowness())
	}
	if err != nil {
		return nil, err
	}
	h.link.Store(&link{session: s})
	return h, nil
}

// restore lets a machine go on that was saved.
func (h *handle) restore(ctx context.Context, from *standing) (err error) {
	ctx, cancel := context.WithTimeout(ctx, restoreTime*h.driver.slowness())
	defer cancel()
	h.conn, err = h.monitor.begin(ctx, h, from)
	return err
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// fit says what beside its shape a saved virtual machine depends on: this kernel and agent, QEMU, and the processor.
func (d *Driver) fit() string {
	sum := sha256.New()
	fmt.Fprintln(sum, "3", d.kind.name, d.kvm, wire.Version, d.kind.fit(d.kvm))
	for _, file := range []string{d.program, d.options.Guest.Kernel, d.options.Guest.Init} {
		if real, err := filepath.EvalSymlinks(file); err == nil {
			file = real
		}
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintln(sum, file, info.Size(), info.ModTime().UnixNano())
		}
	}
	fmt.Fprintln(sum, d.processor)
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// fits reports whether a saved virtual machine can go on here. Its clock goes by the time stamp counter, whose frequency is measured,
// and never quite the same.
func (d *Driver) fits(s *standing) bool {
	return s.Fit == d.fit() && (s.TSC == 0 || d.tsc == 0 || max(s.TSC, d.tsc)-min(s.TSC, d.tsc) < d.tsc/1000)
}

// bootedFolder is that of guests that have booted, in the folder of images.
const bootedFolder = "booted"

// template is a guest that has booted and runs nothing, from which others go on: booting takes seconds where the processor is
// emulated, and going on tenths of one. It holds nothing of any function, so that all may have it.
func (d *Driver) template(ctx context.Context, sh shape) (*standing, func(), error) {
	dir := d.templateDir(sh)
	return d.shelf.take(ctx, dir, func() (*standing, error) {
		if s, err := load(dir); err == nil && d.fits(s) && s.Shape == sh {
			now := time.Now()
			_ = os.Chtimes(dir, now, now) // see prune
			return s, nil
		}
		ctx, cancel := context.WithTimeout(d.ctx, bootTime)
		defer cancel()
		if err := d.makeTemplate(ctx, sh, dir); err != nil {
			return nil, fmt.Errorf("boot a guest: %w", err)
		}
		return load(dir)
	})
}

func (d *Driver) templateDir(sh shape) string {
	return filepath.Join(d.images.dir, bootedFolder, fmt.Sprintf("%s-%d-%d-%d", d.fit(), sh.MemoryMiB, sh.CPUs, sh.Drives))
}

func (d *Driver) makeTemplate(ctx context.Context, sh shape, dir string) error {
	part, err := os.MkdirTemp(filepath.Dir(dir), ".part-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(part)
	h, _, err := d.booted(ctx, sh)
	if err != nil {
		return err
	}
	defer h.cut()
	mark := newMark()
	if err := h.session().suspend(ctx, mark); err != nil {
		return err
	}
	if err := h.write(ctx, part, record{Mark: mark}); err != nil {
		return h.machine.Explain(err)
	}
	err = os.Rename(part, dir)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) { // what is there could not be read, or another server was faster
		if s, err := load(dir); err == nil {
			s.close()
			return nil
		}
		err = errors.Join(os.RemoveAll(dir), os.Rename(part, dir))
	}
	return err
}

// guest starts the machine of a worker or job, and the command in it, or lets one go on that was saved.
func (d *Driver) guest(ctx context.Context, spec worker.Spec, v *view, began time.Time, job bool) (*handle, error) {
	p := powering{shape: d.kind.shapeOf(worker.First(spec.Limits.MemoryMiB, spec.Revision.MemoryMiB, 128), spec.Limits.CPUs, len(v.drives)), drives: v.drives, savable: spec.Savable}
	var err error
	if spec.Restore != "" {
		if p.from, p.release, err = d.saved(ctx, &spec, p.drives); err != nil {
			return nil, fmt.Errorf("%w: %w", worker.ErrNotRestored, err)
		}
		p.shape = p.from.Shape
	} else if p.from, p.release, err = d.template(ctx, p.shape); err != nil {
		return nil, err
	}
	h, err := d.power(ctx, spec, p)
	if err == nil {
		h.began, h.job = began, job
		if err = h.run(ctx, v, p.from); err != nil {
			err = h.machine.Explain(err)
			h.cut()
		}
	}
	if err != nil {
		if spec.Restore != "" && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", worker.ErrNotRestored, err)
		}
		return nil, err
	}
	return h, nil
}

// saved is what Snapshot left in a folder, if it can be restored here.
func (d *Driver) saved(ctx context.Context, spec *worker.Spec, drives []string) (*standing, func(), error) {
	s, release, err := d.shelf.take(ctx, spec.Restore, func() (s *standing, err error) {
		err = d.options.Process.Unseal(spec, func(dir string) (err error) {
			s, err = load(dir)
			return err
		})
		return s, err
	})
	if err != nil {
		return nil, nil, err
	}
	same := len(s.Drives) == len(drives)
	for i := 0; same && i < len(drives); i++ {
		same = s.Drives[i] == filepath.Base(drives[i])
	}
	switch {
	case !d.fits(s):
		err = errors.New("it was made with another monitor, guest or processor")
	case s.Network != d.options.Network:
		err = errors.New("workers.network was another one then")
	case !same:
		err = errors.New("its files are others now")
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return s, release, nil
}

// virtualCPUs is how many processors a guest has: as many as AWS Lambda gives for its memory.
func virtualCPUs(memoryMiB int, limit float64) int {
	n := (memoryMiB + worker.VCPUMiB - 1) / worker.VCPUMiB
	if limit > 0 {
		n = min(n, max(1, int(limit+0.999)))
	}
	return max(1, min(n, runtime.NumCPU()))
}

// serial is how the agent finds a drive.
func serial(i int) string { return wire.DriveSerial + strconv.Itoa(i) }

func driveAt(i int) string { return "/vm/" + strconv.Itoa(i) + ".erofs" }

// Where the monitor finds what it boots.
const (
	kernelAt = "/vm/vmlinux"
	initAt   = "/vm/initramfs"
)
