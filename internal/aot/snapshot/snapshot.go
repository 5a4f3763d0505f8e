// Package snapshot is the aot.Builder that saves the state of a worker: one that was started for it, has answered what the
// revision was asked before, and serves nobody. Workers that are restored from it begin where it stood.
//
// A snapshot is of one revision alone, and as secret as the memory that it holds. It fits the kernel, the processor and
// the JDK that it was made on; whether it fits is compared before each start (Check), and what that does not see CRIU
// notices. The package knows nothing of policies, pipelines or HTTP, nor how a driver saves a worker.
package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/aot"
	"github.com/cloudjit/cloudjit/internal/aot/keep"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/launch"
	"github.com/cloudjit/cloudjit/internal/machine"
	"github.com/cloudjit/cloudjit/internal/worker"
)

// Options of a builder. Cache, Driver and Request are required.
type Options struct {
	// Cache is the folder for everything that is kept, and for scratch: of one server, since it is private.
	Cache string
	// Driver starts the worker that is saved; its workers must implement worker.Snapshotter.
	Driver worker.Driver
	// Request says how a worker of a revision is started on this machine: Revision, Paths and Platform.
	Request func(ctx context.Context, rev *function.Spec) (launch.Request, error)
}

// Builder makes snapshots. It implements aot.Builder.
type Builder struct {
	opts    Options
	store   *keep.Store
	machine string
}

var _ aot.Private = (*Builder)(nil)

// New opens the cache folder and removes what killed builds left in it.
func New(opts Options) (*Builder, error) {
	if opts.Cache == "" || opts.Driver == nil || opts.Request == nil {
		return nil, errors.New("open snapshot builder: Cache, Driver and Request are required")
	}
	store, err := keep.Open(opts.Cache)
	if err != nil {
		return nil, err
	}
	// Others must not even list it.
	if err := os.Chmod(opts.Cache, 0o711); err != nil {
		return nil, fmt.Errorf("open snapshot builder: %w", err)
	}
	machine, err := thisMachine()
	if err != nil {
		return nil, fmt.Errorf("open snapshot builder: %w", err)
	}
	return &Builder{opts: opts, store: store, machine: machine}, nil
}

// Name implements aot.Builder.
func (b *Builder) Name() string { return ladder.BuilderSnapshot }

// thisMachine is what a process's state depends on of kernel and processor: a process asks for the features of
// the processor once, and what it holds of the kernel's state is restored by the same kernel only.
func thisMachine() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	processor, err := machine.Processor()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, part := range [][]byte{u.Release[:], u.Version[:], u.Machine[:]} {
		h.Write(part)
	}
	io.WriteString(h, processor)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fit is what must be the same for a snapshot to be restored, and how its files were.
type fit struct {
	Machine string `json:"machine"`
	// Revision is whose it is: its memory holds that one's environment.
	Revision function.RevisionID `json:"revision"`
	// JDK is what runs the function, a JDK or an interpreter.
	JDK string `json:"jdk"`
	// Driver is the one whose worker it is.
	Driver string `json:"driver"`
	// Files are the images' sizes, by name.
	Files map[string]int64 `json:"files"`
}

const fitName = "fit.json"

// Key implements aot.Builder. Snapshots of equal keys are not the same: each build has one of its own.
func (b *Builder) Key(req *aot.Request) (aot.Key, error) {
	r, err := b.request(context.Background(), req)
	if err != nil {
		return "", err
	}
	jdk, err := identity(&r)
	if err != nil {
		return "", &aot.Error{Class: aot.ClassTool, Reason: "what runs the function cannot be read", Err: err}
	}
	return hash("key", b.machine, jdk, string(req.Revision.ID), r.Paths.Runtime, r.Paths.Client), nil
}

// identity is that of the JDK or interpreter that runs a function.
func identity(r *launch.Request) (string, error) {
	if program := r.Paths.Interpreter.Program; program != "" {
		file, err := aot.Look(program)
		return fmt.Sprintf("%s %d %d", program, file.Size, file.Time), err
	}
	return aot.JDKIdentity(r.Paths.JDK.Home)
}

func hash(parts ...string) aot.Key {
	doc, err := json.Marshal(parts)
	if err != nil {
		panic(err) // of strings
	}
	sum := sha256.Sum256(doc)
	return aot.Key(hex.EncodeToString(sum[:]))
}

func (b *Builder) request(ctx context.Context, req *aot.Request) (launch.Request, error) {
	r, err := b.opts.Request(ctx, req.Revision)
	if err != nil {
		return r, &aot.Error{Class: aot.ClassTool, Reason: "the function cannot be started here", Err: err}
	}
	r.Rung = req.Rung
	return r, nil
}

// Lookup implements aot.Builder.
func (b *Builder) Lookup(key aot.Key) (*aot.Result, bool) {
	r, ok := b.store.Lookup(key, fitName)
	if !ok {
		return nil, false
	}
	f, err := readFit(r.Dir)
	return r, err == nil && f.Machine == b.machine && f.intact(r.Dir) == nil
}

// Drop implements aot.Builder.
func (b *Builder) Drop(key aot.Key) error { return b.store.Remove(key) }

// Private implements aot.Private.
func (b *Builder) Private() ([]aot.Key, error) { return b.store.Keys() }

