package process

import (
	"sync"
	"time"
)

// A build that runs only where nothing else wants the processors still makes a start beside it slower: it fills the memory and the caches that
// both use, and what it is in the middle of in the kernel it ends first. So builds stand still for the moment in which a worker
// starts, or answers for the first time. That is a small part of the time: it is bounded, and builds go on. Trials do not stand still:
// what a function answers may depend on how long it took.

const (
	// yieldMost is how long builds stand still for one start, or for one first invocation, at most.
	yieldMost = 250 * time.Millisecond
	// yieldPart of the time is how long they may stand still in all, and yieldSaved how much of that can be saved up.
	yieldPart  = 0.2
	yieldSaved = time.Second
)

// allowance is how long builds may stand still now.
type allowance struct {
	left time.Duration
	at   time.Time
}

// take brings it up to date: since it was looked at last, builds stood still, or they ran.
func (a *allowance) take(now time.Time, still bool) time.Duration {
	gone := now.Sub(a.at)
	a.at = now
	a.left += time.Duration(yieldPart * float64(gone))
	if still {
		a.left -= gone
	}
	a.left = min(max(a.left, 0), yieldSaved)
	return a.left
}

// yielding stops the jobs of a driver for a moment.
type yielding struct {
	mu     sync.Mutex
	jobs   map[*handle]chan<- struct{} // by which each learns that something has changed
	causes int                         // starts and first invocations that there are now
	still  bool
	allowance
	timer *time.Timer
}

// add has a job stand still when others do, until it has ended.
func (y *yielding) add(h *handle) {
	if h.group == nil || !h.driver.freezes {
		return
	}
	changed := make(chan struct{}, 1)
	y.mu.Lock()
	if y.jobs == nil {
		y.jobs = map[*handle]chan<- struct{}{}
	}
	y.jobs[h] = changed
	y.mu.Unlock()
	go y.follow(h, changed)
}

// follow stops one job and lets it go on.
func (y *yielding) follow(h *handle, changed <-chan struct{}) {
	for {
		select {
		case <-h.removed:
			y.mu.Lock()
			defer y.mu.Unlock()
			delete(y.jobs, h)
			return
		case <-changed:
		}
		y.mu.Lock()
		still := y.still
		y.mu.Unlock()
		if still {
			_ = h.Pause() // it goes on beside the start, as it did
		} else {
			_ = h.Resume()
		}
	}
}

// tell says that something has changed.
func (y *yielding) tell() {
	for _, changed := range y.jobs {
		select {
		case changed <- struct{}{}:
		default: // it has not looked yet
		}
	}
}

// begin stops the jobs until end is called, at most for yieldMost. It does not wait until they stand still.
func (y *yielding) begin() (end func()) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.jobs) == 0 {
		return func() {}
	}
	y.causes++
	most := min(y.take(time.Now(), y.still), yieldMost)
	if !y.still && most > 0 {
		y.still = true
		y.tell()
	}
	if y.still {
		if y.timer != nil {
			y.timer.Stop()
		}
		y.timer = time.AfterFunc(most, y.goOn)
	}
	return sync.OnceFunc(func() {
		y.mu.Lock()
		defer y.mu.Unlock()
		if y.causes--; y.causes == 0 {
			y.run()
		}
	})
}

// goOn lets the jobs go on, whoever still starts.
func (y *yielding) goOn() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.run()
}

func (y *yielding) run() {
	if y.still {
		y.take(time.Now(), true)
		y.still = false
		y.tell()
	}
}

// first has jobs stand still for the worker's first invocation, until end is called.
func (h *handle) first() (end func()) {
	if h.invoked.Load() || h.spec.Trial || h.invoked.Swap(true) {
		return func() {}
	}
	return h.driver.yielding.begin()
}
