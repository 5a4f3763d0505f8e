package sim

import "github.com/cloudjit/cloudjit/internal/engine"

// Computing sums what an engine was told of a function's CPU time, and how long the invocations took that it was told of. Times are ns.
type Computing struct{ CPU, Took int64 }

// Share is how much of its invocations' time a function computes; 0: not known.
func (c Computing) Share() float64 {
	if c.Took <= 0 || c.CPU <= 0 {
		return 0
	}
	return float64(c.CPU) / float64(c.Took)
}

// Clocked follows, in a log, what is told of one worker's CPU time. The zero value is a new worker's.
type Clocked struct {
	clock engine.Clock
	took  int64
}

// Ready notes that the worker is ready.
func (c *Clocked) Ready(now int64) { c.clock.Ready(now) }

// Ended notes that an invocation ended at a time, which took so long, and that the engine was then told of so much CPU time. All are ns.
func (c *Clocked) Ended(now, took, cpu int64, sum *Computing) {
	c.took += took
	if due, warm := c.clock.Ended(now); !due {
		return
	} else if warm && cpu > 0 {
		sum.CPU += cpu
		sum.Took += c.took
	}
	c.took = 0
}

// computed is the CPU time that the engine is told of when an invocation of a worker ends that took so long.
func (c *cluster) computed(w *workerState, took int64) int64 {
	share := c.fns[w.fn].computes
	if share <= 0 {
		return 0
	}
	w.cpu += int64(share * float64(took))
	due, warm := w.clock.Ended(c.now)
	if !due {
		return 0
	}
	cpu := w.cpu
	w.cpu = 0
	if !warm {
		return 0
	}
	return cpu
}

// speed is how many times longer invocations take on a rung of which that is said of what computes: what they wait for takes as long.
func (f *fnState) speed(rung float64) float64 {
	if f.computes <= 0 {
		return rung
	}
	return 1 + min(f.computes, 1)*(rung-1)
}
