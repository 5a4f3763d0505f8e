// Package script starts a process that makes a list of system calls before it executes a program.
//
// The list is data: it is built, looked at and tested in the parent, and carried out in the
// child by some lines of assembly that need neither stack nor heap nor Go's runtime. So there is
// no helper program to ship, to execute and to initialize, and the child costs the parent no copy
// of its page tables (it shares the memory until execve, as vfork does, but the parent goes on).
//
// The package knows nothing of sandboxes: what the calls are for is the caller's.
package script

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Result stands for the value that an earlier call of the same script returns.
type Result int

// Script is a list of system calls, the last of which is execve; a process that it forks has a list of its own.
type Script struct {
	calls []call
	keep  []any // what the arguments point to
	wide  []store
	// process is whose calls are being added: 0 is the first child, others were made by Fork.
	process, processes int
}

type call struct {
	does    string
	nr      uintptr
	args    [6]any
	fate    uintptr
	process int
	forks   int // the process that the call makes
}

// What happens when a call fails.
const (
	fatal   uintptr = iota
	ignored         // the script goes on
	needed          // fatal, and so is the result 0: the end of a file
)

type store struct {
	of Result
	to *int32
}

// Do appends a call; does says what it is for in an error: "mount /tmp". Arguments are
// integers, strings (terminated for the kernel), byte slices, pointers (unsafe.Pointer) and
// Results.
func (s *Script) Do(does string, nr uintptr, args ...any) Result {
	return s.add(call{does: does, nr: nr}, args)
}

// Try appends a call whose failure is no failure of the script.
func (s *Script) Try(does string, nr uintptr, args ...any) Result {
	return s.add(call{does: does, nr: nr, fate: ignored}, args)
}

// Await appends a call, a read, that fails also when it returns 0: the other side is gone.
func (s *Script) Await(does string, nr uintptr, args ...any) Result {
	return s.add(call{does: does, nr: nr, fate: needed}, args)
}

// Fork appends a clone(2) with the flags besides CLONE_VM: the new process carries out what body appends, the
// last of which is Exec or Exit. Results are shared, so each process may use those that another one certainly has.
func (s *Script) Fork(does string, flags int, body func()) Result {
	s.processes++
	r := s.add(call{does: does, nr: unix.SYS_CLONE, forks: s.processes}, []any{unix.CLONE_VM | int(unix.SIGCHLD) | flags, 0, 0, 0, 0})
	before := s.process
	s.process = s.processes
	body()
	s.process = before
	return r
}

// Exit appends the end of a process.
func (s *Script) Exit() { s.Do("exit", unix.SYS_EXIT_GROUP, 0) }

func (s *Script) add(c call, args []any) Result {
	copy(c.args[:], args)
	c.process = s.process
	s.calls = append(s.calls, c)
	return Result(len(s.calls) - 1)
}

// Store writes the result of a call into memory that a later call reads.
func (s *Script) Store(of Result, to *int32) { s.wide = append(s.wide, store{of, to}) }

// Exec appends the execve that ends the script.
func (s *Script) Exec(path string, argv, env []string) {
	s.Do("execute "+path, unix.SYS_EXECVE, path, s.Strings(argv), s.Strings(env))
}

// Strings makes a null-terminated array of C strings.
func (s *Script) Strings(list []string) unsafe.Pointer {
	ptrs := make([]*byte, len(list)+1)
	for i, v := range list {
		ptrs[i] = s.cstring(v)
	}
	s.keep = append(s.keep, ptrs)
	return unsafe.Pointer(&ptrs[0])
}

// Keep holds p until the script has run, and returns it as an argument.
func Keep[T any](s *Script, p *T) unsafe.Pointer {
	s.keep = append(s.keep, p)
	return unsafe.Pointer(p)
}

func (s *Script) cstring(v string) *byte {
	b := make([]byte, len(v)+1)
	copy(b, v)
	s.keep = append(s.keep, b)
	return &b[0]
}

