package engine

import "sync/atomic"

// Scale is when the memory of a worker that runs is measured, for its engine to be told of it at the end of the next invocation
// (Event.MemoryMB): when it is idle for the first time after it has served, and again whenever it has served twice as many invocations as when it
// was measured last. Else an engine would know what a function's workers use only when the first of them ends, and keep them by a guess
// until then. The zero value is a new worker's. It may be used by several goroutines at once.
type Scale struct{ served, next atomic.Int32 }

// Ended counts an invocation that ends.
func (s *Scale) Ended() { s.served.Add(1) }

// Idle says that the worker has been idle for a moment. With due, its memory is to be measured now.
func (s *Scale) Idle() (due bool) {
	served, next := s.served.Load(), s.next.Load()
	return served > 0 && served >= next && s.next.CompareAndSwap(next, 2*served)
}
