package process

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxPending is how much output may wait for its reader; what comes then is dropped and counted.
	maxPending = 256 << 10
	// maxStderr is how much of the end of stderr is kept.
	maxStderr = 8 << 10
	// flushPatience bounds how long an answer waits for the output that was written before it.
	flushPatience = 20 * time.Millisecond
)

// output carries what a runtime writes to its reader, and never makes the runtime wait for that.
type output struct {
	to    io.Writer // may be nil
	files [2]*os.File
	group sync.WaitGroup // the readers
	pump  sync.WaitGroup // the writer, while there is something to write

	mu      sync.Mutex
	pending []byte
	dropped int
	writing bool
	tail    []byte // of stderr
}

// newOutput reads from stdout and stderr, which it owns, until both end.
func newOutput(to io.Writer, stdout, stderr *os.File) *output {
	o := &output{to: to, files: [2]*os.File{stdout, stderr}}
	for i, f := range o.files {
		o.group.Go(func() { o.read(f, i == 1) })
	}
	return o
}

func (o *output) read(f *os.File, stderr bool) {
	rc, err := f.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 4<<10)
	for n := 1; n > 0 && err == nil; {
		err = rc.Read(func(fd uintptr) bool {
			// Under the lock, so that what has left the pipe is seen as pending by flush.
			o.mu.Lock()
			defer o.mu.Unlock()
			var rerr error
			for n, rerr = unix.Read(int(fd), buf); rerr == unix.EINTR; n, rerr = unix.Read(int(fd), buf) {
			}
			if rerr == unix.EAGAIN {
				return false
			}
			if n > 0 {
				o.take(buf[:n], stderr)
			}
			return true
		})
	}
}

// take notes what was read. o.mu is held.
func (o *output) take(p []byte, stderr bool) {
	if stderr {
		o.tail = append(o.tail, p...)
		if n := len(o.tail); n > maxStderr {
			o.tail = append(o.tail[:0], o.tail[n-maxStderr:]...)
		}
	}
	if o.to == nil {
		return
	}
	if len(o.pending)+len(p) > maxPending {
		o.dropped += len(p)
	} else {
		o.mark()
		o.pending = append(o.pending, p...)
	}
	if !o.writing {
		o.writing = true
		o.pump.Go(o.write)
	}
}

// mark leaves a line where output was dropped. o.mu is held.
func (o *output) mark() {
	if o.dropped > 0 {
		o.pending = fmt.Appendf(o.pending, "\n[cloudjit: %d bytes of output dropped]\n", o.dropped)
		o.dropped = 0
	}
}

// write gives what is pending to the reader, and ends when there is nothing.
func (o *output) write() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		if len(o.pending) == 0 {
			o.mark()
		}
		if len(o.pending) == 0 {
			o.writing = false
			return
		}
		p := o.pending
		o.pending = nil
		o.mu.Unlock()
		_, err := o.to.Write(p)
		o.mu.Lock()
		if err != nil {
			o.to, o.pending, o.dropped = nil, nil, 0
		}
	}
}

// flush waits a moment until what the runtime has written so far has been given on.
func (o *output) flush() {
	if o.empty() {
		return
	}
	for end := time.Now().Add(flushPatience); time.Now().Before(end) && !o.empty(); {
		time.Sleep(200 * time.Microsecond)
	}
}

func (o *output) empty() bool {
	for _, f := range o.files {
		rc, err := f.SyscallConn()
		if err != nil {
			continue
		}
		n := 0
		// Control fails once the file is closed, and there is nothing in it then.
		_ = rc.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
		if n > 0 {
			return false
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.writing
}

// close waits for the end of both streams, which have no writer any more, and a moment for the reader.
func (o *output) close() {
	done := make(chan struct{})
	go func() {
		o.group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second): // something of the host holds the other end
	}
	for _, f := range o.files {
		_ = f.Close()
	}
	<-done
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		o.mu.Lock()
		idle := !o.writing
		o.mu.Unlock()
		if idle {
			return
		}
	}
}

// stderr is the end of what was written there.
func (o *output) stderr() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.tail)
}