// String lists what the script does, one call a line, for tests and for people.
func (s *Script) String() string {
	var b strings.Builder
	for _, c := range s.calls {
		b.WriteString(c.does)
		if c.fate == ignored {
			b.WriteString(" (if it can)")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// op is a call as the assembly reads it; its layout is known there.
type op struct {
	nr       uintptr
	args     [6]uintptr
	indirect uintptr  // bit i: args[i] is the address of the value
	result   *uintptr // where the result goes
	narrow   *int32   // where its low half goes too, or nil
	fate     uintptr
	child    *op     // what a process that the call made goes on with, or nil
	length   uintptr // of that
}

// report is what the child leaves when it fails.
type report struct {
	errno uintptr // negated
	at    *op
}

// CallError is a call of the script that failed in the child.
type CallError struct {
	Does  string
	Errno syscall.Errno
}

func (e *CallError) Error() string { return e.Does + ": " + e.Errno.Error() }
func (e *CallError) Unwrap() error { return e.Errno }

// Child is a process that runs a script. Its memory is the parent's until Ended or execve.
type Child struct {
	PID   int
	PidFD int // owned by the caller

	script *Script
	ops    []op
	order  []int // the call of each op
	report *report
	length int // of the first process's ops
	stack  []byte
	values []uintptr
	// pidfd is written by the kernel. On the stack of a goroutine that waits it could be moved meanwhile.
	pidfd int32
}

// Spawner starts children. They are told of the death of the thread that started them
// (PR_SET_PDEATHSIG), so that thread must live as long as they do: it is the spawner's own.
type Spawner struct {
	work chan func()
	done chan struct{}
}

// NewSpawner starts the thread. Close ends it.
func NewSpawner() *Spawner {
	s := &Spawner{work: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range s.work {
			f()
		}
	}()
	return s
}

// Close ends the thread, and so the children that asked for that. Not to be called twice.
func (s *Spawner) Close() {
	close(s.work)
	<-s.done
}

// Options of a start.
type Options struct {
	// Flags are CLONE_NEW... flags.
	Flags uint64
	// Cgroup is a descriptor of the version 2 group that the child is born in; 0: the parent's.
	Cgroup int
}

// Start begins the script in a new process. The caller must learn from a close-on-exec
// descriptor of the child when that has executed its program or has ended, keep every descriptor
// that the script names open until then, and call Ended then.
func (s *Spawner) Start(sc *Script, o Options) (*Child, error) {
	c := sc.assemble()
	a := cloneArgs{
		flags: o.Flags | unix.CLONE_VM | unix.CLONE_PIDFD | unix.CLONE_CLEAR_SIGHAND,
		pidfd: uint64(uintptr(unsafe.Pointer(&c.pidfd))), exitSignal: uint64(unix.SIGCHLD),
		stack: uint64(uintptr(unsafe.Pointer(&c.stack[0]))), stackSize: uint64(len(c.stack)),
	}
	if o.Cgroup > 0 {
		a.flags |= unix.CLONE_INTO_CGROUP
		a.cgroup = uint64(o.Cgroup)
	}
	var pid, errno uintptr
	ran := make(chan struct{})
	s.work <- func() {
		// Signals wait: a handler of Go's would run in the child on a stack that is none of Go's.
		var all, old uint64 = ^uint64(0), 0
		syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
		syscall.ForkLock.Lock()
		pid, errno = clone(unsafe.Pointer(&a), unsafe.Sizeof(a), unsafe.Pointer(&c.ops[0]), uintptr(c.length), unsafe.Pointer(c.report))
		syscall.ForkLock.Unlock()
		syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
		close(ran)
	}
	<-ran
	if errno != 0 {
		return nil, os.NewSyscallError("clone3", syscall.Errno(errno))
	}
	c.PID, c.PidFD = int(pid), int(c.pidfd)
	return c, nil
}

// Ended returns why the script failed, nil if it came to its end. Only valid when the child has
// executed its program or has ended.
func (c *Child) Ended() error {
	defer runtime.KeepAlive(c)
	if c.report.errno == 0 {
		return nil
	}
	i := (uintptr(unsafe.Pointer(c.report.at)) - uintptr(unsafe.Pointer(&c.ops[0]))) / unsafe.Sizeof(op{})
	if int(i) >= len(c.order) {
		return errors.New("script ran over its end")
	}
	return &CallError{Does: c.script.calls[c.order[i]].does, Errno: syscall.Errno(-c.report.errno)}
}

// assemble turns the list into what the assembly reads.
func (s *Script) assemble() *Child {
	n := len(s.calls)
	c := &Child{
		script: s, ops: make([]op, n), values: make([]uintptr, n), report: new(report),
		// The interpreter pushes nothing; the kernel wants a stack to be there.
		stack: make([]byte, 4096),
	}
	// Each process's calls follow one another; place is where those of each call lie.
	place := make([]int, n)
	begin := make([]int, s.processes+2)
	for process := range s.processes + 1 {
		begin[process] = len(c.order)
		for i := range s.calls {
			if s.calls[i].process == process {
				place[i] = len(c.order)
				c.order = append(c.order, i)
			}
		}
	}
	begin[s.processes+1] = n
	c.length = begin[1]
	for i, in := range s.calls {
		o := &c.ops[place[i]]
		o.nr = in.nr
		o.result = &c.values[i]
		o.fate = in.fate
		if in.forks > 0 {
			o.child, o.length = &c.ops[begin[in.forks]], uintptr(begin[in.forks+1]-begin[in.forks])
		}
		for j, arg := range in.args {
			switch v := arg.(type) {
			case nil:
			case int:
				o.args[j] = uintptr(v)
			case uintptr:
				o.args[j] = v
			case string:
				o.args[j] = uintptr(unsafe.Pointer(s.cstring(v)))
			case []byte:
				s.keep = append(s.keep, v)
				o.args[j] = uintptr(unsafe.Pointer(unsafe.SliceData(v)))
			case unsafe.Pointer:
				o.args[j] = uintptr(v)
			case Result:
				o.args[j] = uintptr(unsafe.Pointer(&c.values[v]))
				o.indirect |= 1 << j
			default:
				panic(fmt.Sprintf("script: %s: argument %d is a %T", in.does, j, arg))
			}
		}
	}
	for _, w := range s.wide {
		s.keep = append(s.keep, w.to)
		c.ops[place[w.of]].narrow = w.to
	}
	return c
}

// cloneArgs is struct clone_args of clone3(2).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// clone makes the child and lets it run ops. Nothing of the parent is changed.
//
//go:noescape
func clone(args unsafe.Pointer, size uintptr, ops unsafe.Pointer, n uintptr, failure unsafe.Pointer) (pid, errno uintptr)
