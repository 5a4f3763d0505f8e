package engine

import (
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/pool"
)

// Identifiers are small dense integers, because the engine keeps its state in slices. Function
// and revision identifiers are chosen by the caller and are free again after ActionGone;
// an invocation's is chosen by the caller and is free again when the invocation has ended;
// a worker's is chosen by the engine and is free again after its WorkerFailed or WorkerExited.
type (
	FunctionID = policy.FunctionID
	RevisionID = policy.RevisionID
	WorkerID   = pool.WorkerID
	// InvocationID is chosen by the caller: an index that no unfinished invocation has.
	InvocationID int32
)

// EventKind says what happened. The fields of Event that a kind reads stand beside it.
type EventKind uint8

const (
	// EventNone is the zero value and is never legal.
	EventNone EventKind = iota

	// EventFunctionSet adds or changes a function. Function, FunctionConfig.
	EventFunctionSet
	// EventFunctionRemoved removes a function and all its revisions at once: what waits is
	// rejected, what runs is finished. Function.
	EventFunctionRemoved
	// EventRevisionAdded adds a revision of a function that is set. Revision, RevisionConfig.
	EventRevisionAdded
	// EventRevisionRemoved: nothing new arrives for a revision. What waits is still served,
	// so that the update of a function drops nothing; ActionGone follows when all is gone.
	EventRevisionRemoved

	// EventArrived is a new invocation. Revision, Invocation.
	EventArrived
	// EventCancelled: the caller went away. An invocation that still waits ends (ActionReject,
	// ReasonCancelled); one that runs goes on, for nobody can take it back. Invocation.
	EventCancelled
	// EventFinished is an invocation's end on its worker. Invocation, Worker, Outcome, NoRetry, CPU, Full, MemoryMB (see Scale).
	// The invocation has ended with this event, unless the actions say ActionRetry for it.
	// OutcomeUnknown: it never ran, because the worker had ended already; it waits again.
	EventFinished

	// EventWorkerReady: a started worker takes invocations. Worker. Of one that checks: Version of the
	// samples that were compared (0: none) and the Cost of that.
	EventWorkerReady
	// EventWorkerFailed: a start came to nothing and nothing is left of it. Worker, Failure; of one that
	// checks Version and Cost, too.
	EventWorkerFailed
	// EventWorkerExited: a worker that was ready is gone, by itself or stopped, and its memory
	// is free. Its invocations' EventFinished come first. Worker, MemoryMB (what it used; 0: not known).
	EventWorkerExited

	// EventRecording: what a recorder found was merged and stored as Version, a number that grows when
	// it changes. That of a recorder that ends comes before its EventWorkerExited. Revision,
	// Recording, Version, Complete.
	EventRecording
	// EventBuildDone: the artifact is there. Revision, Rung, Cost, Version (of the recording that it was made
	// from, if that is a newer one than was asked for).
	EventBuildDone
	// EventBuildFailed: there is none. Also the answer to ActionCancelBuild, if it came
	// in time. Revision, Rung, Failure (build classes), Version as above.
	EventBuildFailed

	// EventStale: an artifact turned out not to fit this machine any more, though its worker serves without
	// it. Revision, Rung.
	EventStale

	// EventSamples: there are other samples of what a revision was asked, as Version, a number that grows.
	// Complete: artifacts that were compared before are compared with these, too. Revision.
	EventSamples

	// EventOptimize is an operator's wish for the artifact of a rung, past policy and back-off. Revision, Rung.
	EventOptimize
	// EventDeoptimize is an operator's wish to leave the highest rung and to record again. Revision.
	EventDeoptimize

	// EventConfigured changes the node's limits. NodeConfig.
	EventConfigured
	// EventWoke is the time that ActionWake asked for. Nothing is lost when it is late or
	// comes without having been asked for.
	EventWoke
	// EventDrain: take nothing new, finish what waits and runs, stop workers and builds.
	// ActionDrained follows when nothing is left.
	EventDrain

	// EventAdopted: another node, or this one from now on, owns a revision's pipeline, which stands as Restored says.
	// Revision, RevisionConfig (Restored and Follows only).
	EventAdopted
	// EventElsewhere: other nodes ran invocations of a revision, and had cold starts. Revision, Invocations, ColdStarts.
	EventElsewhere
	// EventFell: an artifact turned out wrong on another node. Revision, Rung, Failure, Version of the recording that it was
	// made from.
	EventFell

	eventKindCount = int(EventFell) + 1
)

// Event is one thing that happened. It is a value: nothing in it is kept but what the
// three configurations say, which are copied.
type Event struct {
	Kind    EventKind
	Outcome function.Outcome
	Failure Failure
	// NoRetry: the invocation cannot be run again (its body was streamed and is gone).
	NoRetry bool
	// Complete: nothing that is recorded later adds to it (it was imported). The engine itself
	// knows when a recorder has done its part.
	Complete   bool
	Rung       ladder.ID
	Recording  ladder.Recording
	Function   FunctionID
	Revision   RevisionID
	Invocation InvocationID
	Worker     WorkerID
	Version    uint32 // of the recording, or of the samples, from 1
	// MemoryMB is what the worker used when it was measured last, 1e6 bytes; 0: not since this was told.
	MemoryMB float64
	// CPU time (ns) that the worker took since this was told of it last; 0: not measured now.
	CPU int64
	// Invocations and ColdStarts on other nodes, since they were told last.
	Invocations, ColdStarts int32
	// Full: while CPU was measured, the machine's cores had hardly a moment free.
	Full bool
	Cost ladder.Cost

	FunctionConfig *FunctionConfig
	RevisionConfig *RevisionConfig
	NodeConfig     *NodeConfig
}

