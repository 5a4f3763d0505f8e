package process

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cloudjit/cloudjit/internal/worker"
)

var _ worker.Snapshotter = (*handle)(nil)

// saved is what the handle of a worker keeps that can be saved, or was restored.
type saved struct {
	plan  *plan
	pipes [2]uint64 // the numbers of the pipes that it writes to
	log   *tool     // CRIU's, of a restored one
	// changed is what of the environment of a restored one is otherwise than in the one that was saved.
	changed []string
	// learn: what it has needed to the end of its first invocation is to be kept.
	learn atomic.Bool

	mu      sync.Mutex
	runtime int // the worker's number outside; 0: not looked for yet
}

// manifest is the file beside CRIU's images that says what the driver must know of them.
type manifest struct {
	Version int `json:"version"`
	// Stdout and Stderr are the numbers that the pipes had.
	Stdout uint64 `json:"stdout"`
	Stderr uint64 `json:"stderr"`
	// Env is the environment that it was started with.
	Env []string `json:"env"`
	// Shared: copies have memory of the file memoryName.
	Shared bool `json:"shared,omitempty"`
	// Needed is what a copy needs of files until it is ready.
	Needed pieces `json:"needed,omitempty"`
}

const (
	manifestName    = "sandbox.json"
	manifestVersion = 1
)

// save plans what a worker needs that can be saved, or is restored; nothing for others.
func (d *Driver) save(spec *worker.Spec, p *plan, h *handle, stdout, stderr *os.File, inherited, undo *closers) error {
	if !spec.Savable && spec.Restore == "" {
		return nil
	}
	if !d.caps.Snapshot {
		return errors.New("workers cannot be saved here")
	}
	p.savable = true
	var err error
	if p.second, err = d.secondUser(h.tenant); err != nil {
		return err
	}
	p.saving.first = int(d.firstProgram.Fd())
	h.saved = &saved{plan: p}
	for i, f := range []*os.File{stdout, stderr} {
		var st unix.Stat_t
		if err := unix.Fstat(rawFD(f), &st); err != nil {
			return fmt.Errorf("look at output: %w", err)
		}
		h.saved.pipes[i] = st.Ino
		// CRIU, who is not their owner, opens them again.
		if err := unix.Fchmod(rawFD(f), 0o666); err != nil {
			return fmt.Errorf("open output: %w", err)
		}
	}
	var ends [3][2]*os.File
	for i := range ends {
		r, w, err := os.Pipe()
		if err != nil {
			return fmt.Errorf("make pipes: %w", err)
		}
		ends[i] = [2]*os.File{r, w}
		inherited.add(w.Close)
		if i < 2 {
			inherited.add(r.Close)
		} else {
			undo.add(r.Close)
		}
	}
	p.exists = pipe{rawFD(ends[0][0]), rawFD(ends[0][1])}
	p.shown = pipe{rawFD(ends[1][0]), rawFD(ends[1][1])}
	p.status = rawFD(ends[2][1])
	h.status = ends[2][0]
	if spec.Restore == "" {
		p.kernel = d.kernel
		return nil
	}

	m, err := readManifest(spec.Restore)
	if err == nil && m.Version != manifestVersion {
		err = fmt.Errorf("it is of version %d, and %d is known", m.Version, manifestVersion)
	}
	if err == nil {
		err = give(spec.Restore, p.second)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", worker.ErrNotRestored, err)
	}
	for _, variable := range spec.Env {
		if !slices.Contains(m.Env, variable) {
			h.saved.changed = append(h.saved.changed, variable)
		}
	}
	h.saved.learn.Store(m.Shared && d.sealer == nil && !spec.Trial && !neededKnown(spec.Restore))
	if m.Shared {
		p.mounts = append(p.mounts, bind{source: filepath.Join(spec.Restore, memoryName), target: memoryPath})
	}
	cache, err := d.cache(p.second)
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	p.restore = &restoring{criu: d.criu, dir: spec.Restore, stdout: m.Stdout, stderr: m.Stderr}
	for dir, to := range map[string]*int{d.criu.dir: &p.restore.tools, spec.Restore: &p.restore.images, cache: &p.restore.cache, d.memory.path(librariesName): &p.restore.libraries} {
		f, err := os.Open(dir)
		if err != nil {
			return fmt.Errorf("read snapshot: %w", err)
		}
		inherited.add(f.Close)
		*to = rawFD(f)
	}
	h.saved.log, err = newTool(inherited)
	if err == nil {
		p.restore.log = rawFD(h.saved.log.write)
	}
	return err
}

