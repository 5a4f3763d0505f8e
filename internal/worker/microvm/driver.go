// Package microvm is the driver whose sandboxes are virtual machines: each worker has a kernel of its own, in a
// monitor that itself runs in a sandbox of the process driver's (its user, namespaces, system call filter and control
// group). docs/microvm.md says what that protects from.
//
// The guest is a small agent in memory and read-only images of what the worker is to see (package agent); one
// connection leads in, over which the Runtime API comes out. The driver must not know why a worker is started or
// stopped, nor what runs in it.
package microvm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/machine"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
	"github.com/cloudjit/cloudjit/internal/worker/process"
)

// Guest is what virtual machines boot.
type Guest struct {
	// Kernel is an uncompressed ELF, Init its first file system.
	Kernel, Init string
	// Small: the kernel is made for virtual machines alone (internal/toolchain), and knows none that looks like a PC.
	Small bool
}

// name is what Capabilities say of the kernel.
func (g Guest) name() string {
	if g.Small {
		return "small"
	}
	return "debian"
}

// Options of the driver.
type Options struct {
	// Guest to boot; required.
	Guest Guest
	// Images is the folder of read-only images, which other servers may share.
	Images string
	// standIn: the monitor is a test's, which has no use for KVM.
	standIn bool
	// nested: KVM is there, and the processor that it runs on is itself emulated, in a test.
	nested bool
	// Process is the driver whose sandboxes the monitors run in. The microVM driver closes it.
	Process *process.Driver
	// Monitor is one of Kinds; empty: QEMU.
	Monitor string
	// Firecracker is its program, for that kind; empty: it is not there.
	Firecracker string
	// Network lets functions reach what the host reaches, but for its own services (usernet.Reachable).
	Network bool
	dial    func(ctx context.Context, network, address string) (net.Conn, error) // of the network, for tests
	// Accel is "kvm", "tcg" (the processor is emulated), or "auto": KVM if a guest boots with it.
	Accel string
}

// Driver is a worker.Driver.
type Driver struct {
	options Options
	images  *images
	shelf   *shelf
	kind    *kind
	program string // of the monitor
	blank   string // a file without anything, in the place of a drive that is not there
	kvm     bool
	// processor is the machine's, as internal/machine tells of it; empty where that is not known.
	processor string
	// tsc is the frequency of its time stamp counter, kHz, where guests' processors are emulated: their counters are as fast, and a
	// small machine has no other clock that the guest could measure it with. 0: not known, or not of interest.
	tsc    int
	caps   worker.Capabilities
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	workers map[*handle]struct{}
	starts  sync.WaitGroup
}

// bootTime is how long the probe's guest may take to answer, and kvmTime the same with KVM, where nothing else fails
// late.
const (
	bootTime = 90 * time.Second
	kvmTime  = 5 * time.Second
)

// Look says, without booting anything, what a driver would lack.
func Look(o Options) error {
	for _, file := range []string{o.Guest.Kernel, o.Guest.Init} {
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("no guest: %w (cloudjit guest build)", err)
		}
	}
	k, err := kindOf(o.Monitor)
	if err == nil {
		_, err = k.find(&o)
	}
	if err == nil && k.needsKVM && !o.standIn {
		err = openKVM()
	}
	return err
}

// openKVM opens the device, which a driver without one need not try.
func openKVM() error {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("no KVM: %w", err)
	}
	return f.Close()
}

// New prepares a driver, and finds out whether KVM can be used, by booting a guest.
func New(o Options) (*Driver, error) {
	kind, err := kindOf(o.Monitor)
	if err != nil {
		return nil, fmt.Errorf("open driver of virtual machines: %w", err)
	}
	fail := func(err error) (*Driver, error) {
		return nil, fmt.Errorf("open driver %s: %w", kind.name, err)
	}
	if err := Look(o); err != nil {
		return fail(err)
	}
	d := &Driver{options: o, kind: kind, workers: map[*handle]struct{}{}, shelf: &shelf{all: map[string]*place{}}}
	if d.images, err = newImages(o.Images); err != nil {
		return fail(err)
	}
	if d.program, err = d.kind.find(&o); err != nil {
		return fail(err)
	}
	d.processor, _ = machine.Processor()
	d.ctx, d.cancel = context.WithCancel(context.Background())
	inner := o.Process.Capabilities()
	d.caps = worker.Capabilities{MemoryLimit: true, CPULimit: inner.CPULimit, SocketLimit: true, Isolated: true, Snapshot: true, Weaker: slices.Clone(o.Process.Weaker())}
	d.caps.Kernel = o.Guest.name()
	if err := d.makeBlank(); err != nil {
		return fail(err)
	}
	var noKVM error
	switch {
	case o.standIn:
	case o.Accel == "kvm" || o.Accel == "auto" || o.Accel == "" || d.kind.needsKVM:
		if noKVM = d.tryKVM(); noKVM != nil && (o.Accel == "kvm" || d.kind.needsKVM) {
			return fail(noKVM)
		}
		d.kvm = noKVM == nil
	}
	d.caps.OverheadMiB = guestMiB + d.kind.memoryMiB(d.kvm)
	if !d.kvm && !d.kind.needsKVM {
		d.tsc = machine.TSC()
		d.caps.Emulated = true
		why := "by configuration"
		if noKVM != nil {
			why = noKVM.Error()
		}
		d.caps.Weaker = append(d.caps.Weaker, "The processor of virtual machines is emulated (TCG), so all of them runs many times slower: "+why+".")
	}
	return d, nil
}

