package engine

import (
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
)

// ActionKind says what the shell has to do. The fields of Action that a kind fills stand beside it.
type ActionKind uint8

const (
	// ActionNone is the zero value and is never returned.
	ActionNone ActionKind = iota
	// ActionStart: start a worker and answer with EventWorkerReady or EventWorkerFailed.
	// Worker, Revision, Rung, Recording, Cold (an invocation waits for it), Check (it is the
	// check of an artifact: it is ready only if the artifact is good), Compare (as a part of that, answers are
	// compared with those of the first rung), At (how long it may take, ns; 0: the engine does not say).
	ActionStart
	// ActionAssign: run the invocation on the worker and answer with EventFinished.
	// Invocation, Worker, Revision, Rung, Recording, Cold (it waited for this worker to start).
	ActionAssign
	// ActionStop: stop the worker, gently; answer with EventWorkerExited, or with
	// EventWorkerFailed if it was not ready yet. Worker, Revision, Rung, Recording, Reason.
	ActionStop
	// ActionReject: the invocation ends without having run. Invocation, Revision, Reason.
	ActionReject
	// ActionFail: the invocation ends because its worker did (ReasonDeoptimized), or because
	// none could be started (ReasonStartFailed, ReasonInitFailed: Worker had the failure).
	ActionFail
	// ActionRetry: the invocation of this EventFinished goes on; an ActionAssign follows,
	// maybe among the same actions. Invocation, Revision, Reason.
	ActionRetry
	// ActionBuild: build and answer with EventBuildDone or EventBuildFailed. Revision, Rung, Version.
	ActionBuild
	// ActionCancelBuild: cancel a build; it is answered all the same. Revision, Rung, Reason.
	ActionCancelBuild
	// ActionDrop: the artifact is given up; remove it. Workers that use it go on. Revision, Rung, Reason.
	ActionDrop
	// ActionRecord: the pipeline of a revision moved, or something that its history should
	// name happened to it; persist Saved(Revision). Revision, Rung (First: it is about Recording),
	// Recording, From, To, Cause, Reason, At (when it may try again, 0 if it does not wait).
	ActionRecord
	// ActionPrepared: the preparation of a revision has ended. Revision, Reason (ReasonNone: all is
	// there; else why not), Rung (whose build or check failed; First: it was none).
	ActionPrepared
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
	Kind      ActionKind
	Rung      ladder.ID
	Recording ladder.Recording
	Reason    Reason
	Cold      bool
	Check     bool
	Compare   bool

	From, To pipeline.Phase
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
	// ReasonWaited: no worker was free, or could be started, for as long as an invocation may wait.
	ReasonWaited
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
	// ReasonNever: the function needs what no artifact of the rung's kind can do.
	ReasonNever
	// ReasonWorkerLost: the worker ended and nobody said how the invocation did.
	ReasonWorkerLost

	// Reasons to stop a worker.

	// ReasonIdle: it was idle for its keep-alive.
	ReasonIdle
	// ReasonEvicted: another function needs its memory, and it was idle the longest.
	ReasonEvicted
	// ReasonYielded: it was free, but a function without any worker has waited too long.
	ReasonYielded
	// ReasonSurplus: it was free, but on a full machine fewer workers answer as much, though invocations wait.
	ReasonSurplus
	// ReasonReplaced: workers of a better rung stand in for it.
	ReasonReplaced
	// ReasonRecordDone: a recorder that has served its share.
	ReasonRecordDone
	// ReasonBroken: its last invocation timed out or crashed.
	ReasonBroken

	// Reasons of the pipeline's moves.

	// ReasonRecorded: a recorder has done its part.
	ReasonRecorded
	// ReasonRecordingLost: the recording is of no use any more.
	ReasonRecordingLost
	// ReasonImported: complete metadata was given.
	ReasonImported
	// ReasonPolicy: the policy says that it is worth its cost.
	ReasonPolicy
	// ReasonOperator: somebody asked for it.
	ReasonOperator
	// ReasonTurn: a builder is free and it is the revision's turn.
	ReasonTurn
	// ReasonPrepare: it is made before the first invocation.
	ReasonPrepare
	// ReasonBuilt: the artifact is there.
	ReasonBuilt
	// ReasonChecked: the artifact answers as the first rung does, as far as was compared, and came up.
	ReasonChecked
	// ReasonDiffered: it answered otherwise.
	ReasonDiffered
	// ReasonRemembers: a snapshot answered otherwise because its worker had answered invocations.
	ReasonRemembers
	// ReasonBuildFailed: tried again after a back-off.
	ReasonBuildFailed
	// ReasonInputsFailed: not tried again before the recording changes.
	ReasonInputsFailed
	// ReasonCheckFailed: no worker of the new artifact came up.
	ReasonCheckFailed
	// ReasonRungStartFailed: the artifact that had come up before did not this time.
	ReasonRungStartFailed
	// ReasonRungCrashed: workers of the rung crashed again and again; those of a lower one may not.
	ReasonRungCrashed
	// ReasonStale: the artifact does not fit this machine any more, or is damaged.
	ReasonStale
	// ReasonDisk: artifacts take too much disk, and this one is worth least.
	ReasonDisk
	// ReasonRecorderFailed: no worker came up that records; others serve.
	ReasonRecorderFailed
	// ReasonBackoff: a promotion waits because of earlier deoptimizations or failed builds.
	ReasonBackoff
	// ReasonNoOptimize: optimization was turned off.
	ReasonNoOptimize
	// ReasonInherited: the revision before had the artifact, and its code is the same.
	ReasonInherited
	// ReasonAdopted: another node owns the pipeline, or did until now.
	ReasonAdopted
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
