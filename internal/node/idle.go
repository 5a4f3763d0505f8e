package node

import (
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// recordPause is the least time that an idle recorder of metadata runs on: the tracer writes what it found
// some hundred milliseconds later, and what it never writes nobody reads.
const recordPause = 3 * time.Second

// idler keeps a worker from running while it has nothing to do. Between invocations that follow each other
// within the grace it costs a mutex and a look at the clock; a timer fires once in each grace.
type idler struct {
	after  func() // told when the worker was paused
	failed func(error)

	mu     sync.Mutex
	worker worker.Pauser // nil: it cannot be paused, or has ended
	grace  time.Duration
	off    bool // it is to be left running
	uses   int
	since  time.Time // when it became idle
	timer  *time.Timer
	armed  bool
	paused bool
}

// begin takes a worker that has just become ready. Without a grace it is never paused.
func (i *idler) begin(w worker.Worker, grace time.Duration, off bool) {
	p, ok := w.(worker.Pauser)
	if !ok || grace <= 0 {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.worker, i.grace, i.off, i.since = p, grace, off, time.Now()
	i.arm(grace)
}

// arm lets fire look in a while. i.mu is held.
func (i *idler) arm(d time.Duration) {
	if i.armed || i.off || i.worker == nil {
		return
	}
	i.armed = true
	if i.timer == nil {
		i.timer = time.AfterFunc(d, i.fire)
		return
	}
	i.timer.Reset(d)
}

// enter says that the worker is about to be used; leave must follow. When it returns the worker runs.
func (i *idler) enter() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.uses++
	i.resume()
}

// leave says that a use of the worker has ended.
func (i *idler) leave() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.uses--; i.uses == 0 && i.worker != nil {
		i.since = time.Now()
		i.arm(i.grace)
	}
}

// fire pauses a worker that has been idle for the grace.
func (i *idler) fire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.armed = false
	if i.worker == nil || i.off || i.uses > 0 {
		return
	}
	if left := i.grace - time.Since(i.since); left > 0 {
		i.arm(left)
		return
	}
	if err := i.worker.Pause(); err != nil {
		i.failed(err)
		return
	}
	i.paused = true
	i.after()
}

// resume lets the worker run. i.mu is held.
func (i *idler) resume() {
	if !i.paused {
		return
	}
	i.paused = false
	if err := i.worker.Resume(); err != nil {
		i.failed(err)
	}
}

// leaveRunning changes whether the worker is to be left running.
func (i *idler) leaveRunning(off bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.off = off
	if off {
		i.resume()
	} else if i.uses == 0 {
		i.arm(i.grace)
	}
}

// isPaused reports whether the worker is kept from running now.
func (i *idler) isPaused() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.paused
}

// end forgets the worker, which is about to be stopped.
func (i *idler) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.resume()
	i.worker = nil
	if i.timer != nil {
		i.timer.Stop()
	}
}
