// Package engine is the pure core of a node: one function, Step, takes the time and an event
// and returns what has to be done. It brings queues, placement, warm workers and the
// pipelines of all revisions together.
//
// It reads no clock, does no I/O, starts no goroutine and writes no log; the same events at
// the same times give the same actions. internal/node carries the actions out on real workers,
// internal/sim on modelled durations. No event allocates once the slices have grown, but
// those that add functions and revisions.
package engine