// give makes uid the owner of a folder and of the files in it, and nobody else may read them.
func give(dir string, uid int) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if int(st.Uid) == uid {
		return nil
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := os.Lchown(filepath.Join(dir, e.Name()), uid, uid); err != nil {
			return err
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	return os.Lchown(dir, uid, uid) // last: it says that all is done
}

// cache is a folder for what CRIU finds out about the kernel at its first start as user 0 of a sandbox, where it restores workers:
// that takes it 30 ms. It is in memory, where alone CRIU keeps that. The first user (the self-test's) fills it; from then on all
// may read it, and nobody write.
func (d *Driver) cache(uid int) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := d.memory.path(cacheName)
	if _, err := os.Stat(filepath.Join(dir, kernelFile)); err == nil {
		return dir, errors.Join(os.Chmod(filepath.Join(dir, kernelFile), 0o644), os.Lchown(dir, 0, 0))
	}
	return dir, os.Lchown(dir, uid, uid)
}

const (
	// kernelFile is what CRIU leaves in its cache.
	kernelFile = "criu.kdat"
	cacheName  = "criu"
	// librariesName is the folder of those that CRIU finds before its own when it restores a worker.
	librariesName = "libraries"
)

// mapUsers gives the sandbox its two users.
func (p *plan) mapUsers() error {
	for _, f := range []struct {
		name        string
		zero, other int
	}{{"uid_map", p.second, p.uid}, {"gid_map", p.second, p.gid}} {
		text := fmt.Sprintf("0 %d 1\n%d %d 1\n", f.zero, insideUID, f.other)
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", p.user, f.name), []byte(text), 0); err != nil {
			return fmt.Errorf("map users: %w", err)
		}
	}
	if p.restore != nil {
		return p.giveFiles(p.restore.dir)
	}
	return nil
}

// adopt makes the first process the handle's child, and reaps those that only made the sandbox.
func (h *handle) adopt(p *plan) error {
	h.child.wait()
	h.child = &child{}
	if p.user > 0 {
		var ws unix.WaitStatus
		_, _ = unix.Wait4(int(p.user), &ws, 0, nil)
	}
	if p.init == 0 {
		return errors.New("make sandbox: there is no first process")
	}
	fd, err := unix.PidfdOpen(int(p.init), 0)
	if err != nil {
		return fmt.Errorf("find the first process: %w", err)
	}
	h.child = newChild(int(p.init), fd)
	h.child.status = h.status
	return nil
}

// runtime is the number, outside, of the process that runs the function; it may have ended.
func (h *handle) runtime() int {
	if h.saved == nil {
		return h.child.pid
	}
	s := h.saved
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runtime == 0 {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", h.child.pid, h.child.pid))
		for f := range bytes.FieldsSeq(b) {
			pid, err := strconv.Atoi(string(f))
			if err == nil && innerPID(pid) == workerPID {
				s.runtime = pid
			}
		}
	}
	return s.runtime
}

// innerPID is the number of a process in its own namespace, 0 if it is not known.
func innerPID(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(list)
			n, _ := strconv.Atoi(f[len(f)-1])
			return n
		}
	}
	return 0
}

// terminate asks the process that runs the function to end.
func (h *handle) terminate(pid int) {
	if h.saved == nil {
		h.child.kill(unix.SIGTERM)
		return
	}
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		if innerPID(pid) == workerPID { // and not another one that has got the number
			_ = unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0)
		}
		_ = unix.Close(fd)
	}
}

func (s *saved) explain(err error) error {
	if s.log == nil {
		return err
	}
	if tail := s.log.said(); tail != "" {
		return fmt.Errorf("%w; CRIU: %s", err, tail)
	}
	return err
}

func (s *saved) close() {
	if s.log != nil {
		s.log.close()
	}
}

// tool is the end of what a program says.
type tool struct {
	read, write *os.File
	done        chan struct{}
	mu          sync.Mutex
	tail        []byte
}

