// Package policy decides what is a matter of taste: how long an idle worker is kept, which
// revisions are worth a build and in which order, and how long one waits after a failure.
//
// A policy is asked by the engine and answers from what it is told: times are arguments, and
// the same calls give the same answers, so that one policy serves the live platform and the
// simulator. It must not know workers, queues or the state machine, and it does no I/O.
package policy

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Dense identifiers; a policy that keeps state of its own keeps it in slices by them.
type (
	// FunctionID is the index of a function.
	FunctionID int32
	// RevisionID is the index of a revision.
	RevisionID int32
)

// Params are a function's own parameters of the policy.
type Params struct {
	// KeepAlive is how long an idle worker is kept, in ns; 0: stopped at once.
	KeepAlive int64
	// Threshold: more than so many cold starts of the function inside Window ask for a build.
	Threshold int32
	// Window is the length of the sliding window, in ns.
	Window int64
}

// DefaultParams are the paper's: 10 minutes (5.1), 10 cold starts in a minute (4.2).
func DefaultParams() Params {
	return Params{
		KeepAlive: int64(10 * time.Minute),
		Threshold: 10,
		Window:    int64(time.Minute),
	}
}

// View is what a policy may know of a revision and its function when it is asked. It is
// only valid during the call.
type View struct {
	Function FunctionID
	Revision RevisionID
	Params   Params
	// Tier of the worker in question (KeepAlive), or of new workers (Promote, Priority).
	Tier function.Tier
	// Level of the binary that serves, LevelNone without one.
	Level function.Level
	// MemoryMiB is what a worker of each tier reserves.
	MemoryMiB *[function.TierCount]int32
	// Recent are the cold starts of the function.
	Recent *Window
	// Invocations and ColdStarts count since the revision was added.
	Invocations, ColdStarts uint64
	// NativeInvocations counts what the present binary has served.
	NativeInvocations uint64
	// Busy is the time in ns that workers of the revision have spent on invocations.
	Busy int64
	// Added is when the revision was added, ns.
	Added int64
	// BuildFailures and Deopts count what went wrong in a row, and so far.
	BuildFailures, Deopts int32
}

// Policy is all that the engine asks.
type Policy interface {
	// KeepAlive is how long (ns) a worker that is idle from now on is kept; 0: not at all.
	KeepAlive(now int64, v *View) int64
	// Promote is the level that the revision should have, as far as can be said now;
	// LevelNone, or the level that it has: no build. Asked on every cold start, and on every
	// 256th invocation that a binary serves.
	Promote(now int64, v *View) function.Level
	// Priority orders the build queue: the highest is built first, the older of equals.
	// Asked for every queued revision when a builder is free.
	Priority(now int64, v *View) float64
	// DeoptBackoff is how long (ns) no build is made after the nth deoptimization, n from 1.
	DeoptBackoff(n int32) int64
	// BuildBackoff is how long (ns) no build is made after the nth failed build in a row, n from 1.
	BuildBackoff(n int32) int64
}

// Observer is implemented by policies that learn from arrivals; they are told each.
type Observer interface {
	// Arrived is called for every invocation, before any question that it leads to.
	Arrived(now int64, f FunctionID, r RevisionID)
}
