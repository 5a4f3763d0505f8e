// Package agent is the first process of a microVM's guest: it makes one sandbox of read-only images and memory, runs one
// command in it, and carries the driver's streams in and out. It is linked into a static program of its own
// (cmd/cloudjit-guest) and stays small: it must not know what a function is, nor import net/http.
package agent

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// Where things are in the guest, outside of the sandbox.
const (
	root      = "/root" // becomes the sandbox's
	images    = "/images"
	groups    = "/groups"
	modules   = "/modules"
	portGlob  = "/dev/vport*"
	vsockWord = "cloudjit.vsock=" // of the kernel's command line: the port of the driver
)

// Main runs the agent, or the part of it that becomes the command.
func Main() {
	confined := len(os.Args) == 2 && os.Args[1] == confineWord // which is the first process of its own namespace
	if os.Getpid() == 1 && !confined {                         // with the words of the kernel's command line that the kernel does not know
		err := run()
		fmt.Fprintln(os.Stderr, "cloudjit-guest:", err)
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) // ends the virtual machine
		os.Exit(1)
	}
	if confined {
		confine()
	}
	fmt.Fprintln(os.Stderr, "cloudjit-guest is the first process of a virtual machine that cloudjit starts, and nothing else")
	os.Exit(2)
}

type agent struct {
	init  time.Duration
	ready time.Duration

	out [2]*pump

	mu      sync.Mutex
	started bool
	command *command // nil before it runs
	folders []wire.Folder
	netns   *netns
	network *network // nil: the sandbox has none
	mark    []byte   // the next session begins with it; nil: there is none
	// attached is the session that connections to the Runtime API go to; nil: they wait.
	attached *yamux.Session
	changed  sync.Cond // attached has
}

func newAgent() *agent {
	a := &agent{init: sinceBoot(), out: [2]*pump{newPump(), newPump()}}
	a.changed.L = &a.mu
	return a
}

// Serve is what the agent does once its guest has come up: it serves the driver at the other end of a connection, until it ends. One
// whose guest was saved goes on with mark, which connect was told of then. It is for who stands in for a monitor.
func Serve(conn wire.Conn, mark []byte, connect func(mark []byte) (wire.Conn, error)) error {
	return newAgent().sessions(conn, mark, connect)
}

func run() error {
	a := newAgent()
	debug.SetGCPercent(50)
	for _, m := range []struct{ name, target, kind, data string }{
		{"dev", "/dev", "devtmpfs", ""}, {"proc", "/proc", "proc", ""}, {"sys", "/sys", "sysfs", ""}, {"groups", groups, "cgroup2", ""},
	} {
		_ = os.MkdirAll(m.target, 0o755)
		if err := unix.Mount(m.name, m.target, m.kind, 0, m.data); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	// What is reserved and never used costs nothing, as on a host with much memory; the control group bounds what is used.
	_ = os.WriteFile("/proc/sys/vm/overcommit_memory", []byte("1"), 0o644)
	// Else the kernel wakes up twice a second to see whether it could tidy up.
	_ = os.WriteFile("/proc/sys/vm/compaction_proactiveness", []byte("0"), 0o644)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0o644)
	_ = os.WriteFile(filepath.Join(groups, "cgroup.subtree_control"), []byte("+memory +pids"), 0o644)
	if err := loadModules(); err != nil {
		return err
	}
	conn, breaks, err := connect()
	if err != nil {
		return err
	}
	a.ready = sinceBoot()
	return a.sessions(conn, nil, func([]byte) (wire.Conn, error) {
		if !breaks {
			return nil, errors.New("the connection to the driver has ended")
		}
		conn, _, err := connect()
		return conn, err
	})
}

// sessions serves one session after the other. A connection that breaks while the guest waits to be saved, or to go on, was reset by
// the monitor: the next one takes its place, and the session begins there with the same mark.
func (a *agent) sessions(conn wire.Conn, mark []byte, connect func(mark []byte) (wire.Conn, error)) error {
	for again := mark != nil; ; {
		e := &entrance{Line: wire.NewLine(conn), mark: mark, again: again}
		next, err := a.session(e)
		again = err != nil && e.mark != nil
		switch {
		case err == nil:
			mark = next
		case !again:
			return err
		default:
			_ = conn.Close()
			if conn, err = connect(mark); err != nil {
				return err
			}
		}
	}
}

// entrance is a session's use of the connection that begins after a mark, which is then sent back.
type entrance struct {
	*wire.Line
	mark []byte // nil: the session begins at once
	// again: the driver's former session ended on another connection.
	again bool
}

func (e *entrance) Read(b []byte) (int, error) {
	if e.mark != nil {
		if err := wire.Seek(e.Line, e.mark); err != nil {
			return 0, err
		}
		if _, err := e.Write(e.mark); err != nil {
			return 0, err
		}
		e.mark = nil
	}
	return e.Line.Read(b)
}

