// Package process is the driver whose sandboxes are processes of the host: in namespaces of
// their own, on a read-only root, without privileges, under a system call filter and control
// group limits. docs/sandbox.md says what that protects from and what it does not.
//
// There is no helper inside: the Runtime API is served by this process on a socket that was made
// in the sandbox's network, and a web function's port is dialled the same way. It must not know why a
// worker is started or stopped, nor what runs in it.
package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"
	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/cgroup"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/worker"
	"github.com/cloudjit/cloudjit/internal/worker/process/script"
)

// Options of the driver. Only Dir is needed.
type Options struct {
	// Dir is the folder of this driver alone, inside the server's data folder. Two servers with
	// different folders do not touch each other's workers.
	Dir string
	// ShareNetwork gives workers the host's network: they reach what the host reaches, its
	// loopback services included. Weaker; for functions that must call out.
	ShareNetwork bool
	// Users are the host's for workers when the server is root: those of each function have one of their own, so
	// that none can use up what the kernel counts by user. Zero: DefaultUsers. Without root workers run as the
	// server's own user.
	Users Users
	// CRIU is a folder that CRIU lies in as distributions lay it out ("/" is the system's own); with it workers can
	// be saved and restored. Empty: they cannot, for the reason NoCRIU.
	CRIU, NoCRIU string
	// SnapshotKey of KeySize bytes encrypts what is saved of workers; nil: it is not encrypted.
	SnapshotKey []byte
	// Rootless makes a server that is root do as if it were not. For tests.
	Rootless bool
}

// Driver is a worker.Driver.
type Driver struct {
	options      Options
	prefix       string // of the names of control groups
	base         plan   // what all sandboxes have in common
	caps         worker.Capabilities
	groups       bool     // whether workers get a control group at all
	limitPC      bool     // ... with a limit of processes
	freezes      bool     // ... and with a freezer; otherwise workers are paused by signals
	weights      bool     // ... and with a part of the processors by their memory
	idles        bool     // ... or with what nothing else wants of them
	weaker       []string // of sandboxes, whatever runs in them
	sink         *os.File
	marks        string // the folder of marks; empty where control groups say which workers there are
	spawner      *script.Spawner
	yielding     yielding
	birth        sync.Mutex // held from a child's clone to its execve
	criu         criu
	leastRun     uint64             // pages that copies of a saved worker share; neverShare: they share none
	sealer       *subtle.AESGCMHKDF // nil: saved workers are not encrypted
	memory       memory             // for caches, and for what is encrypted; none where workers cannot be saved
	kernel       []byte             // what CRIU found out about the kernel, as root
	firstProgram *os.File

	mu      sync.Mutex
	closed  bool
	workers map[*handle]struct{}
	tenants map[string]*tenant
	users   *users // nil without root
	starts  sync.WaitGroup
}