// blankSize is that of a drive without anything, bytes.
const blankSize = 4096

// makeBlank makes the file that is in the place of a drive that is not there. Other servers may do so as well.
func (d *Driver) makeBlank() error {
	d.blank = filepath.Join(d.images.dir, "blank")
	if info, err := os.Stat(d.blank); err == nil && info.Size() == blankSize {
		return nil
	}
	part, err := os.CreateTemp(d.images.dir, ".part-")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	return errors.Join(part.Truncate(blankSize), part.Chmod(0o644), part.Close(), os.Rename(part.Name(), d.blank))
}

// tryKVM boots a guest with KVM: that the device opens proves nothing.
func (d *Driver) tryKVM() error {
	if err := openKVM(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), kvmTime*d.slowness())
	defer cancel()
	d.kvm = true
	defer func() { d.kvm = false }()
	if _, err := d.boot(ctx); err != nil {
		return fmt.Errorf("/dev/kvm opens, and no guest boots with it: %w", err)
	}
	return nil
}

// boot boots a guest without anything and returns what its agent says.
func (d *Driver) boot(ctx context.Context) (wire.Hello, error) {
	h, hello, err := d.booted(ctx, d.kind.shapeOf(128, 0, 0))
	if err != nil {
		return hello, err
	}
	h.cut()
	return hello, nil
}

// probed is the revision of guests that run nothing. Somebody waits for them: they have the processor time of a large function.
var probed = &function.Spec{Kind: function.KindProvided, MemoryMiB: 4 * worker.VCPUMiB}

// booted boots a guest without anything, whose memory can be saved.
func (d *Driver) booted(ctx context.Context, sh shape) (*handle, wire.Hello, error) {
	spec := worker.Spec{ID: "probe-" + strconv.FormatInt(time.Now().UnixNano(), 36), Revision: probed}
	h, err := d.power(ctx, spec, powering{shape: sh})
	if err != nil {
		return nil, wire.Hello{}, err
	}
	hello, err := h.session().hello(ctx)
	if err != nil {
		err = h.machine.Explain(err)
		h.cut()
		return nil, hello, err
	}
	return h, hello, nil
}

// Name implements worker.Driver.
func (d *Driver) Name() string { return d.kind.name }

// Capabilities implements worker.Driver.
func (d *Driver) Capabilities() worker.Capabilities { return d.caps }

// Process is the driver whose sandboxes the monitors run in.
func (d *Driver) Process() *process.Driver { return d.options.Process }

// Probe boots a guest and waits for its answer.
func (d *Driver) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	if _, err := d.boot(ctx); err != nil {
		return fmt.Errorf("probe driver %s: no guest answered: %w", d.kind.name, err)
	}
	return nil
}

// Start implements worker.Driver.
func (d *Driver) Start(ctx context.Context, spec worker.Spec) (worker.Worker, error) {
	h, err := d.start(ctx, spec, false)
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (d *Driver) start(ctx context.Context, spec worker.Spec, job bool) (*handle, error) {
	if !d.enter() {
		return nil, worker.ErrClosed
	}
	defer d.starts.Done()
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	sandbox := func(err error) error {
		var known *worker.StartError
		if errors.As(err, &known) {
			return err
		}
		return &worker.StartError{Phase: "sandbox", Err: err}
	}
	if err := ctx.Err(); err != nil {
		return nil, sandbox(err)
	}
	v, err := d.view(ctx, &spec)
	if err != nil {
		return nil, sandbox(err)
	}
	h, err := d.guest(ctx, spec, v, began, job)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
		return nil, sandbox(err)
	}
	d.mu.Lock()
	d.workers[h] = struct{}{}
	d.mu.Unlock()
	go h.watch()
	if job {
		return h, nil
	}
	if err := h.ready(ctx); err != nil {
		h.kill()
		<-h.removed
		err.Err = h.explain(err.Err)
		return nil, err
	}
	return h, nil
}

// enter holds up Close until d.starts.Done; false once it was called.
func (d *Driver) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.starts.Add(1)
	}
	return !d.closed
}

// maxFiles bounds the descriptors of a command.
const maxFiles = 4096

// view is what a worker sees: images, and where what of them is shown.
type view struct {
	drives []string // image files, in the order of their numbers
	start  wire.Start
}

