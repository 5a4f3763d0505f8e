package agent

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// netns makes sockets in the network of the sandbox, on a thread that has entered it for good.
type netns struct{ ask chan chan<- socket }

type socket struct {
	fd  int
	err error
}

func enter(pid int) (*netns, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, fmt.Errorf("enter the sandbox's network: %w", err)
	}
	n := &netns{ask: make(chan chan<- socket)}
	entered := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no other use
		err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		_ = f.Close()
		entered <- err
		if err != nil {
			return
		}
		for to := range n.ask {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			to <- socket{fd, err}
		}
	}()
	if err := <-entered; err != nil {
		return nil, fmt.Errorf("enter the sandbox's network: %w", err)
	}
	return n, nil
}

// dial connects to the port of a web function.
func (n *netns) dial(port int) (net.Conn, error) {
	to := make(chan socket)
	n.ask <- to
	s := <-to
	if s.err != nil {
		return nil, s.err
	}
	err := unix.Connect(s.fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err == unix.EINPROGRESS { // only with a full backlog, over loopback
		p := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}
		if _, err = unix.Poll(p, int(time.Second/time.Millisecond)); err == nil {
			var code int
			if code, err = unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && code != 0 {
				err = unix.Errno(code)
			}
		}
	}
	f := os.NewFile(uintptr(s.fd), "port")
	defer f.Close()
	if err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

func (a *agent) dial(s *yamux.Session, st *yamux.Stream) {
	a.mu.Lock()
	ns := a.netns
	a.mu.Unlock()
	if ns == nil {
		_ = wire.Write(st, wire.Event{Error: "nothing runs"})
		return
	}
	c, err := ns.dial(wire.WebPort)
	if err != nil {
		_ = wire.Write(st, wire.Event{Error: err.Error()})
		return
	}
	if wire.Write(st, wire.Event{}) != nil {
		_ = c.Close()
		return
	}
	a.join(s, c, st, false)
}
