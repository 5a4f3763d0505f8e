package process

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker/process/script"
)

// saving is the part of a plan that concerns workers that can be saved, and those that are restored.
//
// CRIU restores a worker from inside of its sandbox, without any privilege of the host. So it has to be user 0
// of a namespace that owns the worker's processes, which costs two things that other workers do not need: a second
// user of the host, whom the namespace's user 0 is, and a first process that waits for CRIU and for the worker. The worker
// itself has what others have: a user without capabilities, a system call filter, nothing to gain.
// Mounts, network and the rest belong to the host, as in other sandboxes.
type saving struct {
	savable bool
	second  int // the host's user and group who are user and group 0 inside
	first   int // descriptor of the first process's program
	status  int // where the first process writes how the worker ended
	// exists and shown are pipes by which processes wait for one another, and are told when there is nobody left to wait
	// for: that the first process exists, that it has /proc.
	exists, shown pipe
	restore       *restoring
	// kernel is what CRIU knows of the kernel, of a worker that is to be saved. As root CRIU looks for that in /run. It cannot find it
	// out when it saves a worker: libxtables refuses to run where the real user is another one.
	kernel []byte
	// user and init get the numbers, as the host knows them, of the process that enters the user namespace, and of the
	// first one.
	user, init int32
}

// pipe is its two ends.
type pipe struct{ read, write int }

// restoring is what CRIU is given: descriptors, so that nothing of it has a name in the sandbox.
type restoring struct {
	criu   criu
	dir    string
	tools  int // folder that criu lies in
	images int // folder with the images
	cache  int // folder for what CRIU finds out about the kernel
	// libraries is a folder of libraries that come before CRIU's own (standins); 0: there is none.
	libraries int
	log       int // pipe that it complains to
	// stdout and stderr are the numbers of the pipes that the images know.
	stdout, stderr uint64
}

// mapRequest asks the server to map the users: only one with privileges outside may map two of them.
const mapRequest = 2

