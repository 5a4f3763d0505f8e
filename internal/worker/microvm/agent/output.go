package agent

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"github.com/cloudjit/cloudjit/internal/worker/microvm/wire"
)

// pump carries what the command writes. Two may read: the one that waits for more, and one that wants all that is
// there to be sent before something else.
type pump struct {
	from *os.File
	done chan struct{} // all is carried

	mu       sync.Mutex // held from a read to the end of its write
	to       io.Writer  // nil: what is written waits
	left     chan struct{}
	attached sync.Cond
}

func newPump() *pump {
	p := &pump{done: make(chan struct{})}
	p.attached.L = &p.mu
	return p
}

// carry takes the stream for one of the two outputs, and returns when all is carried, or it is taken away.
func (a *agent) carry(op string, st *yamux.Stream) {
	p := a.out[0]
	if op == wire.OpStderr {
		p = a.out[1]
	}
	p.mu.Lock()
	if p.to != nil || wire.Write(st, wire.Event{}) != nil {
		p.mu.Unlock()
		return
	}
	left := make(chan struct{})
	p.to, p.left = st, left
	p.mu.Unlock()
	p.attached.Broadcast()
	select {
	case <-p.done:
	case <-left:
	}
}

// detach carries what is there, and takes the stream away.
func (p *pump) detach() {
	p.flush()
	p.mu.Lock()
	p.leave()
	p.mu.Unlock()
}

// leave: p.mu is held.
func (p *pump) leave() {
	if p.to != nil {
		p.to = nil
		close(p.left)
	}
}

func (p *pump) begin() {
	go func() {
		defer close(p.done)
		rc, err := p.from.SyscallConn()
		if err != nil {
			return
		}
		defer p.from.Close()
		buf := make([]byte, 8<<10)
		for open := true; open && err == nil; {
			err = rc.Read(func(fd uintptr) bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				for p.to == nil {
					p.attached.Wait()
				}
				var n int
				n, open = p.once(int(fd), buf)
				return n > 0 || !open
			})
		}
	}()
}

// once carries what is there, if anything. p.mu is held, and there is a stream.
func (p *pump) once(fd int, buf []byte) (n int, open bool) {
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, errors.Is(err, unix.EAGAIN)
		case n == 0:
			return 0, false
		default:
			if _, err = p.to.Write(buf[:n]); err != nil {
				p.leave() // the session has ended, and another one may come
			}
			return n, true
		}
	}
}

// flushMost bounds how much a flush carries: a command may write without an end.
const flushMost = 256 << 10

// flush carries what the command has written so far.
func (p *pump) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.to == nil || p.from == nil {
		return
	}
	rc, err := p.from.SyscallConn()
	if err != nil {
		return
	}
	var buf [4 << 10]byte
	_ = rc.Control(func(fd uintptr) {
		for total := 0; total < flushMost && p.to != nil; {
			n, open := p.once(int(fd), buf[:])
			if n == 0 || !open {
				return
			}
			total += n
		}
	})
}

// finish waits until all is carried: nothing writes any more.
func (p *pump) finish() { <-p.done }
