package process

import (
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker/process/script"
)

// plan is everything that decides what a sandbox is. It is made by the driver, which asks the
// machine; from here on it is pure.
type plan struct {
	// privileged: the server is root, and the worker becomes user inside a user namespace at the
	// end. Otherwise the child is born in a user namespace, as the server's own user.
	privileged bool
	userNS     bool // whether user namespaces can be had; always when not privileged
	uid, gid   int  // on the host
	shareNet   bool // the host's network
	aside      bool // runs behind everything that serves

	staging string // an empty folder of the host to build the root on
	etc     string // the folder that is shown as /etc
	system  []systemDir
	mounts  []bind
	views   bool     // overlays can be had: what is shown of the host has inodes of the sandbox's own
	nodes   bool     // device nodes can be made
	inner   []string // the host's mount points
	folders []tmpfs  // made in this order, and handed to the server
	tmpMiB  int
	pids    int    // RLIMIT_NPROC; 0: the control group limits it
	files   uint64 // RLIMIT_NOFILE
	filter  []byte

	joins        []int // descriptors of control files to write "0" into
	control      int   // socket to send descriptors over; closes at execve
	stdout, sink int   // where output goes, /dev/null
	stderr       int
	stdin        int   // 0: the sink
	kvm          bool  // there is a /dev/kvm
	inherit      []int // further descriptors that the command gets, with these numbers
	listen       bool  // make the Runtime API's listener
	sockets      int   // make so many TCP sockets for the server to connect

	dir  string
	path string
	argv []string
	env  []string

	saving // of a worker that can be saved, or is restored
}

// systemDir is a folder of the host's system that every sandbox sees, or a link to one.
type systemDir struct{ name, link string }

// bind shows source of the host as target in the sandbox, read-only.
type bind struct {
	source, target string
	dir            bool
}

// tmpfs is a folder of the sandbox's own, in memory.
type tmpfs struct {
	target     string
	mib, files int
}

// Inside the sandbox.
const (
	insideUID = 1000
	apiPort   = 9001 // the Runtime API's
	webPort   = 8080 // $PORT
	hostname  = "sandbox"
)

// maxSockets fit into one message with descriptors (SCM_MAX_FD is 253), and so do worker.MaxFolders into another.
const (
	maxSockets = 250
)

// devices that programs expect.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// masked are files of /proc that say too much about the host.
var masked = []string{"keys", "kcore", "timer_list", "sched_debug", "sysrq-trigger", "latency_stats", "interrupts", "kallsyms"}