// inhabit makes the processes of the sandbox. This one, which stays outside, mounts /proc.
func (b *builder) inhabit() {
	p := b.plan
	var first script.Result
	b.Fork("make the process of the user namespace", unix.CLONE_PARENT, func() {
		// It asks before its maker may know the number.
		b.Store(b.Do("tell its number", unix.SYS_GETPID), &p.user)
		b.Do("leave all groups", unix.SYS_SETGROUPS, 0, 0)
		b.Do("become the second group", unix.SYS_SETRESGID, p.second, p.second, p.second)
		b.Do("become the second user", unix.SYS_SETRESUID, p.second, p.second, p.second)
		b.dumpable()
		b.Do("enter a user namespace", unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
		b.Do("ask for users", unix.SYS_WRITE, p.control, []byte{mapRequest}, 1)
		b.Await("wait for users", unix.SYS_READ, p.control, make([]byte, 1), 1)
		b.Do("enter a process namespace", unix.SYS_UNSHARE, unix.CLONE_NEWPID)
		first = b.Fork("make the first process", unix.CLONE_PARENT, b.first)
		b.tell(p.exists)
		b.Exit()
	})
	b.Store(first, &p.init)
	b.await("wait for the first process", p.exists)
	pidfd := b.Do("find the first process", unix.SYS_PIDFD_OPEN, first, 0)
	b.Do("make children in its namespace", unix.SYS_SETNS, pidfd, unix.CLONE_NEWPID)
	b.Do("enter the root", unix.SYS_CHDIR, "/")
	mounter := b.Fork("make the process that mounts /proc", 0, func() {
		b.proc("dev/null") // the sandbox's own, or the host's that it shows
		b.tell(p.shown)
		b.Exit()
	})
	b.Do("wait for /proc", unix.SYS_WAIT4, mounter, 0, 0, 0)
	b.Exit()
}

func (b *builder) tell(p pipe) { b.Do("tell another process", unix.SYS_WRITE, p.write, []byte{1}, 1) }

func (b *builder) await(what string, p pipe) {
	b.Do("close the other end", unix.SYS_CLOSE, p.write)
	b.Await(what, unix.SYS_READ, p.read, make([]byte, 1), 1)
}

// dumpable undoes what a change of user did to the memory, which is still the server's.
func (b *builder) dumpable() {
	b.Do("be dumpable", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
}

// first is the first process, whose end is the sandbox's.
func (b *builder) first() {
	p := b.plan
	b.await("wait for /proc", p.shown)
	if p.restore == nil { // CRIU chooses the number of what it restores
		b.write("/proc/sys/kernel/ns_last_pid", fmt.Sprint(workerPID-1))
	}
	b.Fork("make the worker", 0, func() {
		b.Do("begin a session", unix.SYS_SETSID)
		if p.restore != nil {
			b.restore()
		} else {
			b.command()
		}
	})
	b.connect(p.sink, p.sink, p.sink)
	b.Do("keep the status", unix.SYS_DUP3, p.status, 3, 0)
	b.dropBounding()
	b.renounce()
	b.Do("end with the server", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0)
	b.takeSignals()
	b.Do("execute the first process", unix.SYS_EXECVEAT, p.saving.first, "", b.Strings([]string{"init"}), b.Strings(nil), unix.AT_EMPTY_PATH)
}

// command confines the worker, and executes it. The filter refuses PR_SET_PDEATHSIG, also to CRIU, so that it is
// the first process that ends with the server.
func (b *builder) command() {
	p := b.plan
	// A file of the sandbox's own mounts: CRIU must find it again.
	null := b.Do("open /dev/null", unix.SYS_OPENAT, unix.AT_FDCWD, "/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	b.connect(null, p.stdout, p.stderr)
	b.forget()
	b.Do("become the worker's group", unix.SYS_SETRESGID, insideUID, insideUID, insideUID)
	b.dropBounding()
	b.Do("become the worker's user", unix.SYS_SETRESUID, insideUID, insideUID, insideUID)
	b.dumpable()
	b.renounce()
	b.limits()
	b.filter()
	b.Exec(p.path, p.argv, p.env)
}

// Descriptors that CRIU finds at its start.
const (
	criuStdout = 10 + iota
	criuStderr
	criuTools
	criuImages
	criuCache
	criuLibraries
)

// restore executes CRIU as user 0 of the namespace.
func (b *builder) restore() {
	r := b.plan.restore
	b.Do("become user 0's group", unix.SYS_SETRESGID, 0, 0, 0)
	b.Do("become user 0", unix.SYS_SETRESUID, 0, 0, 0)
	b.dumpable()
	b.execCRIU("restore", "--restore-detached", "--restore-sibling", "--unprivileged", "--tcp-close",
		"--inherit-fd", fmt.Sprintf("fd[%d]:pipe:[%d]", criuStdout, r.stdout),
		"--inherit-fd", fmt.Sprintf("fd[%d]:pipe:[%d]", criuStderr, r.stderr))
}

// execCRIU executes CRIU with its descriptors.
func (b *builder) execCRIU(command string, args ...string) {
	r := b.plan.restore
	descriptors := map[int]int{criuTools: r.tools, criuImages: r.images, criuCache: r.cache}
	libraries := ""
	if r.libraries > 0 {
		descriptors[criuLibraries], libraries = r.libraries, inherited(criuLibraries)
	}
	if b.plan.savable {
		descriptors[criuStdout], descriptors[criuStderr] = b.plan.stdout, b.plan.stderr
	}
	const far = 100 // beyond those that are set
	moved := map[int]script.Result{}
	for as, fd := range descriptors {
		moved[as] = b.Do("move a descriptor", unix.SYS_FCNTL, fd, unix.F_DUPFD_CLOEXEC, far)
	}
	b.connect(b.plan.sink, r.log, r.log)
	for as, fd := range moved {
		b.Do("give a descriptor", unix.SYS_DUP3, fd, as, 0)
	}
	b.takeSignals()
	argv := append(r.criu.argv(inherited(criuTools), libraries), command, "--images-dir", inherited(criuImages), "--manage-cgroups=ignore", "-v1")
	b.Exec(argv[0], append(argv, args...), []string{"PATH=/usr/sbin:/usr/bin", "XDG_RUNTIME_DIR=" + inherited(criuCache), noBreakpoints})
}

// noBreakpoints makes CRIU stop threads at system calls, and not by breakpoints of the processor, for each of which the kernel makes a
// counter of events (FI_NO_BREAKPOINTS, criu/include/fault-injection.h): with twelve threads a copy starts half a millisecond sooner, or more.
const noBreakpoints = "CRIU_FAULT=130"

// inherited is the path of a descriptor.
func inherited(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }
