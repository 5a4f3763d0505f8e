package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// receive reads the descriptors that the child hands over, and then waits for the end of the
// socket: the child has executed its program, or has ended. When the child asks for it, mapUsers is called in between.
func receive(control *net.UnixConn, mapUsers func() error) ([]int, error) {
	var fds []int
	buf, oob := make([]byte, 16), make([]byte, unix.CmsgSpace(4*maxSockets))
	for {
		n, oobn, _, _, err := control.ReadMsgUnix(buf, oob)
		if oobn > 0 {
			msgs, perr := unix.ParseSocketControlMessage(oob[:oobn])
			if perr != nil {
				return fds, fmt.Errorf("receive sockets: %w", perr)
			}
			for _, m := range msgs {
				got, perr := unix.ParseUnixRights(&m)
				if perr != nil {
					return fds, fmt.Errorf("receive sockets: %w", perr)
				}
				fds = append(fds, got...)
			}
		}
		if err != nil || n == 0 { // the end, or the close of a start that was given up
			return fds, nil
		}
		if slices.Contains(buf[:n], mapRequest) {
			if err := mapUsers(); err != nil {
				_ = control.CloseWrite()
				return fds, err
			}
			_, _ = control.Write([]byte{1}) // if that fails, the child has ended
		}
	}
}

// SocketPair is a socket of ours, and one for a child.
func SocketPair() (*net.UnixConn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make control socket: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "control")
	f := os.NewFile(uintptr(pair[0]), "control")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("make control socket: %w", err)
	}
	return c.(*net.UnixConn), theirs, nil
}

// listener makes a net.Listener of a descriptor, which it takes.
func listener(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "runtime-api")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listen for the Runtime API: %w", err)
	}
	return l, nil
}

// dialer connects to a port inside a network through sockets that were made there. A socket
// is used again after its connection has ended, so there are never more connections than sockets.
type dialer struct {
	port int
	free chan int

	mu     sync.Mutex
	closed bool
	all    []int
}

func newDialer(fds []int, port int) *dialer {
	d := &dialer{port: port, free: make(chan int, len(fds)), all: fds}
	for _, fd := range fds {
		d.free <- fd
	}
	return d
}

var errDialerClosed = errors.New("the sandbox is gone")

// dial opens one connection, and waits for a free socket if there is none.
func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	select {
	case fd, ok := <-d.free:
		if !ok {
			return nil, errDialerClosed
		}
		c, err := d.connect(fd)
		if err != nil {
			d.put(fd)
			return nil, err
		}
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (d *dialer) connect(fd int) (net.Conn, error) {
	err := unix.Connect(fd, &unix.SockaddrInet4{Port: d.port, Addr: [4]byte{127, 0, 0, 1}})
	if errors.Is(err, unix.EINPROGRESS) {
		// The handshake over loopback is done when connect returns, unless the backlog is full.
		err = pollConnect(fd)
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	f := os.NewFile(uintptr(dup), "port")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return &socketConn{TCPConn: c.(*net.TCPConn), release: func() { d.put(fd) }}, nil
}

func pollConnect(fd int) error {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if n, err := unix.Poll(p, 1000); err != nil {
		return err
	} else if n == 0 {
		return unix.ETIMEDOUT
	}
	e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if e != 0 {
		return unix.Errno(e)
	}
	return nil
}

// put dissolves the connection (connect(2): AF_UNSPEC) and makes the socket free again.
func (d *dialer) put(fd int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	unspec := unix.RawSockaddrInet4{Family: unix.AF_UNSPEC}
	disconnect(fd, &unspec)
	d.free <- fd
}

// close ends the sockets; connections under way break.
func (d *dialer) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.closed = true
	for _, fd := range d.all {
		_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		_ = unix.Close(fd)
	}
	close(d.free)
	for range d.free { // what waits finds the channel closed
	}
}

type socketConn struct {
	*net.TCPConn
	once    sync.Once
	release func()
}

func (c *socketConn) Close() error {
	err := c.TCPConn.Close()
	c.once.Do(c.release)
	return err
}