// Check reports why the snapshot in a folder must not be restored for a worker that is to be started so; the error wraps
// aot.ErrStale.
func (b *Builder) Check(dir string, r *launch.Request) error {
	f, err := readFit(dir)
	if err == nil && f.Machine != b.machine {
		err = errors.New("it was made on another kernel or processor")
	}
	if err == nil && f.Revision != r.Revision.ID {
		err = errors.New("it is another revision's")
	}
	if err == nil {
		var jdk string
		if jdk, err = identity(r); err == nil && jdk != f.JDK {
			err = errors.New("it was made with another JDK or interpreter")
		}
	}
	if err == nil {
		var driver string
		if driver, err = b.driver(r.Revision); err == nil && driver != f.Driver {
			err = fmt.Errorf("it is a worker's of the driver %q, and its workers have %q now", f.Driver, driver)
		}
	}
	if err == nil {
		err = f.intact(dir)
	}
	if err != nil {
		return fmt.Errorf("%w: %s", aot.ErrStale, err)
	}
	return nil
}

// driver is the name of the one that makes a revision's workers.
func (b *Builder) driver(rev *function.Spec) (string, error) {
	d, err := worker.DriverOf(b.opts.Driver, rev)
	if err != nil {
		return "", err
	}
	return d.Name(), nil
}

func readFit(dir string) (*fit, error) {
	b, err := os.ReadFile(filepath.Join(dir, fitName))
	if err != nil {
		return nil, errors.New("it is not there")
	}
	f := new(fit)
	if err := json.Unmarshal(b, f); err != nil {
		return nil, errors.New("what it fits cannot be read")
	}
	return f, nil
}

func (f *fit) intact(dir string) error {
	for name, size := range f.Files {
		st, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || !st.Mode().IsRegular() || st.Size() != size {
			return fmt.Errorf("it is damaged: %s", name)
		}
	}
	return nil
}

// Build implements aot.Builder.
func (b *Builder) Build(ctx context.Context, req *aot.Request) (*aot.Result, error) {
	if req.Limits.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, req.Limits.Time)
		defer cancel()
	}
	began := time.Now()
	r, err := b.build(ctx, req, began)
	var known *aot.Error
	switch {
	case err == nil:
		return r, nil
	case errors.As(err, &known):
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		known = &aot.Error{Class: aot.ClassTime, Reason: fmt.Sprintf("the snapshot took longer than %s to make", req.Limits.Time), Err: err}
	case ctx.Err() != nil:
		known = keep.Cancelled(ctx.Err())
	default:
		known = classify(err)
	}
	known.Cost.Wall = time.Since(began)
	return nil, known
}

// classify says whose fault it was that no worker was saved.
func classify(err error) *aot.Error {
	var unsaved *worker.SnapshotError
	var start *worker.StartError
	switch {
	case errors.As(err, &unsaved):
		return &aot.Error{Class: aot.ClassUser, Reason: "a worker of the function cannot be saved: " + unsaved.Reason, Err: err}
	case errors.As(err, &start) && start.Phase != "sandbox":
		return &aot.Error{Class: aot.ClassTool, Reason: "the worker to be saved did not start: " + start.Err.Error(), Err: err}
	}
	return &aot.Error{Class: aot.ClassTool, Reason: err.Error(), Err: err}
}

func (b *Builder) build(ctx context.Context, req *aot.Request, began time.Time) (*aot.Result, error) {
	r, err := b.request(ctx, req)
	if err != nil {
		return nil, err
	}
	jdk, err := identity(&r)
	if err != nil {
		return nil, fmt.Errorf("read what runs the function: %w", err)
	}
	driver, err := b.driver(req.Revision)
	if err != nil {
		return nil, err
	}
	scratch, err := b.store.Scratch()
	if err != nil {
		return nil, err
	}
	defer func() { _ = scratch.Remove() }()
	dir := filepath.Join(scratch.Dir, "snapshot")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	progress := func(phase string) {
		if req.Progress != nil {
			req.Progress(phase)
		}
	}

	progress("start")
	r.ID, r.Save, r.Now = ulid.Make().String(), true, time.Now()
	spec, err := launch.Worker(r)
	if err != nil {
		return nil, &aot.Error{Class: aot.ClassUser, Reason: err.Error(), Err: err}
	}
	spec.Output = req.Log
	w, err := b.opts.Driver.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		return w.Stop(context.WithoutCancel(ctx), 0)
	}
	defer func() { _ = stop() }()
	s, ok := w.(worker.Snapshotter)
	if !ok {
		return nil, errors.New("this driver saves no workers")
	}
	if req.Exercise != nil {
		progress("answer")
		if err := req.Exercise(ctx, w); err != nil {
			return nil, err
		}
	}
	progress("save")
	if err := s.Snapshot(ctx, dir); err != nil {
		return nil, err
	}
	var cost aot.Cost
	if c, ok := w.(worker.Clocker); ok {
		cost.CPU = c.CPU()
	}
	if p, ok := w.(worker.Peaker); ok {
		cost.PeakRSS = p.Peak()
	}
	if err := stop(); err != nil {
		return nil, err
	}

	progress("keep")
	f := &fit{Machine: b.machine, Revision: req.Revision.ID, JDK: jdk, Driver: driver, Files: map[string]int64{}}
	if cost.Size, err = f.measure(dir); err != nil {
		return nil, err
	}
	doc, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, fitName), doc, 0o600); err != nil {
		return nil, err
	}
	cost.Wall = time.Since(began)
	result := &aot.Result{Key: hash("snapshot", r.ID), Cost: cost}
	if err := b.store.Publish(result.Key, dir, result); err != nil {
		return nil, err
	}
	return result, nil
}

// measure notes the sizes of all files, and returns what they take of the disk.
func (f *fit) measure(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		f.Files[rel] = info.Size()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += st.Blocks * 512
		}
		return err
	})
	return sum, err
}
