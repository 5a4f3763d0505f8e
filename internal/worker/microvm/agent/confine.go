package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// confineWord is the argument of the process that becomes the command.
const confineWord = "confine"

// Descriptors of that process.
const (
	planFD   = 3 // the wire.Start
	failFD   = 4 // takes "PHASE:REASON"; closes at execve
	socketFD = 5 // takes the Runtime API's listener, and the network's device
)

// confine finishes the sandbox from the inside, gives up every privilege for good, and becomes the command.
func confine() {
	runtime.LockOSThread()
	phase, err := become()
	_, _ = unix.Write(failFD, []byte(phase+":"+err.Error()))
	os.Exit(1)
}

func become() (phase string, err error) {
	for fd := planFD; fd <= socketFD; fd++ {
		unix.CloseOnExec(fd)
	}
	var w wire.Start
	if err := json.NewDecoder(os.NewFile(planFD, "plan")).Decode(&w); err != nil {
		return "sandbox", fmt.Errorf("read the plan: %w", err)
	}
	env := w.Env
	for _, step := range []struct {
		does string
		do   func() error
	}{
		{"name the host", func() error { return unix.Sethostname([]byte(wire.Hostname)) }},
		{"bring up the loopback device", loopback},
		{"listen for the Runtime API", func() error {
			if !w.API {
				return nil
			}
			return listen()
		}},
		{"make the network's device", func() error {
			if !w.Network {
				return nil
			}
			return makeDevice()
		}},
		{"enter the root", func() error { return unix.Chdir(root) }},
		{"mount /proc", func() error {
			return unix.Mount("proc", "proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		}},
		{"change the root", func() error { return unix.Chroot(".") }},
		{"connect standard input", func() error {
			fd, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			return unix.Dup3(fd, 0, 0)
		}},
		{"keep no other descriptor", func() error { return unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) }},
		{"lower the priority", func() error {
			if w.Nice {
				return unix.Setpriority(unix.PRIO_PROCESS, 0, 5)
			}
			return nil
		}},
		{"drop capabilities", func() error {
			for c := range uintptr(unix.CAP_LAST_CAP + 1) {
				_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
			}
			return nil
		}},
		// The calls themselves, of this thread: it alone is what execve keeps.
		{"leave all groups", func() error { return raw(unix.SYS_SETGROUPS, 0, 0, 0) }},
		{"become the function's group", func() error { return raw(unix.SYS_SETRESGID, wire.UID, wire.UID, wire.UID) }},
		{"become the function's user", func() error { return raw(unix.SYS_SETRESUID, wire.UID, wire.UID, wire.UID) }},
		{"enter " + w.Dir, func() error { return unix.Chdir(w.Dir) }},
		{"gain no new privileges", func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
		{"limit resources", func() error { return limits(w.Files) }},
	} {
		if err := step.do(); err != nil {
			return "sandbox", fmt.Errorf("%s: %w", step.does, err)
		}
	}
	unix.Umask(0o022)
	// Everything that execve needs is made before: the filter lets nothing else pass.
	path, err := unix.BytePtrFromString(w.Path)
	if err != nil {
		return "runtime", err
	}
	argv, err := pointers(append([]string{w.Path}, w.Args...))
	if err != nil {
		return "runtime", err
	}
	envp, err := pointers(env)
	if err != nil {
		return "runtime", err
	}
	if err := filter(w.Filter); err != nil {
		return "sandbox", fmt.Errorf("filter system calls: %w", err)
	}
	_, _, e := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envp[0])))
	return "runtime", fmt.Errorf("execute %s: %w", w.Path, e)
}

func raw(call, a, b, c uintptr) error {
	if _, _, e := unix.RawSyscall(call, a, b, c); e != 0 {
		return e
	}
	return nil
}

func pointers(words []string) ([]*byte, error) {
	out := make([]*byte, 0, len(words)+1)
	for _, w := range words {
		p, err := unix.BytePtrFromString(w)
		if err != nil {
			return nil, fmt.Errorf("%q has a zero byte", w)
		}
		out = append(out, p)
	}
	return append(out, nil), nil
}

func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	return ioctl(s, unix.SIOCSIFFLAGS, ifreq("lo", flags(unix.IFF_UP|unix.IFF_RUNNING)))
}

// listen hands a listener of this network to the agent.
func listen() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.Bind(s, &unix.SockaddrInet4{Port: wire.APIPort, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if err := unix.Listen(s, 64); err != nil {
		return err
	}
	return unix.Sendmsg(socketFD, []byte{1}, unix.UnixRights(s), nil, 0)
}

func limits(files uint64) error {
	if err := unix.Prlimit(0, unix.RLIMIT_CORE, &unix.Rlimit{}, nil); err != nil || files == 0 {
		return err
	}
	return unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: files}, nil)
}

// filter lets only those system calls of this thread pass that the program allows.
func filter(program []byte) error {
	if len(program) == 0 {
		return nil
	}
	prog := unix.SockFprog{Len: uint16(len(program) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(unsafe.SliceData(program)))}
	return raw(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
}
