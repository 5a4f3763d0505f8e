package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// start makes the sandbox, starts the command, and says how it ended.
func (a *agent) start(s *yamux.Session, st *yamux.Stream, w *wire.Start) {
	fail := func(phase string, err error) {
		_ = wire.Write(st, wire.Event{Error: err.Error(), Phase: phase})
	}
	a.mu.Lock()
	again := a.started
	a.started = true
	a.mu.Unlock()
	if again {
		fail("sandbox", errors.New("there is a command already"))
		return
	}
	if err := errors.Join(setClock(w.Now), stir(w.Entropy), build(w)); err != nil {
		fail("sandbox", err)
		return
	}
	c, phase, err := a.launch(w)
	if err != nil {
		fail(phase, err)
		return
	}
	a.attach(s)
	if c.api != nil {
		go a.serveAPI(c.api)
	}
	go c.watchMemory()
	go func() {
		c.exit = c.wait()
		if c.api != nil {
			_ = c.api.Close()
		}
		for _, p := range a.out {
			p.finish()
		}
		close(c.ended)
	}()
	c.follow(s, st)
}

type command struct {
	cmd   *exec.Cmd
	api   net.Listener // nil: the Runtime API is not wanted
	group string
	exit  wire.Exit
	// starved: it was ended since it had no memory left.
	starved atomic.Bool
	ended   chan struct{} // exit is known, and all output carried
}

// follow says that the command runs, and how it ends, if the session lasts so long.
func (c *command) follow(s *yamux.Session, st *yamux.Stream) {
	if wire.Write(st, wire.Event{Started: true}) != nil {
		return
	}
	select {
	case <-c.ended:
		_ = wire.Write(st, wire.Event{Exit: &c.exit})
	case <-s.CloseChan():
	}
}

// launch starts the command in namespaces of its own. phase says whose fault an error is.
func (a *agent) launch(w *wire.Start) (_ *command, phase string, err error) {
	c := &command{group: filepath.Join(groups, "command"), ended: make(chan struct{})}
	if err := c.limit(w); err != nil {
		return nil, "sandbox", err
	}
	group, err := os.Open(c.group)
	if err != nil {
		return nil, "sandbox", err
	}
	defer group.Close()
	plan, err := json.Marshal(w)
	if err != nil {
		return nil, "sandbox", err
	}
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
			files = append(files, r, w)
		}
		return r, w
	}
	planR, planW := pipe()
	failR, failW := pipe()
	outR, outW := pipe()
	errR, errW := pipe()
	if err != nil {
		return nil, "sandbox", err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, "sandbox", err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "sockets"), os.NewFile(uintptr(pair[1]), "sockets")
	files = append(files, ours, theirs)
	c.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{"cloudjit-guest", confineWord}, Env: []string{}, Dir: "/",
		Stdout: outW, Stderr: errW, ExtraFiles: []*os.File{planR, failW, theirs},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
			// The root of the namespace makes the sandbox, and becomes the function's user then.
			UidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}, {ContainerID: wire.UID, HostID: wire.UID, Size: 1}},
			GidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}, {ContainerID: wire.UID, HostID: wire.UID, Size: 1}},
			GidMappingsEnableSetgroups: true,
			Setsid:                     true, UseCgroupFD: true, CgroupFD: int(group.Fd()),
		},
	}
	if err := c.cmd.Start(); err != nil {
		return nil, "sandbox", fmt.Errorf("make namespaces: %w", err)
	}
	for _, f := range []*os.File{planR, failW, theirs, outW, errW} {
		_ = f.Close()
	}
	kill := func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
	go func() {
		_, _ = planW.Write(plan)
		_ = planW.Close()
	}()
	files = []*os.File{failR, ours}
	ns, err := enter(c.cmd.Process.Pid)
	if err != nil {
		kill()
		return nil, "sandbox", err
	}
	missing := func(what string, err error) (*command, string, error) {
		why, _ := io.ReadAll(failR)
		kill()
		return nil, "sandbox", errors.Join(errors.New(string(why)), fmt.Errorf("receive %s: %w", what, err))
	}
	if w.API {
		if c.api, err = receiveListener(ours); err != nil {
			return missing("the Runtime API's socket", err)
		}
	}
	var wires *network
	if w.Network {
		device, err := receive(ours)
		if err != nil {
			return missing("the network's device", err)
		}
		wires = &network{device: device}
		go wires.run()
	}
	a.mu.Lock()
	a.command, a.folders, a.netns, a.network = c, w.Folders, ns, wires
	a.out[0].from, a.out[1].from = outR, errR
	a.mu.Unlock()
	for _, p := range a.out {
		p.begin()
	}
	// The end of this pipe says that the command is executed.
	if why, _ := io.ReadAll(failR); len(why) > 0 {
		kill()
		phase, text, _ := strings.Cut(string(why), ":")
		return nil, phase, errors.New(text)
	}
	return c, "", nil
}