func newTool(inherited *closers) (*tool, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipes: %w", err)
	}
	inherited.add(w.Close)
	t := &tool{read: r, write: w, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		buf := make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			t.mu.Lock()
			t.tail = append(t.tail, buf[:n]...)
			t.tail = t.tail[max(0, len(t.tail)-2048):]
			t.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return t, nil
}

func (t *tool) said() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(string(t.tail)), " ")
}

func (t *tool) close() {
	_ = t.read.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	<-t.done
	_ = t.read.Close()
}

// dumpTime is how long saving a worker may take.
const dumpTime = 90 * time.Second

// Snapshot implements worker.Snapshotter.
func (h *handle) Snapshot(ctx context.Context, dir string) error {
	if h.saved == nil || h.spec.Restore != "" {
		return errors.New("save worker: its sandbox was not made for it")
	}
	ctx, cancel := context.WithTimeout(ctx, dumpTime)
	defer cancel()
	if h.ended() {
		return &worker.SnapshotError{Reason: "it has ended"}
	}
	if h.driver.sealer != nil {
		return h.driver.sealSnapshot(dir, &h.spec, func(dir string) error { return h.snapshot(ctx, dir) })
	}
	return h.snapshot(ctx, dir)
}

// snapshot fills dir.
func (h *handle) snapshot(ctx context.Context, dir string) error {
	if h.web != nil {
		h.web.Close() // its copies would have connections that nobody holds the other end of
	}
	if h.spec.Announce {
		if err := h.process().Announce(ctx, announceTime); err != nil {
			return err
		}
		defer h.api.Restore()
	}
	if err := h.keepFiles(dir); err != nil {
		return err
	}
	relies, err := reliesOnZeros(h.runtime())
	if err != nil {
		return fmt.Errorf("save worker: %w", err)
	}
	if err := h.dump(ctx, dir); err != nil {
		return err
	}
	if err := ownNamespace(dir); err != nil {
		return fmt.Errorf("save worker: %w", err)
	}
	shared := false
	if h.driver.leastRun != neverShare && !relies {
		if shared, err = share(dir, h.driver.leastRun); err != nil {
			return fmt.Errorf("save worker: %w", err)
		}
	}
	m := manifest{Shared: shared, Version: manifestVersion, Stdout: h.saved.pipes[0], Stderr: h.saved.pipes[1], Env: h.spec.Env}
	if err := errors.Join(m.write(dir), private(dir)); err != nil {
		return fmt.Errorf("save worker: %w", err)
	}
	if shared && h.spec.Announce {
		// That a copy does not start is for the check of the snapshot to find.
		if m.Needed, err = h.rehearse(ctx, dir); err == nil {
			err = m.write(dir)
		}
		if err != nil && ctx.Err() != nil {
			return fmt.Errorf("save worker: %w", err)
		}
	}
	return nil
}

func readManifest(dir string) (m manifest, err error) {
	b, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	return m, err
}

func (m *manifest) write(dir string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestName), b, 0o600)
}

// private takes from all others the images, which CRIU lets them read.
func private(dir string) error {
	list, err := os.ReadDir(dir)
	for _, e := range list {
		if e.Type().IsRegular() {
			err = errors.Join(err, os.Chmod(filepath.Join(dir, e.Name()), 0o600))
		}
	}
	return err
}

// announceTime is how long the runtime may take to get ready to be saved: it looks through its memory, and hooks of the
// function's run.
const announceTime = time.Minute

// savedFolders are the folders whose files are not in CRIU's images, since mounts are not saved.
var savedFolders = []string{"tmp", "dev/shm"}

// maxSavedFiles is how much of them is saved, in bytes each.
const maxSavedFiles = 64 << 20

// savedFiles is the folder beside the images with the files of one of savedFolders.
func savedFiles(dir, name string) string {
	return filepath.Join(dir, "files-"+strings.ReplaceAll(name, "/", "-"))
}