// session serves the driver until it suspends the guest, and returns the mark that the next session begins with.
func (a *agent) session(conn *entrance) (next []byte, err error) {
	mark := conn.mark
	s, err := yamux.Server(conn, wire.Config())
	if err != nil {
		return nil, err
	}
	if mark != nil && !conn.again {
		// Ends the driver's former session. All of this one is there before the guest is saved: what a copy does first, it does
		// anew each time.
		if _, err := conn.Write(mark); err != nil {
			_ = s.Close()
			return nil, err
		}
	}
	for {
		st, aerr := s.AcceptStream()
		if aerr != nil {
			err = aerr
			break
		}
		go func() {
			defer st.Close()
			a.serve(s, st)
		}()
	}
	_ = s.Close() // also where it is closed: nothing of it reads or writes any more
	a.mu.Lock()
	next, a.mark = a.mark, nil
	a.mu.Unlock()
	if next == nil {
		return nil, err
	}
	return next, conn.SetDeadline(time.Time{})
}

// suspend gives up everything that leads to the driver, so that the guest can be saved. What the command has written is sent;
// its connections to the Runtime API break, and new ones wait.
func (a *agent) suspend(s *yamux.Session, st *yamux.Stream, mark []byte) {
	if len(mark) != wire.MarkSize || mark[0] != wire.MarkBegin {
		_ = wire.Write(st, wire.Event{Error: "no mark of the next session"})
		return
	}
	awaitClock()
	runtime.GC() // or each copy would have the next one before it
	a.mu.Lock()
	a.mark, a.attached = mark, nil
	a.mu.Unlock()
	for _, p := range a.out {
		p.detach()
	}
	_ = s.Close()
}

// attach sends connections to the Runtime API to a session.
func (a *agent) attach(s *yamux.Session) {
	a.mu.Lock()
	a.attached = s
	a.mu.Unlock()
	a.changed.Broadcast()
}

// driver is the session that is attached, once there is one.
func (a *agent) driver() *yamux.Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.attached == nil {
		a.changed.Wait()
	}
	return a.attached
}

// running is the command, nil before it runs.
func (a *agent) running() *command {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.command
}

// sinceBoot is the time since the kernel started.
func sinceBoot() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return time.Duration(t.Nano())
}

// blockModule is the last of those that have to do with virtio.
const blockModule = "virtio_blk.ko"

// loadModules loads the kernel's modules in the order that the guest was built with.
func loadModules() error {
	list, err := os.ReadFile(filepath.Join(modules, "order"))
	if errors.Is(err, os.ErrNotExist) {
		return nil // all is built in
	}
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(list)) {
		if name == blockModule {
			// Drives stay unknown until they are wanted (attachDrives): those of a copy are others than of what was saved.
			if err := os.WriteFile("/sys/bus/virtio/drivers_autoprobe", []byte("0"), 0o644); err != nil {
				return err
			}
		}
		f, err := os.Open(filepath.Join(modules, name))
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		_ = f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("load module %s: %w", name, err)
		}
		_ = os.Remove(f.Name()) // its memory
	}
	return nil
}

// connectPatience is how long the connection to the driver may take to appear.
const connectPatience = 30 * time.Second

// connect opens the connection to the driver: a port of a virtio console, or a socket of the host, which breaks when the guest is saved
// or goes on.
func connect() (conn *os.File, breaks bool, err error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, false, err
	}
	for word := range strings.FieldsSeq(string(line)) {
		if port, ok := strings.CutPrefix(word, vsockWord); ok {
			n, err := strconv.ParseUint(port, 10, 32)
			if err != nil {
				return nil, false, fmt.Errorf("read the kernel's command line: %q", word)
			}
			conn, err = dialHost(uint32(n))
			return conn, true, err
		}
	}
	for end := time.Now().Add(connectPatience); ; {
		if found, _ := filepath.Glob(portGlob); len(found) > 0 {
			slices.Sort(found)
			conn, err = openPort(found[0])
			return conn, false, err
		}
		if time.Now().After(end) {
			return nil, false, errors.New("connect to the driver: there is no port")
		}
		time.Sleep(time.Millisecond)
	}
}

