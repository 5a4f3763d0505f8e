// Package policy decides what is a matter of taste: how long an idle worker is kept and when one
// is started ahead of its invocation, what a revision records and which artifacts are made, in
// which order, which of its rungs serves, whether an invocation waits for a busy worker, and how
// long one waits after a failure.
//
// A policy is asked by the engine and answers from what it is told: times are arguments, and
// the same calls give the same answers, so that one policy serves the live platform and the
// simulator. It must not know workers, queues or the state machine, and it does no I/O.
package policy

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

// Dense identifiers; a policy that keeps state of its own keeps it in slices by them.
type (
	// FunctionID is the index of a function.
	FunctionID int32
	// RevisionID is the index of a revision.
	RevisionID int32
)

// Prepare is when the light artifacts of a function are made, and with PrepareDeploy the early ones.
type Prepare uint8

const (
	// PrepareFirstUse: of what the first worker with ordinary traffic recorded. The default.
	PrepareFirstUse Prepare = iota
	// PrepareDeploy: before the first invocation, of a worker that only starts.
	PrepareDeploy
	// PrepareNever: not at all.
	PrepareNever
)

var prepareNames = [...]string{"first-use", "deploy", "never"}

func (p Prepare) String() string { return function.EnumName(prepareNames[:], uint8(p)) }

// MarshalText writes the name.
func (p Prepare) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the name and fails on any other.
func (p *Prepare) UnmarshalText(b []byte) error {
	return function.ParseEnum("prepare", prepareNames[:], (*uint8)(p), b)
}

// PrepareNames are what Prepare can be.
func PrepareNames() []string { return prepareNames[:] }

// Params are a function's own parameters of the policy.
type Params struct {
	// KeepAlive is how long an idle worker is kept at most, in ns; 0: stopped at once.
	KeepAlive int64
	// Threshold: more than so many cold starts of the function inside Window ask for a build.
	Threshold int32
	// Window is the length of the sliding window, in ns.
	Window int64
	// MaxWait bounds the latency (ns) that a shorter keep-alive may add to an invocation: where a
	// start takes longer, the worker is kept for KeepAlive. 0: no bound.
	MaxWait int64
	// Prepare says when light artifacts are made.
	Prepare Prepare
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
// only valid during the call, and nothing in it may be changed.
type View struct {
	Function FunctionID
	Revision RevisionID
	Params   Params
	// Ladder of the revision, with what this node has learned of it.
	Ladder *ladder.Ladder
	// Rung of the worker in question (Keep), or of new workers (all other questions).
	Rung ladder.ID
	// Rungs has one entry for each rung of the ladder.
	Rungs []RungView
	// Invocations and ColdStarts count since the revision was added.
	Invocations, ColdStarts uint64
	// Busy is the time in ns that workers of the revision have spent on invocations.
	Busy int64
	// CPU is the CPU time in ns that was measured of its workers meanwhile, their starts left out; 0: not
	// known.
	CPU int64
	// Added is when the revision was added, ns.
	Added int64
	// Service is the smoothed duration (ns) of its last invocations on a worker; 0: not known.
	Service int64
	// Recorded says which recordings there are to build from.
	Recorded [ladder.RecordingCount]bool
	// Recent are the cold starts of the function.
	Recent *Window
	// Waiting counts its invocations without a worker, Starting, Idle and Working its workers; the
	// worker in question (Keep) is none of them.
	Waiting, Starting, Idle, Working int32
	// Oldest is since when the first of those that wait does, ns; meaningless if none does.
	Oldest int64
	// Fresh: the worker in question (Keep) has served nothing yet; it was started ahead.
	Fresh bool
	// Crowded: other revisions wait for room to start workers.
	Crowded bool
	// Full: the machine's cores had hardly a moment free in the last seconds.
	Full bool
	// Cores of the machine; 0: not known.
	Cores int32
}

// RungView is what is known of one rung of a revision.
type RungView struct {
	// Ready: there is an artifact that came up. True of the first rung.
	Ready bool
	// Making: it is wanted and on its way: it waits, is built or checked.
	Making bool
	// Start is how long (ns) a worker takes to be ready: measured, or estimated from the ladder.
	Start int64
	// Warming is how much longer the first invocation of a worker takes than later ones, in starts of the rung: measured, 0 until
	// then; below 0 where it took less.
	Warming float64
	// MemoryMB is what a worker uses: measured, or estimated.
	MemoryMB float64
	// Speed is the duration of an invocation against the first rung's: measured (Timed), or the ladder's, which
	// is that of one that only computes. Doubt is the standard error of what was measured, of the same unit.
	Speed, Doubt float64
	Timed        bool
	// Served counts the invocations of workers of the present artifact.
	Served uint64
	// Failures counts failed builds and checks in a row, Falls how often the rung was left
	// because its artifact turned out wrong.
	Failures, Falls int32
	// Barred: its artifact answered otherwise than the first rung, and would again, or its function needs what none of
	// its kind can do: it is not made.
	Barred bool
}

// Keep is what becomes of a worker that is idle from now on.
type Keep struct {
	// Alive is how long (ns) it is kept; 0: not at all.
	Alive int64
	// Again is when (ns) a worker is to be started ahead of the next invocation, if this one
	// was stopped for idleness and the revision has no other then; 0: never.
	Again int64
}

// Decision is what a revision should have, as far as can be said now.
type Decision struct {
	// Record is what the next new worker should record, RecordingNone: nothing. A recording that
	// there is already is not taken again.
	Record ladder.Recording
	// Beside: a worker is started for the recording beside those that serve, at once; else the next new
	// one takes it.
	Beside bool
	// Make is the rung whose artifact is to be made next; First: none. Nothing is lost by
	// naming one that is there, or on its way, or cannot be made yet.
	Make ladder.ID
	// Serve is the highest rung that new workers may be of, of those that are ready.
	Serve ladder.ID
}

// Policy is all that the engine asks.
type Policy interface {
	// Keep is asked when a worker becomes idle.
	Keep(now int64, v *View) Keep
	// Decide is asked on every cold start, on every 256th invocation, and when a recording or an
	// artifact of the revision is there or was lost.
	Decide(now int64, v *View) Decision
	// Start reports whether one more worker is started for invocations that no idle worker can
	// take, while others of the revision work or start. Asked when one more waits, and again after
	// the time of a start. Not asked where the revision has no worker: then one starts.
	Start(now int64, v *View) bool
	// Surplus reports whether a worker that has just ended an invocation is stopped, though others wait, as the
	// revision's other workers answer as many without it. It counts neither as Working nor as Idle. Asked only while the machine
	// is full.
	Surplus(now int64, v *View) bool
	// Priority orders the build queue: the highest is built first, the older of equals.
	// Asked for every queued rung of a revision when a builder is free.
	Priority(now int64, v *View, rung ladder.ID) float64
	// Worth is what keeping an artifact is expected to save in a second, in MB*s; the artifacts of
	// the least worth for their size are dropped when they take too much disk.
	Worth(now int64, v *View, rung ladder.ID) float64
	// FallBackoff is how long (ns) no build is made after an artifact was found wrong for the nth
	// time, n from 1.
	FallBackoff(n int32) int64
	// BuildBackoff is how long (ns) no build is made after the nth failed build in a row, n from 1.
	BuildBackoff(n int32) int64
}

// Observer is implemented by policies that learn from arrivals; they are told each.
type Observer interface {
	// Arrived is called for every invocation, before any question that it leads to.
	Arrived(now int64, f FunctionID, r RevisionID)
}