// keepFiles copies what the worker has in memory as files.
func (h *handle) keepFiles(dir string) error {
	for _, name := range savedFolders {
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/root/%s", h.runtime(), name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &worker.SnapshotError{Reason: "it has ended"}
		}
		to := savedFiles(dir, name)
		if err = os.Mkdir(to, 0o700); err == nil {
			err = keepAll(fd, to)
		}
		_ = unix.Close(fd)
		var refused *worker.KeepError
		if errors.As(err, &refused) {
			return &worker.SnapshotError{Reason: fmt.Sprintf("in its /%s %q %s", name, refused.Name, refused.Reason)}
		}
		if err != nil {
			return fmt.Errorf("save worker: %w", err)
		}
	}
	return nil
}

func keepAll(fd int, to string) error {
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	k := keeper{to: root, room: maxSavedFiles, all: true}
	return k.folder(fd, "", 0)
}

// giveFiles puts the files into a sandbox in which nothing runs yet.
func (p *plan) giveFiles(from string) error {
	for _, name := range savedFolders {
		source := savedFiles(from, name)
		list, err := os.ReadDir(source)
		if err != nil || len(list) == 0 {
			continue
		}
		root, err := os.OpenRoot(fmt.Sprintf("/proc/%d/root/%s", p.user, name))
		if err != nil {
			return fmt.Errorf("restore /%s: %w", name, err)
		}
		err = filepath.WalkDir(source, func(path string, e fs.DirEntry, err error) error {
			rel := strings.TrimPrefix(strings.TrimPrefix(path, source), "/")
			if err != nil || rel == "" {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			if e.IsDir() {
				err = root.Mkdir(rel, 0o755)
			} else {
				var b []byte
				if b, err = os.ReadFile(path); err == nil {
					err = root.WriteFile(rel, b, info.Mode().Perm())
				}
			}
			return errors.Join(err, root.Lchown(rel, p.uid, p.gid))
		})
		if err = errors.Join(err, root.Close()); err != nil {
			return fmt.Errorf("restore /%s: %w", name, err)
		}
	}
	return nil
}

// dump lets CRIU write the images. It runs in the worker's namespaces, but as the host's root: the one step in which
// a privileged process handles one that is not trusted.
func (h *handle) dump(ctx context.Context, dir string) error {
	d, p := h.driver, h.saved.plan
	var inherited closers
	defer inherited.close()
	pid := h.runtime()
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return &worker.SnapshotError{Reason: "it has ended"}
	}
	inherited.add(func() error { return unix.Close(pidfd) })
	if innerPID(pid) != workerPID {
		return &worker.SnapshotError{Reason: "it has ended"}
	}
	r := &restoring{criu: d.criu}
	// As root CRIU looks for its cache in /run alone (saving.kernel).
	for name, to := range map[string]*int{d.criu.dir: &r.tools, dir: &r.images, d.memory.path(cacheName): &r.cache} {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("save worker: %w", err)
		}
		inherited.add(f.Close)
		*to = rawFD(f)
	}
	log, err := newTool(&inherited)
	if err != nil {
		return fmt.Errorf("save worker: %w", err)
	}
	defer log.close()
	r.log = rawFD(log.write)

	var running int32
	b := &builder{plan: &plan{sink: p.sink, saving: saving{restore: r}}}
	b.Do("enter the sandbox", unix.SYS_SETNS, pidfd, unix.CLONE_NEWNS|unix.CLONE_NEWNET|unix.CLONE_NEWIPC|unix.CLONE_NEWUTS|unix.CLONE_NEWCGROUP|unix.CLONE_NEWPID)
	b.Store(b.Fork("make the process of CRIU", unix.CLONE_PARENT, func() {
		// prlimit(2) of the worker's threads, without CAP_SYS_RESOURCE in its namespace, compares real users.
		b.Do("leave all groups", unix.SYS_SETGROUPS, 0, 0)
		b.Do("have the worker's group", unix.SYS_SETRESGID, p.gid, -1, -1)
		b.Do("have the worker's user", unix.SYS_SETRESUID, p.uid, -1, -1)
		b.dumpable()
		b.execCRIU("dump", "--tree", strconv.Itoa(workerPID), "--tcp-close", "--skip-in-flight", "--network-lock", "skip", "--leave-running",
			"--external", fmt.Sprintf("pipe:[%d]", h.saved.pipes[0]), "--external", fmt.Sprintf("pipe:[%d]", h.saved.pipes[1]))
	}), &running)
	b.Exit()

	started, err := d.spawn(&b.Script, 0, &inherited)
	if err != nil {
		return fmt.Errorf("save worker: %w", err)
	}
	newChild(started.PID, started.PidFD).wait()
	err = started.Ended()
	if running == 0 {
		return fmt.Errorf("save worker: %w", err)
	}
	fd, perr := unix.PidfdOpen(int(running), 0)
	if perr != nil {
		return fmt.Errorf("save worker: %w", errors.Join(err, perr))
	}
	dumper := newChild(int(running), fd)
	stop := context.AfterFunc(ctx, func() { dumper.kill(unix.SIGKILL) })
	code, signal, _ := dumper.wait()
	stop()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("save worker: %w", ctx.Err())
	case err != nil:
		return fmt.Errorf("save worker: %w", err)
	case code != 0:
		return &worker.SnapshotError{Reason: strings.TrimSpace(fmt.Sprintf("CRIU ended with %d %s: %s", code, signal, log.said()))}
	}
	return nil
}