// flags are the namespaces that the child is born in.
func (p *plan) flags() uint64 {
	f := uint64(unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	if !p.savable {
		f |= unix.CLONE_NEWPID
	}
	if !p.shareNet {
		f |= unix.CLONE_NEWNET
	}
	if !p.privileged {
		f |= unix.CLONE_NEWUSER
	}
	return f
}

// build writes down everything that the child does.
func (p *plan) build() *script.Script {
	b := &builder{plan: p, made: map[string]bool{}}
	b.identity()
	b.network()
	b.root()
	b.process()
	if p.savable {
		b.inhabit()
		return &b.Script
	}
	stdin := p.sink
	if p.stdin > 0 {
		stdin = p.stdin
	}
	b.connect(stdin, p.stdout, p.stderr)
	b.forget()
	b.confine()
	b.Exec(p.path, p.argv, p.env)
	return &b.Script
}

type builder struct {
	script.Script
	plan *plan
	made map[string]bool // folders of the new root
}

func (b *builder) identity() {
	b.Do("begin a session", unix.SYS_SETSID)
	b.Do("end with the server", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0)
	for _, fd := range b.plan.joins {
		b.Do("join control group", unix.SYS_WRITE, fd, []byte("0"), 1)
	}
	b.Try("hide the control group's path", unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)
	if !b.plan.privileged {
		b.mapUser()
	}
}

// mapUser maps the one user that the sandbox has.
func (b *builder) mapUser() {
	b.write("/proc/self/setgroups", "deny")
	b.write("/proc/self/uid_map", fmt.Sprintf("%d %d 1", insideUID, b.plan.uid))
	b.write("/proc/self/gid_map", fmt.Sprintf("%d %d 1", insideUID, b.plan.gid))
}

func (b *builder) write(file, text string) {
	fd := b.Do("open "+file, unix.SYS_OPENAT, unix.AT_FDCWD, file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	b.Do("write "+file, unix.SYS_WRITE, fd, []byte(text), len(text))
	b.Do("close "+file, unix.SYS_CLOSE, fd)
}

// network brings up the loopback device and hands sockets of this network to the server: that
// is how it reaches in, and nothing else does.
func (b *builder) network() {
	if b.plan.shareNet {
		return
	}
	req := new([unix.SizeofSockaddrAny]byte) // struct ifreq, 40 bytes
	copy(req[:], "lo")
	binary.NativeEndian.PutUint16(req[unix.IFNAMSIZ:], unix.IFF_UP|unix.IFF_RUNNING)
	s := b.Do("make socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	b.Do("bring up the loopback device", unix.SYS_IOCTL, s, unix.SIOCSIFFLAGS, script.Keep(&b.Script, req))

	n := b.plan.handedOver()
	if n == 0 {
		return
	}
	var sockets []script.Result
	for i := range n {
		fd := b.Do("make socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		sockets = append(sockets, fd)
		if b.plan.listen && i == 0 {
			addr := &unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(apiPort), Addr: [4]byte{127, 0, 0, 1}}
			b.Do("bind the Runtime API", unix.SYS_BIND, fd, script.Keep(&b.Script, addr), unix.SizeofSockaddrInet4)
			b.Do("listen for the Runtime API", unix.SYS_LISTEN, fd, 64)
		}
	}
	b.handOver("hand over sockets", sockets)
}

// handedOver is how many sockets the server gets: the Runtime API's listener first.
func (p *plan) handedOver() int {
	n := p.sockets
	if p.listen {
		n++
	}
	return min(n, maxSockets)
}

// handOver sends descriptors to the server.
func (b *builder) handOver(does string, of []script.Result) {
	// struct cmsghdr and the descriptors.
	control := make([]int32, unix.CmsgSpace(4*len(of))/4)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	h.Level, h.Type = unix.SOL_SOCKET, unix.SCM_RIGHTS
	h.SetLen(unix.CmsgLen(4 * len(of)))
	fds := control[unix.CmsgLen(0)/4:]
	for i, fd := range of {
		b.Store(fd, &fds[i])
	}
	payload := []byte{1}
	iov := &unix.Iovec{Base: &payload[0]}
	iov.SetLen(1)
	msg := &unix.Msghdr{Iov: iov, Control: (*byte)(unsafe.Pointer(&control[0]))}
	msg.SetIovlen(1)
	msg.SetControllen(4 * len(control))
	b.Do(does, unix.SYS_SENDMSG, b.plan.control, script.Keep(&b.Script, msg), 0)
}

func networkOrder(port uint16) uint16 {
	var p [2]byte
	binary.BigEndian.PutUint16(p[:], port)
	return binary.NativeEndian.Uint16(p[:])
}

// root assembles the file system in a tmpfs and makes it the root. Sources are paths of the
// host, targets are relative to the tmpfs, which is the working folder.
func (b *builder) root() {
	p := b.plan
	b.Do("separate the mounts", unix.SYS_MOUNT, 0, "/", 0, unix.MS_REC|unix.MS_PRIVATE, 0)
	b.Do("mount the root", unix.SYS_MOUNT, "root", p.staging, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m,nr_inodes=1024")
	b.Do("enter the root", unix.SYS_CHDIR, p.staging)
	b.mkdir("/" + nothing)

	for _, d := range p.system {
		if d.link != "" {
			b.Do("link /"+d.name, unix.SYS_SYMLINKAT, d.link, unix.AT_FDCWD, d.name)
			continue
		}
		b.bind(bind{source: "/" + d.name, target: "/" + d.name, dir: true})
	}
	b.bind(bind{source: p.etc, target: "/etc", dir: true})

	b.devices()
	for link, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		b.Do("link /dev/"+link, unix.SYS_SYMLINKAT, to, unix.AT_FDCWD, "dev/"+link)
	}
	b.mkdir("/dev/shm")
	b.Do("mount /dev/shm", unix.SYS_MOUNT, "shm", "dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=1777,size=64m")

	b.mkdir("/tmp")
	b.Do("mount /tmp", unix.SYS_MOUNT, "tmp", "tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=1777,size=%dm", p.tmpMiB))
	b.mkdir("/var")
	b.Do("link /var/tmp", unix.SYS_SYMLINKAT, "/tmp", unix.AT_FDCWD, "var/tmp")
	b.mkdir("/run")
	if p.kernel != nil {
		fd := b.Do("make /run/"+kernelFile, unix.SYS_OPENAT, unix.AT_FDCWD, "run/"+kernelFile, unix.O_WRONLY|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		b.Do("write /run/"+kernelFile, unix.SYS_WRITE, fd, p.kernel, len(p.kernel))
		b.Do("close /run/"+kernelFile, unix.SYS_CLOSE, fd)
	}

	b.mkdir("/proc")
	if !p.savable {
		null := "/dev/null"
		if p.nodes {
			null = "dev/null" // the sandbox's own
		}
		b.proc(null)
	}
	for _, m := range p.mounts {
		b.bind(m)
	}
	b.folders()

	ro := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	b.Do("make the root read-only", unix.SYS_MOUNT_SETATTR, unix.AT_FDCWD, ".", 0, script.Keep(&b.Script, ro), int(unsafe.Sizeof(*ro)))
	if p.nodes {
		b.Do("make /dev read-only", unix.SYS_MOUNT_SETATTR, unix.AT_FDCWD, "dev", 0, script.Keep(&b.Script, ro), int(unsafe.Sizeof(*ro)))
	}
	// pivot_root(2), under "pivot_root(".", ".")": the old root comes to lie on top.
	b.Do("change the root", unix.SYS_PIVOT_ROOT, ".", ".")
	b.Do("leave the old root", unix.SYS_UMOUNT2, ".", unix.MNT_DETACH)
}

// proc shows the processes of the namespace that the caller is in. The working folder is the root.
func (b *builder) proc(null string) {
	b.Do("mount /proc", unix.SYS_MOUNT, "proc", "proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, 0)
	for _, name := range masked {
		b.mount(null, "proc/"+name, false, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, true)
	}
}

// folders mounts what the command may write into, and hands it to the server, which sees so what is in there,
// and still when nothing of the sandbox is left.
func (b *builder) folders() {
	if len(b.plan.folders) == 0 {
		return
	}
	var open []script.Result
	for _, f := range b.plan.folders {
		b.mkdir(f.target)
		b.Do("mount "+f.target, unix.SYS_MOUNT, "folder", f.target[1:], "tmpfs", unix.MS_NOSUID|unix.MS_NODEV,
			fmt.Sprintf("mode=1777,size=%dm,nr_inodes=%d", f.mib, f.files+1)) // one is the folder itself
		open = append(open, b.Do("open "+f.target, unix.SYS_OPENAT, unix.AT_FDCWD, f.target[1:], unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	}
	b.handOver("hand over folders", open)
}

// mkdir makes a folder and those above it in the new root. Inside of other mounts they must be
// there already; the mount then says what is missing.
func (b *builder) mkdir(dir string) {
	dir = path.Clean(dir)
	if dir == "/" || b.made[dir] {
		return
	}
	b.made[dir] = true
	b.mkdir(path.Dir(dir))
	b.Try("make "+dir, unix.SYS_MKDIRAT, unix.AT_FDCWD, dir[1:], 0o755)
}

func (b *builder) bind(m bind) {
	if m.dir {
		b.mkdir(m.target)
	}
	const attrs = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_RDONLY
	target := strings.TrimPrefix(path.Clean(m.target), "/")
	b.mount(m.source, target, m.dir, attrs, false)
	if !m.dir || !b.plan.views || strings.ContainsAny(target, `\:,`) {
		return
	}
	b.overlay(target)
	for _, point := range within(b.plan.inner, m.source) {
		b.mount(point, path.Join(target, strings.TrimPrefix(point, m.source)), true, attrs, true)
	}
}

// nothing is an empty folder, since an overlay wants two. It stays: where it is removed the views list no file. Every system
// has one of this name.
const nothing = "mnt"

// overlay lays a view of a folder over it. Its files are the same pages of memory, but their inodes are those of
// this mount alone: whoever watches them (inotify) sees no other process open them, and who locks them (flock)
// locks nobody out. Where the file system cannot be looked through, what was mounted is seen itself.
func (b *builder) overlay(target string) {
	b.Try("view /"+target, unix.SYS_MOUNT, "view", target, "overlay", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV,
		"lowerdir="+target+":"+nothing)
}

// numbers of the devices (Documentation/admin-guide/devices.txt of the kernel).
var deviceNumbers = map[string][2]uint32{"null": {1, 3}, "zero": {1, 5}, "full": {1, 7}, "random": {1, 8}, "urandom": {1, 9}, "tty": {5, 0}, "kvm": {10, 232}}

// devices makes /dev, of nodes of the sandbox's own if that can be.
func (b *builder) devices() {
	b.mkdir("/dev")
	devices := devices
	if b.plan.kvm {
		devices = append(slices.Clone(devices), "kvm")
	}
	if !b.plan.nodes {
		for _, name := range devices {
			b.mount("/dev/"+name, "dev/"+name, false, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, false)
		}
		return
	}
	b.Do("mount /dev", unix.SYS_MOUNT, "dev", "dev", "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k,nr_inodes=64")
	for _, name := range devices {
		b.node("dev/"+name, deviceNumbers[name])
	}
}

func (b *builder) node(file string, number [2]uint32) {
	b.Do("make /"+file, unix.SYS_MKNODAT, unix.AT_FDCWD, file, unix.S_IFCHR|0o666, int(unix.Mkdev(number[0], number[1])))
	b.Do("open /"+file+" to all", unix.SYS_FCHMODAT, unix.AT_FDCWD, file, 0o666) // whatever the server's mask is
}

// trial is a script that makes one overlay, or one device node, and ends.
func (p *plan) trial(of func(*builder)) *script.Script {
	b := &builder{plan: p, made: map[string]bool{}}
	if !p.privileged {
		b.mapUser()
	}
	b.Do("separate the mounts", unix.SYS_MOUNT, 0, "/", 0, unix.MS_REC|unix.MS_PRIVATE, 0)
	b.Do("mount the root", unix.SYS_MOUNT, "root", p.staging, "tmpfs", unix.MS_NOSUID, "mode=755,size=1m,nr_inodes=64")
	b.Do("enter the root", unix.SYS_CHDIR, p.staging)
	of(b)
	b.Do("end", unix.SYS_EXIT_GROUP, 0)
	return &b.Script
}

func tryView(b *builder) {
	b.mkdir("/usr")
	b.mkdir("/" + nothing)
	b.mount("/usr", "usr", true, unix.MOUNT_ATTR_RDONLY, false)
	b.Do("view /usr", unix.SYS_MOUNT, "view", "usr", "overlay", unix.MS_RDONLY, "lowerdir=usr:"+nothing)
}

func tryNode(b *builder) {
	b.node("null", deviceNumbers["null"])
	b.Do("open it", unix.SYS_OPENAT, unix.AT_FDCWD, "null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
}

// mount shows source, with everything mounted below it, at the relative path target.
func (b *builder) mount(source, target string, dir bool, attrs uint64, optional bool) {
	do := b.Do
	if optional {
		do = b.Try
	} else if !dir {
		b.mkdir("/" + path.Dir(target))
		b.Try("make /"+target, unix.SYS_MKNODAT, unix.AT_FDCWD, target, unix.S_IFREG|0o644, 0)
	}
	set := &unix.MountAttr{Attr_set: attrs}
	tree := do("open "+source, unix.SYS_OPEN_TREE, unix.AT_FDCWD, source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	do("restrict "+source, unix.SYS_MOUNT_SETATTR, tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, script.Keep(&b.Script, set), int(unsafe.Sizeof(*set)))
	do("mount /"+target, unix.SYS_MOVE_MOUNT, tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
	do("close "+source, unix.SYS_CLOSE, tree)
}

// process sets what a process starts with.
func (b *builder) process() {
	p := b.plan
	b.Do("name the host", unix.SYS_SETHOSTNAME, hostname, len(hostname))
	if p.aside {
		// A third of what a server's process gets that wants the same processor, and the disk last.
		const niceness, whoProcess, classBestEffortLowest = 5, 1, 2<<13 | 7 // ioprio_set(2)
		b.Try("lower the priority", unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, niceness)
		// Where it does compete with those that serve, it is to hold none up for a whole time slice (3 ms). Linux before 6.12 ignores this.
		short := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Nice: niceness, Runtime: uint64(100 * time.Microsecond)}
		b.Try("shorten the time slice", unix.SYS_SCHED_SETATTR, 0, script.Keep(&b.Script, short), 0)
		b.Try("lower the priority of the disk", unix.SYS_IOPRIO_SET, whoProcess, 0, classBestEffortLowest)
	}
	b.Do("set the file mode mask", unix.SYS_UMASK, 0o022)
}

// forget closes the server's descriptors now, not by execve: with a limit, a child that holds as many cannot open one
// more.
func (b *builder) forget() {
	next := 3
	for _, fd := range slices.Sorted(slices.Values(append([]int{b.plan.control}, b.plan.inherit...))) {
		if fd > next {
			b.Do("close the server's descriptors", unix.SYS_CLOSE_RANGE, next, fd-1, 0)
		}
		next = max(next, fd+1)
	}
	b.Do("close the server's other descriptors", unix.SYS_CLOSE_RANGE, next, int(^uint32(0)), 0)
}

// connect sets the standard descriptors, and lets execve close all others.
func (b *builder) connect(stdin any, stdout, stderr int) {
	b.Do("connect standard input", unix.SYS_DUP3, stdin, 0, 0)
	b.Do("connect standard output", unix.SYS_DUP3, stdout, 1, 0)
	b.Do("connect standard error", unix.SYS_DUP3, stderr, 2, 0)
	b.Do("keep no other descriptor", unix.SYS_CLOSE_RANGE, 3, int(^uint32(0)), unix.CLOSE_RANGE_CLOEXEC)
	for _, fd := range b.plan.inherit {
		b.Do("keep a descriptor", unix.SYS_FCNTL, fd, unix.F_SETFD, 0)
	}
}

// limits come when nothing is opened any more.
func (b *builder) limits() {
	p := b.plan
	limits := map[int]unix.Rlimit{
		unix.RLIMIT_CORE:   {},
		unix.RLIMIT_NOFILE: {Cur: p.files, Max: p.files},
	}
	if p.pids > 0 {
		limits[unix.RLIMIT_NPROC] = unix.Rlimit{Cur: uint64(p.pids), Max: uint64(p.pids)}
	}
	kinds := make([]int, 0, len(limits))
	for kind := range limits {
		kinds = append(kinds, kind)
	}
	sort.Ints(kinds)
	for _, kind := range kinds {
		l := limits[kind]
		b.Do("limit resources", unix.SYS_PRLIMIT64, 0, kind, script.Keep(&b.Script, &l), 0)
	}
}

// confine gives up every privilege, for good.
func (b *builder) confine() {
	p := b.plan
	if p.privileged {
		b.Do("leave all groups", unix.SYS_SETGROUPS, 0, 0)
		b.Do("become the worker's group", unix.SYS_SETRESGID, p.gid, p.gid, p.gid)
		if !p.userNS {
			b.dropBounding()
		}
		b.Do("become the worker's user", unix.SYS_SETRESUID, p.uid, p.uid, p.uid)
		// The change of user made the memory, which is still the server's, undumpable, and took
		// the death signal away.
		b.dumpable()
		if p.userNS {
			// Made last, the namespace owns nothing: neither mounts nor network belong to it.
			b.Do("enter a user namespace", unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
			b.mapUser()
		}
	}
	if p.userNS {
		b.dropBounding()
	}
	b.renounce()
	b.Do("end with the server", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0)
	b.limits()
	b.filter()
}

// renounce enters the working folder and gives up all capabilities, for good.
func (b *builder) renounce() {
	b.Do("enter "+b.plan.dir, unix.SYS_CHDIR, b.plan.dir)
	b.Try("clear ambient capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	none := new([2]unix.CapUserData)
	b.Do("drop capabilities", unix.SYS_CAPSET, script.Keep(&b.Script, header), script.Keep(&b.Script, none))
	b.Do("gain no new privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// filter lets only those system calls pass that ordinary programs make.
func (b *builder) filter() {
	p := b.plan
	prog := &unix.SockFprog{Len: uint16(len(p.filter) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(unsafe.SliceData(p.filter)))}
	b.Do("filter system calls", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, script.Keep(&b.Script, prog))
	b.takeSignals()
}

func (b *builder) takeSignals() {
	var empty uint64
	b.Do("take signals", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, script.Keep(&b.Script, &empty), 0, 8)
}

func (b *builder) dropBounding() {
	for c := 0; c <= unix.CAP_LAST_CAP; c++ {
		b.Try(fmt.Sprintf("drop capability %d", c), unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0, 0, 0)
	}
}
