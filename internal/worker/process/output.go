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

// output carries what a runtime writes to its reader, and never makes the runtime wait for that. It makes
// it wait only where all of its function's workers write more than quota allows.
type output struct {
	to    io.Writer // may be nil
	quota *quota
	files [2]*os.File
	ended chan struct{}  // closed when nothing writes any more: what is left is read at once
	group sync.WaitGroup // the readers
	pump  sync.WaitGroup // the writer, while there is something to write

	mu      sync.Mutex
	pending []byte
	dropped int           // bytes since the last mark
	lost    int64         // bytes in all
	resume  *time.Timer   // runs while everything is dropped for a moment; nil: it is not
	written chan struct{} // closed when the writer has ended; nil: there is none
	tail    []byte        // of stderr
}

// newOutput reads from stdout and stderr, which it owns, until both end.
func newOutput(to io.Writer, q *quota, stdout, stderr *os.File) *output {
	o := &output{to: to, quota: q, files: [2]*os.File{stdout, stderr}, ended: make(chan struct{})}
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
	for open := true; open && err == nil; {
		o.await()
		var n int
		err = rc.Read(func(fd uintptr) bool {
			n, open = o.once(int(fd), buf, stderr)
			return n > 0 || !open
		})
		if wait := o.quota.read(n); wait > 0 {
			// The pipe fills up meanwhile, and who writes waits.
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-o.ended:
			}
			t.Stop()
		}
	}
}

// await waits for the reader where nothing may be lost to its slowness: a job's, who says last why it failed.
func (o *output) await() {
	if !o.quota.patient {
		return
	}
	o.mu.Lock()
	written := o.written
	full := len(o.pending) > maxPending/2
	o.mu.Unlock()
	if full && written != nil {
		select {
		case <-written:
		case <-o.ended:
		}
	}
}

// once reads what is there, if anything. Under the lock, so that what has left the pipe is seen
// as pending by flush.
func (o *output) once(fd int, buf []byte, stderr bool) (n int, open bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err == unix.EAGAIN
		default:
			if n > 0 {
				o.take(buf[:n], stderr)
			}
			return n, n > 0
		}
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
	switch {
	case o.resume != nil:
		o.drop(len(p))
		return
	case !o.quota.keep(p):
		o.drop(len(p))
		// All of it for a moment: otherwise every few lines would have one that says so.
		o.resume = time.AfterFunc(dropPeriod, o.goOn)
		return
	case len(o.pending)+len(p) > maxPending: // its reader is too slow
		o.drop(len(p))
	default:
		o.mark()
		o.pending = append(o.pending, p...)
	}
	o.begin()
}

func (o *output) drop(n int) {
	o.dropped += n
	o.lost += int64(n)
}

// begin starts the writer, if there is none. o.mu is held.
func (o *output) begin() {
	if o.written == nil {
		o.written = make(chan struct{})
		o.pump.Go(o.write)
	}
}

// goOn ends the moment in which everything is dropped.
func (o *output) goOn() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.resume != nil {
		o.resume = nil
		o.begin() // which says what was dropped
	}
}

// Dropped is how many bytes were dropped so far.
func (o *output) Dropped() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lost
}

// mark leaves a line where output was dropped. o.mu is held.
func (o *output) mark() {
	if o.dropped > 0 {
		o.pending = fmt.Appendf(o.pending, "\n[cloudjit: %d bytes of output dropped: it came too fast]\n", o.dropped)
		o.dropped = 0
	}
}

// write gives what is pending to the reader, and ends when there is nothing.
func (o *output) write() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		if len(o.pending) == 0 && o.resume == nil {
			o.mark()
		}
		if len(o.pending) == 0 {
			close(o.written)
			o.written = nil
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

// flush gives on what the runtime has written so far, and waits a moment for the reader to take it.
func (o *output) flush() {
	var buf [4 << 10]byte
	for i, f := range o.files {
		rc, err := f.SyscallConn()
		if err != nil {
			continue
		}
		// Beside the goroutine that waits for more, which finds nothing then. Not for ever: the
		// runtime may go on writing. Control fails once the file is closed; nothing is in it then.
		_ = rc.Control(func(fd uintptr) {
			for total := 0; total < maxPending && o.quota.read(0) == 0; {
				n, _ := o.once(int(fd), buf[:], i == 1)
				if n == 0 {
					break
				}
				o.quota.read(n)
				total += n
			}
		})
	}
	o.mu.Lock()
	written := o.written
	o.mu.Unlock()
	if written == nil {
		return
	}
	t := time.NewTimer(flushPatience)
	defer t.Stop()
	select {
	case <-written:
	case <-t.C:
	}
}

// close waits for the end of both streams, which have no writer any more, and a moment for the reader.
func (o *output) close() {
	close(o.ended)
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
	o.goOn()
	o.mu.Lock()
	written := o.written
	o.mu.Unlock()
	if written == nil {
		return
	}
	select {
	case <-written:
	case <-time.After(time.Second):
	}
}

// stderr is the end of what was written there.
func (o *output) stderr() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.tail)
}