// New prepares a driver: what the machine can do is found out here.
func New(o Options) (*Driver, error) {
	if o.Dir == "" {
		return nil, errors.New("open process driver: no folder given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open process driver: %w", err)
	}
	d := &Driver{options: o, prefix: prefixOf(dir), workers: map[*handle]struct{}{}, tenants: map[string]*tenant{}}
	d.base = plan{
		privileged: os.Geteuid() == 0 && !o.Rootless && capable(), userNS: userNamespaces(),
		shareNet: o.ShareNetwork,
		staging:  filepath.Join(dir, "root"), etc: filepath.Join(dir, "etc"), system: systemDirs(),
	}
	if !d.base.privileged {
		d.base.uid, d.base.gid, d.base.userNS = os.Geteuid(), os.Getegid(), true
	} else {
		uidMap, err := os.ReadFile("/proc/self/uid_map")
		if err != nil {
			return nil, fmt.Errorf("open process driver: %w", err)
		}
		locks := lockFolder
		if os.MkdirAll(locks, 0o755) != nil { // /run is read-only here: then only this driver knows of its users
			locks = filepath.Join(dir, "users")
		}
		if d.users, err = newUsers(o.Users, locks, string(uidMap), os.ReadFile); err != nil {
			return nil, fmt.Errorf("open process driver: %w", err)
		}
	}
	if err := os.MkdirAll(d.base.staging, 0o755); err != nil {
		return nil, fmt.Errorf("open process driver: %w", err)
	}
	if err := makeEtc(d.base.etc, o.ShareNetwork); err != nil {
		return nil, fmt.Errorf("open process driver: %w", err)
	}
	if d.sink, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
		return nil, fmt.Errorf("open process driver: %w", err)
	}
	d.spawner = script.NewSpawner()
	d.base.files = maxFiles
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err == nil && own.Max < maxFiles {
		d.base.files = own.Max
	}
	d.base.views, d.base.nodes = d.can(tryView), d.base.privileged && d.can(tryNode)
	if b, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		d.base.inner = mountPoints(string(b))
	}
	if d.base.filter, err = filter(!d.base.views); err != nil {
		return nil, fmt.Errorf("open process driver: %w", err)
	}
	d.look()
	if !d.groups {
		if d.marks, err = marksFolder(dir, d.prefix); err != nil {
			return nil, fmt.Errorf("open process driver: %w", err)
		}
	}
	d.weaker = slices.Clone(d.caps.Weaker)
	if err := d.lookAtCRIU(); err != nil {
		d.caps.Weaker = append(d.caps.Weaker, fmt.Sprintf("Workers cannot be saved and restored (%v).", err))
	}
	if o.SnapshotKey != nil {
		if d.sealer, err = sealer(o.SnapshotKey); err != nil {
			return nil, fmt.Errorf("open process driver: %w", errors.Join(err, d.Close()))
		}
		d.leastRun = neverShare
	}
	return d, nil
}

// prefixOf begins the names of what the driver in a folder has outside of it.
func prefixOf(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "cloudjit-" + hex.EncodeToString(sum[:6]) + "-"
}

// maxFiles is how many descriptors each process of a sandbox may have.
const maxFiles = 4096

// can tries something that a sandbox would be made with.
func (d *Driver) can(try func(*builder)) bool {
	d.birth.Lock()
	defer d.birth.Unlock()
	p := d.base
	started, err := d.spawner.Start(p.trial(try), script.Options{Flags: p.flags()})
	if err != nil {
		return false
	}
	code, _, _ := newChild(started.PID, started.PidFD).wait()
	return code == 0 && started.Ended() == nil
}

// look finds out what the machine enforces.
func (d *Driver) look() {
	d.caps.Isolated = !d.options.ShareNetwork
	weaker := func(s string) { d.caps.Weaker = append(d.caps.Weaker, s) }
	try := func(l cgroup.Limits, look func(*cgroup.Group)) error {
		g, err := cgroup.New(d.prefix+"probe", l)
		if err != nil {
			return err
		}
		if look != nil {
			look(g)
		}
		return g.Remove()
	}
	if err := try(cgroup.Limits{}, func(g *cgroup.Group) {
		d.freezes = g.Freeze() == nil && g.Thaw() == nil
		d.idles = g.Idle(true) == nil && g.Idle(false) == nil
	}); err != nil {
		weaker(fmt.Sprintf("There are no control groups for workers, so neither memory nor CPU time is limited (%v). Run as root, or delegate a group (systemd: Delegate=yes).", err))
	} else {
		d.groups = true
		if err := try(cgroup.Limits{Memory: 64 << 20}, func(g *cgroup.Group) { d.caps.SocketLimit = g.SocketsBounded() }); err != nil {
			weaker(fmt.Sprintf("The memory of workers is not limited (%v).", err))
		} else {
			d.caps.MemoryLimit = true
			if !d.caps.SocketLimit {
				weaker("The buffers of a worker's sockets are not counted with its memory: the kernel does not do so (version 2: started with cgroup.memory=nosocket; version 1: no memory.kmem.tcp).")
			}
		}
		if err := try(cgroup.Limits{CPUs: 1}, nil); err != nil {
			weaker(fmt.Sprintf("The CPU time of workers is not limited (%v).", err))
		} else {
			d.caps.CPULimit = true
		}
		d.limitPC = try(cgroup.Limits{PIDs: 16}, nil) == nil
		d.weights = try(cgroup.Limits{Weight: 2}, nil) == nil
	}
	if !d.freezes {
		weaker("There is no freezer for workers, so idle ones are paused by signals, and not counted in CPU time as exactly.")
	}
	if !d.base.privileged {
		weaker("The server is not root, so workers run as its own user, in a user namespace that owns theirs: what the kernel counts by user (inotify instances, message queues, pipes, signals, locked memory) one function can take from all others.")
	} else if !d.base.userNS {
		weaker("User namespaces are turned off here (user.max_user_namespaces), so workers are in the host's.")
	}
	if !d.base.views {
		weaker("There are no overlays here, so workers see the host's own files: they may not watch any (inotify fails with ENOSYS), but one that locks a file (flock) locks it for all.")
	}
	if !d.base.nodes {
		weaker("Device nodes cannot be made here, so workers have the host's /dev/null and its like: one that locks or watches them does so for all.")
	}
	if d.base.files < maxFiles {
		weaker(fmt.Sprintf("The server may have %d descriptors only (ulimit -Hn), and each of a worker's processes no more: want %d.", d.base.files, maxFiles))
	}
	if d.options.ShareNetwork {
		weaker("Workers share the host's network by configuration: they reach its loopback services.")
	}
}