// Fields of CRIU's images (images/inventory.proto, images/core.proto of its source).
const (
	inventoryRootIDs protowire.Number = 3  // inventory_entry.root_ids
	idsUserNS        protowire.Number = 10 // task_kobj_ids_entry.user_ns_id
	imageHeader                       = 12 // two magic numbers and the length of the entry
	inventoryHeader                   = 8  // one magic number
)

// ownNamespace changes the images to say that the worker was in the user namespace of CRIU. It was not, but that is
// where it will be restored: CRIU is user 0 there.
func ownNamespace(dir string) error {
	inventory, err := readImage(filepath.Join(dir, "inventory.img"), inventoryHeader)
	if err != nil {
		return err
	}
	root, err := field(inventory, inventoryRootIDs)
	if err != nil {
		return err
	}
	own, err := number(root, idsUserNS)
	if err != nil {
		return err
	}
	list, err := filepath.Glob(filepath.Join(dir, "ids-*.img"))
	if err != nil || len(list) == 0 {
		return errors.Join(errors.New("the images name no processes"), err)
	}
	for _, name := range list {
		b, err := readImage(name, imageHeader)
		if err != nil {
			return err
		}
		out := []byte{}
		for rest := b; len(rest) > 0; {
			num, _, n := protowire.ConsumeField(rest)
			if n < 0 {
				return fmt.Errorf("%s: %w", filepath.Base(name), protowire.ParseError(n))
			}
			if num == idsUserNS {
				out = protowire.AppendVarint(protowire.AppendTag(out, num, protowire.VarintType), own)
			} else {
				out = append(out, rest[:n]...)
			}
			rest = rest[n:]
		}
		if err := writeImage(name, out); err != nil {
			return err
		}
	}
	return nil
}

// readImage returns the first entry of an image.
func readImage(name string, header int) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if len(b) < header {
		return nil, fmt.Errorf("%s: %w", filepath.Base(name), io.ErrUnexpectedEOF)
	}
	length, rest := binary.LittleEndian.Uint32(b[header-4:]), b[header:]
	if uint64(len(rest)) < uint64(length) {
		return nil, fmt.Errorf("%s: %w", filepath.Base(name), io.ErrUnexpectedEOF)
	}
	return rest[:length], nil
}

// writeImage changes the only entry of an image.
func writeImage(name string, entry []byte) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	out := binary.LittleEndian.AppendUint32(b[:8:8], uint32(len(entry)))
	return os.WriteFile(name, append(out, entry...), 0o600)
}

// field returns the message that a field holds, number the number.
func field(b []byte, want protowire.Number) ([]byte, error) {
	b, err := find(b, want, protowire.BytesType)
	v, _ := protowire.ConsumeBytes(b)
	return v, err
}

func number(b []byte, want protowire.Number) (uint64, error) {
	b, err := find(b, want, protowire.VarintType)
	v, _ := protowire.ConsumeVarint(b)
	return v, err
}

// find returns what begins with the value of a field.
func find(b []byte, want protowire.Number, as protowire.Type) ([]byte, error) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeField(b)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		if num == want && typ == as {
			_, _, tag := protowire.ConsumeTag(b)
			return b[tag:], nil
		}
		b = b[n:]
	}
	return nil, fmt.Errorf("the image has no field %d", want)
}