// openPort opens a port without blocking, so that no thread waits in it.
func openPort(name string) (*os.File, error) {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("connect to the driver: %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func dialHost(number uint32) (*os.File, error) {
	for end := time.Now().Add(connectPatience); ; {
		fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("connect to the driver: %w", err)
		}
		if err = unix.Connect(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: number}); err == nil {
			err = unix.SetNonblock(fd, true)
		}
		if err == nil {
			return os.NewFile(uintptr(fd), "host"), nil
		}
		_ = unix.Close(fd)
		if time.Now().After(end) {
			return nil, fmt.Errorf("connect to the driver: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// serve answers one stream of the driver's.
func (a *agent) serve(s *yamux.Session, st *yamux.Stream) {
	var r wire.Request
	if err := wire.Read(st, &r); err != nil {
		return
	}
	answer := func(err error) {
		e := wire.Event{}
		if err != nil {
			e.Error, e.Phase = err.Error(), "sandbox"
		}
		_ = wire.Write(st, e)
	}
	switch r.Op {
	case wire.OpHello:
		_ = wire.Write(st, a.hello())
	case wire.OpEcho:
		_, _ = io.CopyBuffer(plain{st}, plain{st}, make([]byte, 16<<10))
	case wire.OpStdout, wire.OpStderr:
		a.carry(r.Op, st)
	case wire.OpStart:
		if r.Start == nil {
			answer(errors.New("nothing to start"))
			return
		}
		a.start(s, st, r.Start)
	case wire.OpNetwork:
		a.mu.Lock()
		n := a.network
		a.mu.Unlock()
		if n != nil {
			n.carry(st)
		}
	case wire.OpDial:
		a.dial(s, st)
	case wire.OpSuspend:
		a.suspend(s, st, r.Mark)
	case wire.OpAttach:
		c := a.running()
		if c == nil {
			answer(errors.New("nothing runs"))
			return
		}
		// Before anything of the function hears that it goes on.
		if r.Renew != nil {
			if err := errors.Join(setClock(r.Renew.Now), stir(r.Renew.Entropy)); err != nil {
				answer(err)
				return
			}
		}
		a.attach(s)
		c.follow(s, st)
	case wire.OpSignal:
		answer(a.signal(r.Signal))
	case wire.OpRead, wire.OpKeep:
		a.list(st, &r)
	case wire.OpMaps:
		yes, err := a.maps(r.Name)
		e := wire.Event{Yes: yes}
		if err != nil {
			e.Error = err.Error()
		}
		_ = wire.Write(st, e)
	default:
		answer(fmt.Errorf("the guest does not know %q", r.Op))
	}
}

// plain hides ReadFrom and WriteTo, which would take larger buffers.
type plain struct{ io.ReadWriter }

func (a *agent) hello() wire.Hello {
	h := wire.Hello{Version: wire.Version, Init: a.init, Ready: a.ready}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			h.RSS = n * int64(os.Getpagesize())
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return h
}

func (a *agent) signal(n int) error {
	c := a.running()
	if c == nil {
		return errors.New("nothing runs")
	}
	pid := c.cmd.Process.Pid
	sig := unix.Signal(n)
	if sig == unix.SIGTERM && !catches(pid, sig) {
		// The first process of a namespace does not get a signal that it does not handle.
		sig = unix.SIGKILL
	}
	return unix.Kill(pid, sig)
}

// catches reports whether a process handles a signal (proc_pid_status(5)).
func catches(pid int, sig unix.Signal) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("SigCgt:")); ok {
			n, err := strconv.ParseUint(string(bytes.TrimSpace(rest)), 16, 64)
			return err == nil && n&(1<<(sig-1)) != 0
		}
	}
	return false
}

// maps looks for a file of the sandbox in the memory of the command.
func (a *agent) maps(name string) (bool, error) {
	c := a.running()
	if c == nil {
		return false, errors.New("nothing runs")
	}
	var want unix.Stat_t
	if err := unix.Stat(filepath.Join(root, name), &want); err != nil {
		return false, err
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", c.cmd.Process.Pid))
	if err != nil {
		return false, err
	}
	defer f.Close()
	device := fmt.Sprintf("%02x:%02x", unix.Major(want.Dev), unix.Minor(want.Dev))
	inode := strconv.FormatUint(want.Ino, 10)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if w := strings.Fields(lines.Text()); len(w) > 4 && w[3] == device && w[4] == inode {
			return true, nil
		}
	}
	return false, lines.Err()
}

// clockPatience is how long the kernel may take to come to its clock: a second after it has booted.
const clockPatience = 2 * time.Second

// awaitClock waits until the kernel goes by the clock that it stays with: else each copy of a guest that was saved early would have the
// change before it, which stops all processors and changes the kernel's code.
func awaitClock() {
	for end := time.Now().Add(clockPatience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		b, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
		if name := strings.TrimSpace(string(b)); err != nil || name != "tsc-early" && !strings.HasSuffix(name, "jiffies") {
			return
		}
	}
}

func setClock(now int64) error {
	if now == 0 {
		return nil
	}
	t := unix.NsecToTimespec(now)
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &t); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}

// stir adds to the random pool and lets every random number generator of the kernel begin anew (random(4)).
func stir(entropy []byte) error {
	if len(entropy) == 0 {
		return nil
	}
	f, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("stir the random pool: %w", err)
	}
	defer f.Close()
	info := struct {
		bits, size int32
		data       [256]byte
	}{}
	n := copy(info.data[:], entropy)
	info.bits, info.size = int32(8*n), int32(n)
	const addEntropy, reseed = 0x40085203, 0x5207 // RNDADDENTROPY, RNDRESEEDCRNG
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), addEntropy, uintptr(unsafe.Pointer(&info))); e != 0 {
		return fmt.Errorf("stir the random pool: %w", e)
	}
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), reseed, 0); e != 0 {
		return fmt.Errorf("stir the random pool: %w", e)
	}
	return nil
}