// limit makes the command's control group.
func (c *command) limit(w *wire.Start) error {
	if err := os.MkdirAll(c.group, 0o755); err != nil {
		return fmt.Errorf("make control group: %w", err)
	}
	for _, l := range []struct {
		file string
		n    int64
	}{{"memory.max", int64(w.MemoryMiB) << 20}, {"pids.max", int64(w.PIDs)}} {
		if l.n == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(c.group, l.file), []byte(strconv.FormatInt(l.n, 10)), 0o644); err != nil {
			return fmt.Errorf("limit control group: %w", err)
		}
	}
	return nil
}

// counter reads a number of the control group: the line that begins with key, or the file's only one.
func (c *command) counter(file, key string) int64 {
	b, err := os.ReadFile(filepath.Join(c.group, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 1 && key == "" || len(f) == 2 && f[0] == key {
			n, _ := strconv.ParseInt(f[len(f)-1], 10, 64)
			return n
		}
	}
	return 0
}

// wait waits for the end of the command; the kernel has then ended all others of its namespace.
func (c *command) wait() wire.Exit {
	state, err := c.cmd.Process.Wait()
	exit := wire.Exit{Code: -1}
	if err == nil {
		status := state.Sys().(syscall.WaitStatus)
		if status.Signaled() {
			exit.Signal = status.Signal().String()
		} else {
			exit.Code = status.ExitStatus()
		}
	}
	if exit.Code != 0 && (c.starved.Load() || c.counter("memory.events", "oom_kill") > 0) {
		exit.OutOfMemory = true
	}
	exit.Peak = c.counter("memory.peak", "")
	if use, ok := state.SysUsage().(*syscall.Rusage); ok && exit.Peak == 0 {
		exit.Peak = use.Maxrss << 10
	}
	return exit
}

// receiveListener takes the Runtime API's listener, which was made in the sandbox's network.
func receiveListener(from *os.File) (net.Listener, error) {
	f, err := receive(from)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileListener(f)
}

// receive takes one descriptor from the process that becomes the command.
func receive(from *os.File) (*os.File, error) {
	c, err := net.FileConn(from)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.(*net.UnixConn).ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.New("none came")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("none came")
	}
	return os.NewFile(uintptr(fds[0]), "received"), nil
}

// maxConnections to the Runtime API at once, as the driver's side has them.
const maxConnections = 64

// serveAPI carries each connection to the Runtime API over a stream of its own.
func (a *agent) serveAPI(l net.Listener) {
	free := make(chan struct{}, maxConnections)
	for {
		free <- struct{}{}
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { <-free }()
			s := a.driver()
			st, err := s.OpenStream()
			if err != nil {
				_ = c.Close()
				return
			}
			a.join(s, c, st, true)
		}()
	}
}

// join copies both ways until both ends have nothing to say. What the command has written comes before what it
// says on ordered connections: an answer comes after the lines that were logged before it.
func (a *agent) join(s *yamux.Session, c net.Conn, st *yamux.Stream, ordered bool) {
	var both sync.WaitGroup
	both.Go(func() {
		buf := make([]byte, 16<<10)
		for {
			n, err := c.Read(buf)
			if n > 0 {
				if ordered {
					for _, p := range a.out {
						p.flush()
					}
				}
				if _, werr := st.Write(buf[:n]); werr != nil {
					break
				}
			}
			if err != nil {
				break
			}
		}
		_ = st.Close() // this direction
	})
	both.Go(func() {
		_, err := io.CopyBuffer(plain{struct {
			io.Reader
			io.Writer
		}{nil, c}}, plain{st}, make([]byte, 16<<10))
		// The end of the session looks like the end of what the driver has to say.
		if t, ok := c.(*net.TCPConn); ok && err == nil && !s.IsClosed() {
			_ = t.CloseWrite()
		} else {
			_ = c.Close()
		}
	})
	both.Wait()
	_ = c.Close()
}