// Failure is why a worker did not start or a build came to nothing.
type Failure uint8

const (
	// FailureNone is the zero value.
	FailureNone Failure = iota
	// FailureSandbox is the platform's: the sandbox could not be made. Tried again.
	FailureSandbox
	// FailureInit is the function's: it did not come up.
	FailureInit
	// FailureSlow is the function's: it did not come up in its time.
	FailureSlow
	// FailureMetadata is a worker of a binary that met a missing element while it started.
	FailureMetadata
	// FailureStale is an artifact that does not fit this machine any more, or is damaged.
	FailureStale
	// FailureDiffers is an artifact that answers otherwise than the first rung.
	FailureDiffers
	// FailureRemembers is a snapshot that answers otherwise than the first rung, of a worker that had answered invocations. It
	// is made again, of a worker that has answered none.
	FailureRemembers
	// FailureStopped is a start that was ended because the engine asked for it (ActionStop).
	FailureStopped
	// FailureBuild is a build that may succeed when it is tried again (memory, time, tool).
	FailureBuild
	// FailureInputs is a build that fails again for certain with the same recording.
	FailureInputs
	// FailureCancelled is a build that was cancelled.
	FailureCancelled
	// FailureNever is a worker that met what no artifact of its rung's kind can do: while it started, or with an invocation
	// that ended as OutcomeDeoptimized.
	FailureNever

	failureCount = int(FailureNever) + 1
)

// FunctionConfig is what can be changed of a function while it runs.
type FunctionConfig struct {
	// Reserved is the most invocations in flight (waiting and running); -1: no limit of
	// its own; 0: every invocation is rejected.
	Reserved int32
	// QueueLimit is the most invocations that wait; 0: the node's.
	QueueLimit int32
	// NoOptimize keeps the function on its first rung: nothing is recorded and nothing is built.
	NoOptimize bool
	// NoCheck lets an artifact serve as soon as it comes up, whatever it answers.
	NoCheck bool
	// Deopt says what happens to an invocation that met a missing element.
	Deopt function.DeoptMode
	// Params are the policy's, per function.
	Params policy.Params
}

// RevisionConfig is one immutable revision, and what is known of it from before a restart.
type RevisionConfig struct {
	Function FunctionID
	// Ladder of the revision. The engine learns from what it sees on a copy of its own, one for all
	// revisions that were given the same.
	Ladder *ladder.Ladder
	// Slots is how many invocations a worker runs at once; 0 and 1: one.
	Slots int32
	// MemoryMiB is what a worker of each rung reserves. A recorder reserves more (ladder.Recording.MiB).
	MemoryMiB []int32
	// WorkerMB is what a worker of the first rung is expected to use, until it is measured; 0: what it reserves.
	WorkerMB float64
	// InitLimit is how long (ns) a worker may take to be ready; one that records has more. The next after
	// one that was too slow has twice as long, up to InitMost. 0: the engine sets no limit.
	InitLimit, InitMost int64
	// Wait is how long (ns) an invocation waits for a worker, beyond that of a start that is under way for it;
	// 0: as long as it takes.
	Wait int64
	// Parked: nothing is prepared for it (a version that was published before, an update in progress).
	Parked bool
	// Follows: another node owns its pipeline.
	Follows bool `json:",omitempty"`
	// Inherited: Restored is what a new revision takes over from the one before, with the same code.
	Inherited bool
	// Restored is the pipeline's state from before a restart; its zero value: a new revision.
	Restored pipeline.Saved
}

// NodeConfig is the limits of a node. Zero values are the defaults named at each field.
type NodeConfig struct {
	// MemoryMiB is what all workers together may reserve; 0: no limit.
	MemoryMiB int64
	// Starts is how many workers may be starting at once, but for those that take much longer than they
	// should: see late. 0: no limit.
	Starts int32
	// Concurrency is the most invocations in flight on the node; 0: no limit.
	Concurrency int32
	// QueueLimit is the most invocations of a function that wait, unless it has its own; 0: no limit.
	QueueLimit int32
	// Builders is how many builds run at once; 0: one; -1: none. LightBuilders is the same for builds
	// of seconds, by their rows' figures.
	Builders, LightBuilders int32
	// ArtifactMB is how much disk (1e6 bytes) all artifacts together may take; 0: no limit.
	ArtifactMB int64
	// TraceLimit is how many invocations workers with the tracer serve; 0: 1000 (paper, 4.1).
	TraceLimit int32
	// Patience is how long (ns) a function waits for memory before a worker of a function that has
	// more of them, and whose invocations have not waited as long, is given up for it; 0: one second.
	Patience int64
	// Cores is how many the machine has; 0: not known.
	Cores int32
}
