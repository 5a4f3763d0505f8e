package node

import (
	"sync"
	"time"

	"github.com/cloudjit/cloudjit/internal/worker"
)

// usage is what of a worker's use has been added to its revision's and to the metrics.
type usage struct {
	mu      sync.Mutex
	cpu     time.Duration
	dropped int64
}

// account adds what a worker used since it was asked last: when it was paused, once a second while it is
// busy, when somebody looks, and at its end.
func (n *Node) account(w *instance) {
	u := &w.usage
	u.mu.Lock()
	defer u.mu.Unlock()
	var cpu time.Duration
	var dropped int64
	if c, ok := w.worker.(worker.Clocker); ok {
		now := max(c.CPU(), u.cpu)
		cpu, u.cpu = now-u.cpu, now
	}
	if d, ok := w.worker.(worker.Dropper); ok {
		now := max(d.Dropped(), u.dropped)
		dropped, u.dropped = now-u.dropped, now
	}
	w.rev.cpu.Add(int64(cpu))
	w.rev.dropped.Add(dropped)
	if n.opt.Metrics != nil && (cpu > 0 || dropped > 0) && n.stored(w.rev) { // or its series come back
		n.opt.Metrics.Use(w.rev.fn.name, w.row.Name, cpu, dropped)
	}
}

// sum is what was accounted of a worker so far.
func (u *usage) sum() (cpu time.Duration, dropped int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cpu, u.dropped
}