func (d *Driver) view(ctx context.Context, spec *worker.Spec) (*view, error) {
	v := &view{}
	add := func(src imageSource, target string) error {
		image, err := d.images.of(ctx, src)
		if err != nil {
			return err
		}
		m := wire.Mount{Drive: len(v.drives), Target: path.Clean(target), File: !src.dir}
		if m.File {
			m.Within = filepath.Base(src.path)
		}
		for i, known := range v.drives {
			if known == image {
				m.Drive = i
			}
		}
		if m.Drive == len(v.drives) {
			v.drives = append(v.drives, image)
			if err := v.join(d.kind, image); err != nil {
				return err
			}
		}
		v.start.Mounts = append(v.start.Mounts, m)
		return nil
	}
	for _, s := range process.System() {
		if s.Link != "" {
			v.start.Links = append(v.start.Links, wire.Link{Name: s.Name, To: s.Link})
		} else if err := add(imageSource{path: "/" + s.Name, dir: true, system: true}, "/"+s.Name); err != nil {
			return nil, err
		}
	}
	if err := add(imageSource{path: d.options.Process.Etc(), dir: true}, "/etc"); err != nil {
		return nil, err
	}
	for _, m := range spec.Mounts {
		source, dir, err := m.Look()
		if err != nil {
			return nil, err
		}
		if err := add(imageSource{path: source, dir: dir}, m.Target); err != nil {
			return nil, err
		}
	}
	if most := d.kind.drives[len(d.kind.drives)-1]; len(v.drives) > most {
		return nil, fmt.Errorf("%d mounts, more than %d", len(v.drives), most)
	}
	folders, err := worker.Bounded(spec.Folders)
	if err != nil {
		return nil, err
	}
	for _, f := range folders {
		v.start.Folders = append(v.start.Folders, wire.Folder{Target: f.Target, MiB: f.MiB, Files: f.Files})
	}
	return v, nil
}

// join puts an image behind those that lie on the drive already, where there is only one.
func (v *view) join(k *kind, image string) error {
	if !k.joined {
		return nil
	}
	size, err := sectors(image)
	if err != nil {
		return err
	}
	p := wire.Part{Size: size * sectorSize}
	if n := len(v.start.Parts); n > 0 {
		p.Offset = v.start.Parts[n-1].Offset + v.start.Parts[n-1].Size
	}
	v.start.Parts = append(v.start.Parts, p)
	return nil
}

// plan is what the agent is told of the command.
func (d *Driver) plan(spec *worker.Spec, v *view, job bool) (*wire.Start, error) {
	s := v.start
	if !path.IsAbs(spec.Path) {
		return nil, fmt.Errorf("command %q is no absolute path", spec.Path)
	}
	s.Path, s.Args, s.Dir = spec.Path, spec.Args, spec.Dir
	if s.Dir == "" {
		s.Dir = "/"
	}
	s.Env = spec.Env[:len(spec.Env):len(spec.Env)]
	switch {
	case job:
	case spec.Revision.Kind == function.KindWeb:
		s.Env = append(s.Env, "PORT="+strconv.Itoa(wire.WebPort))
		if spec.Announce {
			s.API = true
			s.Env = append(s.Env, "CLOUDJIT_CHECKPOINT_API=127.0.0.1:"+strconv.Itoa(wire.APIPort))
		}
	default:
		s.API = true
		s.Env = append(s.Env, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:"+strconv.Itoa(wire.APIPort))
	}
	s.TmpMiB = worker.First(spec.Limits.TmpMiB, spec.Revision.TmpMiB, worker.DefaultTmpMiB)
	s.MemoryMiB = worker.First(spec.Limits.MemoryMiB, spec.Revision.MemoryMiB, 128)
	s.PIDs, s.Files = worker.First(spec.Limits.PIDs, worker.DefaultPIDs), maxFiles
	s.Network = d.options.Network && !job
	s.Filter, s.Nice = d.options.Process.Filter(), job || spec.Trial
	s.Now, s.Entropy, s.Drives = time.Now().UnixNano(), random(64), len(v.drives)
	if d.kind.joined {
		s.Drives = min(s.Drives, 1)
	}
	return &s, nil
}

// Clean implements worker.Driver.
func (d *Driver) Clean(ctx context.Context) (int, error) { return d.options.Process.Clean(ctx) }

// Close implements worker.Driver.
func (d *Driver) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.starts.Wait()
	var errs []error
	for _, h := range d.alive() {
		errs = append(errs, h.Stop(context.Background(), 0))
	}
	d.images.close()
	d.shelf.close()
	return errors.Join(append(errs, d.options.Process.Close())...)
}

func (d *Driver) alive() []*handle {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []*handle
	for h := range d.workers {
		out = append(out, h)
	}
	return out
}

// slowness is how many times as long as on a real processor something may take.
func (d *Driver) slowness() time.Duration {
	if d.caps.Emulated || d.options.nested {
		return 10
	}
	return 1
}
