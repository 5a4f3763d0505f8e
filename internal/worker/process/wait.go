package process

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func disconnect(fd int, unspec *unix.RawSockaddrInet4) {
	_, _, _ = unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(unspec)), unsafe.Sizeof(*unspec))
}

// child is a process by its pidfd: no other process can be meant by mistake.
type child struct {
	pid  int
	file *os.File
	raw  int
	// status, if set, is where the process writes how the one ended that it stands for; see first.go.
	status *os.File
}

func newChild(pid, pidfd int) *child {
	_ = unix.SetNonblock(pidfd, true) // so that Go's poller waits, and no thread does
	return &child{pid: pid, raw: pidfd, file: os.NewFile(uintptr(pidfd), "pidfd")}
}

// took is what a process and those that it waited for took.
type took struct {
	cpu time.Duration
	rss int64 // the most memory of one of them, bytes
}

// wait reaps the process and closes the descriptor.
func (c *child) wait() (code int, signal string, t took) {
	if c.file == nil { // a sandbox that has no process any more
		return -1, "", took{}
	}
	var info unix.Siginfo
	var use unix.Rusage
	defer c.file.Close()
	rc, err := c.file.SyscallConn()
	if err == nil {
		err = rc.Read(func(fd uintptr) bool {
			// WNOHANG: the poller calls this first without knowing.
			info = unix.Siginfo{}
			for {
				werr := unix.Waitid(unix.P_PIDFD, int(fd), &info, unix.WEXITED|unix.WNOHANG, &use)
				if werr == unix.EINTR {
					continue
				}
				return werr != nil || info.Signo != 0
			}
		})
	}
	if err != nil || info.Signo == 0 {
		_ = unix.Waitid(unix.P_PID, c.pid, &info, unix.WEXITED, &use)
	}
	// siginfo_t of SIGCHLD: after three ints and padding, pid, uid and status.
	status := *(*int32)(unsafe.Add(unsafe.Pointer(&info), 24))
	t = took{cpu: time.Duration(use.Utime.Nano() + use.Stime.Nano()), rss: use.Maxrss << 10}
	if c.status != nil {
		defer c.status.Close()
		var told [4]byte
		if _, err := io.ReadFull(c.status, told[:]); err == nil {
			ws := unix.WaitStatus(binary.NativeEndian.Uint32(told[:]))
			if ws.Exited() {
				return ws.ExitStatus(), "", t
			}
			return -1, signalName(ws.Signal()), t
		}
	}
	const cldExited = 1
	if info.Code == cldExited {
		return int(status), "", t
	}
	return -1, signalName(unix.Signal(status)), t
}

func signalName(s unix.Signal) string { return s.String() }

// kill sends a signal; to a process that has ended it does nothing.
func (c *child) kill(sig unix.Signal) {
	if c.file != nil {
		_ = unix.PidfdSendSignal(c.raw, sig, nil, 0)
	}
}

// catches says whether the process has a handler for the signal. The first process of a
// namespace is not ended by a signal that it has no handler for.
func catches(pid int, sig unix.Signal) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	return caught(string(b), sig)
}

// caught reads SigCgt of /proc/PID/status (proc(5)).
func caught(status string, sig unix.Signal) bool {
	for line := range strings.SplitSeq(status, "\n") {
		if mask, ok := strings.CutPrefix(line, "SigCgt:\t"); ok {
			m, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && m&(1<<(uint(sig)-1)) != 0
		}
	}
	return false
}
