package engine

import (
	"sync/atomic"
	"time"
)

// Clock is when an engine is told of the CPU time that a worker took (Event.CPU): at the end of an invocation, at most once a second,
// and not while the worker's code is cold. The zero value is a new worker's. It may be used by several goroutines at once.
type Clock struct{ turns, last atomic.Int64 }

const (
	clockPeriod = int64(time.Second)
	// coldTurns is how many invocations of a worker spend their time on loading and compiling code.
	coldTurns = 16
)

// Ready says that the worker is ready now: what its start took is no invocation's.
func (c *Clock) Ready(now int64) { c.last.Store(now) }

// Ended counts an invocation that ends at a time (ns). With due, the worker's CPU time is to be read now. If it is warm, too, the engine is told
// what it took since it was read last.
func (c *Clock) Ended(now int64) (due, warm bool) {
	last := c.last.Load()
	warm = c.turns.Add(1) > coldTurns
	return now-last >= clockPeriod && c.last.CompareAndSwap(last, now), warm
}
