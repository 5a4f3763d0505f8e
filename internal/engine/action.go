package engine

import (
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/pipeline"
)

// ActionKind says what the shell has to do. The fields of Action that a kind fills stand beside it.
type ActionKind uint8

const (
	// ActionNone is the zero value and is never returned.
	ActionNone ActionKind = iota
	// ActionStart: start a worker and answer with EventWorkerReady or EventWorkerFailed.
	// Worker, Revision, Tier, Level, Cold (an invocation waits for it), Check (it is the
	// start-up check of a new binary).
	ActionStart
	// ActionAssign: run the invocation on the worker and answer with EventFinished.
	// Invocation, Worker, Revision, Tier, Cold (it waited for this worker to start).
	ActionAssign
	// ActionStop: stop the worker, gently; answer with EventWorkerExited, or with
	// EventWorkerFailed if it was not ready yet. Worker, Revision, Tier, Reason.
	ActionStop
	// ActionReject: the invocation ends without having run. Invocation, Revision, Reason.
	ActionReject
	// ActionFail: the invocation ends because its worker did (ReasonDeoptimized), or because
	// none could be started (ReasonStartFailed, ReasonInitFailed: Worker had the failure).
	ActionFail
	// ActionRetry: the invocation of this EventFinished goes on; an ActionAssign follows,
	// maybe among the same actions. Invocation, Revision, Reason.
	ActionRetry
	// ActionBuild: build and answer with EventBuildDone or EventBuildFailed. Revision, Level, Version.
	ActionBuild
	// ActionCancelBuild: cancel the build of a revision; it is answered all the same. Revision, Reason.
	ActionCancelBuild
	// ActionRecord: the pipeline of a revision moved, or something that its history should
	// name happened to it; persist Saved(Revision). Revision, From, To, Cause, Reason, At (when it
	// may try again, 0 if it does not wait).
	ActionRecord
	// ActionWake: send EventWoke at At. A later one replaces an earlier one.
	ActionWake
	// ActionGone: the revision was removed and nothing is left of it; its id is free. Revision.
	ActionGone
	// ActionDrained: after EventDrain, nothing is left.
	ActionDrained
	// ActionIllegal: the event was not legal and changed nothing: a fault of the shell. Reason,
	// and the ids of the event.
	ActionIllegal

	actionKindCount = int(ActionIllegal) + 1
)

// Action is one thing to do.
type Action struct {
	Kind   ActionKind
	Tier   function.Tier
	Level  function.Level
	Reason Reason
	Cold   bool
	Check  bool

	From, To pipeline.State
	Cause    pipeline.Event

	Revision   RevisionID
	Invocation InvocationID
	Worker     WorkerID
	Version    uint32
	At         int64 // ns
}

// Reason is why; every action that a person may ask about has one.
type Reason uint8

const (
	// ReasonNone is the zero value.
	ReasonNone Reason = iota

	// Reasons to reject or fail an invocation.

	// ReasonThrottled: the function's reserved concurrency is in use, or is 0.
	ReasonThrottled
	// ReasonNodeThrottled: the node's concurrency is in use.
	ReasonNodeThrottled
	// ReasonQueueFull: as many invocations of the function wait as may.
	ReasonQueueFull
	// ReasonTooLarge: a worker reserves more memory than the whole node has.
	ReasonTooLarge
	// ReasonRevisionGone: the revision, or its function, was removed.
	ReasonRevisionGone
	// ReasonDraining: the node takes nothing new.
	ReasonDraining
	// ReasonCancelled: the caller went away before it ran.
	ReasonCancelled
	// ReasonStartFailed: no sandbox could be made, after several attempts.
	ReasonStartFailed
	// ReasonInitFailed: the function did not come up.
	ReasonInitFailed
	// ReasonDeoptimized: the binary met an element that it has no metadata for.
	ReasonDeoptimized
	// ReasonWorkerLost: the worker ended and nobody said how the invocation did.
	ReasonWorkerLost

	// Reasons to stop a worker.

	// ReasonIdle: it was idle for its keep-alive.
	ReasonIdle
	// ReasonEvicted: another function needs its memory, and it was idle the longest.
	ReasonEvicted
	// ReasonYielded: it was free, but a function without any worker has waited too long.
	ReasonYielded
	// ReasonReplaced: workers of a better tier or level stand in for it.
	ReasonReplaced
	// ReasonTraceDone: a tracing worker that has served its share.
	ReasonTraceDone
	// ReasonBroken: its last invocation timed out or crashed.
	ReasonBroken

	// Reasons of the pipeline's moves.

	// ReasonTraced: a tracing worker ended after it served, or served its share.
	ReasonTraced
	// ReasonImported: complete metadata was given.
	ReasonImported
	// ReasonPolicy: the policy says that a binary is worth its build.
	ReasonPolicy
	// ReasonOperator: somebody asked for it.
	ReasonOperator
	// ReasonTurn: a builder is free and it is the revision's turn.
	ReasonTurn
	// ReasonBuilt: the binary is there.
	ReasonBuilt
	// ReasonChecked: a worker of the new binary came up.
	ReasonChecked
	// ReasonBuildFailed: tried again after a back-off.
	ReasonBuildFailed
	// ReasonInputsFailed: not tried again before the metadata changes.
	ReasonInputsFailed
	// ReasonCheckFailed: no worker of the new binary came up.
	ReasonCheckFailed
	// ReasonNativeStartFailed: the binary that had come up before did not this time.
	ReasonNativeStartFailed
	// ReasonNativeCrashed: the binary crashed again and again; HotSpot may not.
	ReasonNativeCrashed
	// ReasonTracerFailed: HotSpot did not come up with the tracer; plain HotSpot serves.
	ReasonTracerFailed
	// ReasonBackoff: a promotion waits because of earlier deoptimizations or failed builds.
	ReasonBackoff
	// ReasonNoOptimize: optimization was turned off.
	ReasonNoOptimize
	// ReasonRestarted: a build that a restart of the server cut off starts again.
	ReasonRestarted

	// Reasons of ActionIllegal.

	// ReasonUnknownFunction: there is no such function.
	ReasonUnknownFunction
	// ReasonUnknownRevision: there is no such revision.
	ReasonUnknownRevision
	// ReasonUnknownInvocation: there is no such invocation, or it is not on that worker.
	ReasonUnknownInvocation
	// ReasonUnknownWorker: there is no such worker.
	ReasonUnknownWorker
	// ReasonWrongState: the worker or the pipeline is in a state in which this cannot happen.
	ReasonWrongState
	// ReasonTaken: the id is in use.
	ReasonTaken
	// ReasonMalformed: a field that the kind needs is missing or out of its range.
	ReasonMalformed

	reasonCount = int(ReasonMalformed) + 1
)
