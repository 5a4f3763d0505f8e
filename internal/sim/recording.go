package sim

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// FunctionOptions are what differs from function to function. What is missing is as in Options.
type FunctionOptions struct {
	// Function and Revision are what the engine is told; the identifiers in them are the simulation's.
	// A revision without a ladder, or without memory, has the simulation's.
	Function engine.FunctionConfig
	Revision engine.RevisionConfig
	// Added is when the engine is told of it.
	Added time.Duration
	// Ahead says that with policy.PrepareDeploy its light artifacts are there when the trace begins; else its engine
	// makes them from then on.
	Ahead bool
	// Computes is the CPU time of its invocations against what they take. 0: it is not known; then the engine is told of none, and a rung's
	// speed counts for all of an invocation, and not only for this share.
	Computes float64
	// Starts are measured ones, in order of time: a start takes as long as the one that was
	// nearest in time, for a busy machine starts slowly.
	Starts map[Way][]MeasuredStart
	// Overhead and FirstOverhead are measured means, in the place of the model's.
	Overhead, FirstOverhead map[Way]time.Duration
	// MemoryMB is what a worker uses; that of one that records is, if it is not here, that of its rung.
	MemoryMB map[Way]float64
	// Told is what its engine was told of its workers' memory, in any order: it is told what was measured of one that had served about as
	// much, and of these what was nearest in time, for a worker that has served little uses less. None: MemoryMB.
	Told map[Way][]MeasuredMemory
	// Builds are the measured means of what builds cost; of those, figures of 0 are the ladder's.
	Builds map[function.Rung]ladder.Cost
	// Checks are the same of what comparing artifacts took.
	Checks map[function.Rung]ladder.Cost
}

// MeasuredStart is the start of a worker.
type MeasuredStart struct{ At, Took time.Duration }

// InOrder puts starts in order of time: they were noted when they ended.
func InOrder(starts []MeasuredStart) {
	slices.SortStableFunc(starts, func(a, b MeasuredStart) int { return cmp.Compare(a.At, b.At) })
}

// MeasuredMemory is what an engine was told that a worker uses, after so many invocations.
type MeasuredMemory struct {
	At     time.Duration
	Served int32
	MB     float64
}

// nearest is how long the start took that was nearest to a time.
func nearest(starts []MeasuredStart, at time.Duration) time.Duration {
	i, _ := slices.BinarySearchFunc(starts, at, func(s MeasuredStart, at time.Duration) int { return cmp.Compare(s.At, at) })
	if i == len(starts) || i > 0 && at-starts[i-1].At < starts[i].At-at {
		i--
	}
	return starts[i].Took
}

// likest is what was measured of a worker that had served about as much as one that has served so much, to a power of two; of these it is
// what was measured nearest to a time.
func likest(told []MeasuredMemory, at time.Duration, served int32) float64 {
	far := func(m MeasuredMemory) (int, time.Duration) {
		off := bits.Len32(uint32(m.Served)) - bits.Len32(uint32(served))
		return max(off, -off), (m.At - at).Abs()
	}
	return slices.MinFunc(told, func(a, b MeasuredMemory) int {
		servedA, timeA := far(a)
		servedB, timeB := far(b)
		return cmp.Or(cmp.Compare(servedA, servedB), cmp.Compare(timeA, timeB))
	}).MB
}

// Recording is what the log of a live engine says, as a trace and a model for a simulation:
// the arrivals, the measured durations of invocations, starts and builds, the limits and every
// function's own configuration, as it was last. Simulated, it should have the cold starts that
// Live counts.
type Recording struct {
	Trace   *trace.Recorded
	Options Options
	Live    LiveCounts
}

// LiveCounts is what happened.
type LiveCounts struct {
	Invocations      int `json:"invocations"`
	ColdStarts       int `json:"coldStarts"`
	ColdStartsNative int `json:"coldStartsNative"`
	Builds           int `json:"builds"`
	// ColdByRung and BuildsByRung are the same by rung.
	ColdByRung   map[function.Rung]int `json:"coldStartsByRung"`
	BuildsByRung map[function.Rung]int `json:"buildsByRung"`
	// Skipped invocations never ran or had not ended: they are not in the trace.
	Skipped int `json:"skipped"`
	// Steps were read. CutOff: the last one was not whole, as of a server that was killed.
	Steps  int  `json:"steps"`
	CutOff bool `json:"cutOff"`
	// ColdBySecond are the cold starts in each second from the log's beginning.
	ColdBySecond []int32 `json:"-"`
}