// capable says whether the process may make namespaces (CAP_SYS_ADMIN), which root in a container may not.
func capable() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

func userNamespaces() bool {
	b, err := os.ReadFile("/proc/sys/user/max_user_namespaces")
	if err != nil {
		return false
	}
	return strings.TrimSpace(string(b)) != "0"
}

// Name implements worker.Driver.
func (d *Driver) Name() string { return "process" }

// Capabilities implements worker.Driver.
func (d *Driver) Capabilities() worker.Capabilities { return d.caps }

// Probe runs the shell in a sandbox.
func (d *Driver) Probe(ctx context.Context) error {
	spec := worker.Spec{ID: "probe-" + time.Now().Format("150405.000000"), Path: "/bin/sh", Args: []string{"-c", "exit 42"}, Dir: "/"}
	spec.Revision = &function.Spec{Kind: function.KindProvided}
	_, err := d.Start(ctx, spec)
	var failed *worker.StartError
	if errors.As(err, &failed) && failed.Exit != nil && failed.Exit.Code == 42 {
		return nil
	}
	return fmt.Errorf("probe process driver: %w (it needs Linux 5.12 or newer, and root or unprivileged user namespaces)", err)
}

// Start implements worker.Driver.
func (d *Driver) Start(ctx context.Context, spec worker.Spec) (worker.Worker, error) {
	if !d.enter() {
		return nil, worker.ErrClosed
	}
	defer d.starts.Done()
	began := time.Now()
	if err := ctx.Err(); err != nil {
		return nil, &worker.StartError{Phase: "sandbox", Err: err}
	}
	if !spec.Trial {
		defer d.yielding.begin()()
	}
	if spec.Restore != "" && d.sealer != nil {
		clear, err := d.unseal(&spec)
		if err != nil {
			return nil, &worker.StartError{Phase: "sandbox", Err: fmt.Errorf("%w: %w", worker.ErrNotRestored, err)}
		}
		defer os.RemoveAll(clear) // it runs by then, or never will
		spec.Restore = clear
	}
	h, err := d.launch(ctx, spec, false, began)
	if err != nil {
		return nil, err
	}
	if err := h.ready(ctx); err != nil {
		h.stop()
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

// plan is the plan of one worker, all but its descriptors.
func (d *Driver) plan(spec *worker.Spec) (plan, error) {
	p := d.base
	p.dir, p.path = spec.Dir, spec.Path
	if p.dir == "" {
		p.dir = "/"
	}
	if !path.IsAbs(p.path) {
		return plan{}, fmt.Errorf("command %q is no absolute path", p.path)
	}
	p.argv = append([]string{p.path}, spec.Args...)
	p.tmpMiB = worker.First(spec.Limits.TmpMiB, spec.Revision.TmpMiB, worker.DefaultTmpMiB)
	if !d.limitPC {
		p.pids = worker.First(spec.Limits.PIDs, worker.DefaultPIDs)
	}
	for _, m := range spec.Mounts {
		source, dir, err := m.Look()
		if err != nil {
			return plan{}, err
		}
		p.mounts = append(p.mounts, bind{source: source, target: m.Target, dir: dir})
	}
	folders, err := worker.Bounded(spec.Folders)
	if err != nil {
		return plan{}, err
	}
	for _, f := range folders {
		p.folders = append(p.folders, tmpfs{target: f.Target, mib: f.MiB, files: f.Files})
	}
	return p, nil
}

// A worker's part of the processors goes with its memory, as on AWS Lambda (worker.VCPUMiB). It counts only while others want
// them too. A group has 1024 by default, and so has each process of the host that is in none: with much less a
// worker or a build would stand still on a machine that also does something else. 128 MiB have 593.
const (
	vcpuWeight = 8 * 1024
	// jobWeight is that of a worker with 221 MiB, and of one process of the host, for jobs that cannot run aside: a build has some threads
	// that compute all the time, and with less it would not end on a machine that also does something else. A group that is not idle any more
	// has it, too.
	jobWeight = 1024
	// trialPart is how many times less than a worker a trial has, which nobody waits for.
	trialPart = 3
)

// weight is the part of a worker with so much memory, MiB; none is said of what has no limit.
func weight(mib int) int {
	if mib <= 0 {
		return 0
	}
	return max(2, (mib*vcpuWeight+worker.VCPUMiB/2)/worker.VCPUMiB)
}

// group makes the worker's control group, nil if there are none.
func (d *Driver) group(spec *worker.Spec, job bool) (*cgroup.Group, error) {
	if !d.groups {
		return nil, nil
	}
	var l cgroup.Limits
	if d.caps.MemoryLimit {
		l.Memory = int64(worker.First(spec.Limits.MemoryMiB, spec.Revision.MemoryMiB)) << 20
	}
	if d.caps.CPULimit {
		l.CPUs = spec.Limits.CPUs
	}
	if d.limitPC {
		l.PIDs = worker.First(spec.Limits.PIDs, worker.DefaultPIDs)
	}
	if d.weights {
		l.Weight = weight(spec.Revision.MemoryMiB)
		switch {
		case job:
			l.Weight = jobWeight
		case spec.Trial:
			l.Weight /= trialPart
		}
	}
	return cgroup.New(d.prefix+spec.ID, l)
}

// Clean implements worker.Driver.
func (d *Driver) Clean(context.Context) (int, error) {
	d.mu.Lock()
	mine := map[string]bool{}
	for h := range d.workers {
		mine[h.spec.ID] = true
	}
	d.mu.Unlock()
	found := map[string]bool{}
	err := cgroup.Clean(d.prefix, func(name string) bool {
		id := strings.TrimPrefix(name, d.prefix)
		if mine[id] {
			return false
		}
		found[id] = true
		return true
	})
	marks, folders := marksLeft(d.options.Dir, d.prefix)
	for _, m := range marks {
		if id := filepath.Base(m); !mine[id] {
			endMarked(m)
			found[id] = true
		}
	}
	for _, folder := range folders {
		if folder != d.marks {
			_ = os.Remove(folder) // if nothing is left in it
		}
	}
	if err != nil {
		return len(found), fmt.Errorf("clean workers: %w", err)
	}
	return len(found), nil
}

// mark writes down what process a worker is.
func (d *Driver) mark(id string, pid int) error {
	if d.marks == "" {
		return nil
	}
	return writeMark(filepath.Join(d.marks, id), pid)
}

func (d *Driver) unmark(id string) {
	if d.marks != "" {
		_ = os.Remove(filepath.Join(d.marks, id))
	}
}

// Close implements worker.Driver.
func (d *Driver) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	for _, h := range d.alive() {
		h.stop()
	}
	d.starts.Wait()
	var errs []error
	for _, h := range d.alive() {
		errs = append(errs, h.Stop(context.Background(), 0))
	}
	d.spawner.Close()
	if d.users != nil {
		d.users.close()
	}
	_ = d.sink.Close()
	if d.marks != "" {
		_ = os.Remove(d.marks) // where a mark is left, the next driver ends what it names
	}
	if d.firstProgram != nil {
		_ = d.firstProgram.Close()
		_ = d.memory.close()
	}
	if err := os.Remove(d.base.staging); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, fmt.Errorf("close process driver: %w", err))
	}
	return errors.Join(errs...)
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
