package engine

import "github.com/cloudjit/cloudjit/internal/function"

var eventNames = [eventKindCount]string{
	"none", "function-set", "function-removed", "revision-added", "revision-removed",
	"arrived", "cancelled", "finished", "worker-ready", "worker-failed", "worker-exited",
	"recording", "build-done", "build-failed", "stale", "samples", "optimize", "deoptimize", "configured", "woke", "drain",
	"adopted", "elsewhere", "fell",
}

var actionNames = [actionKindCount]string{
	"none", "start", "assign", "stop", "reject", "fail", "retry", "build", "cancel-build",
	"drop", "record", "prepared", "wake", "gone", "drained", "illegal",
}

var failureNames = [failureCount]string{
	"none", "sandbox", "init", "slow", "metadata", "stale", "differs", "remembers", "stopped", "build", "inputs", "cancelled", "never",
}

// reasons are the name of each reason, stable, for logs and metrics, and a sentence for people.
var reasons = [reasonCount]struct{ name, text string }{
	ReasonNone: {"none", ""},

	ReasonThrottled:     {"throttled", "the function's reserved concurrency is in use"},
	ReasonNodeThrottled: {"node-throttled", "the node's concurrency limit is in use"},
	ReasonQueueFull:     {"queue-full", "too many invocations of the function wait already"},
	ReasonWaited:        {"waited", "no worker was free for it in time"},
	ReasonTooLarge:      {"too-large", "a worker needs more memory than the node may use"},
	ReasonRevisionGone:  {"revision-gone", "the revision was removed"},
	ReasonDraining:      {"draining", "the node is shutting down"},
	ReasonCancelled:     {"cancelled", "the caller went away"},
	ReasonStartFailed:   {"start-failed", "no sandbox could be started"},
	ReasonInitFailed:    {"init-failed", "the function did not start"},
	ReasonDeoptimized:   {"deoptimized", "the binary met an element that it has no metadata for"},
	ReasonNever:         {"never", "the function needs something that no binary can do, and stays on the rungs below"},
	ReasonWorkerLost:    {"worker-lost", "the worker ended during the invocation"},

	ReasonIdle:       {"idle", "its keep-alive ended"},
	ReasonEvicted:    {"evicted", "its memory was needed"},
	ReasonYielded:    {"yielded", "another function has waited longer for memory"},
	ReasonSurplus:    {"surplus", "the machine is full, and fewer workers answer as much"},
	ReasonReplaced:   {"replaced", "workers of a better rung replace it"},
	ReasonRecordDone: {"record-done", "it has recorded as much as it should"},
	ReasonBroken:     {"broken", "its last invocation timed out or crashed"},

	ReasonRecorded:        {"recorded", "a worker has recorded what it met"},
	ReasonRecordingLost:   {"recording-lost", "the recording is of no use any more"},
	ReasonImported:        {"imported", "complete metadata was given"},
	ReasonPolicy:          {"policy", "the policy says that it is worth its cost"},
	ReasonOperator:        {"operator", "an operator asked for it"},
	ReasonTurn:            {"turn", "a builder is free"},
	ReasonPrepare:         {"prepare", "it is prepared before the first invocation"},
	ReasonBuilt:           {"built", "the artifact is built"},
	ReasonChecked:         {"checked", "a worker started with the new artifact"},
	ReasonDiffered:        {"differed", "the artifact answered differently from the first rung"},
	ReasonRemembers:       {"remembers", "the snapshot is made again of a worker that has answered nothing"},
	ReasonBuildFailed:     {"build-failed", "the build failed"},
	ReasonInputsFailed:    {"inputs-failed", "the build fails with this recording; it is tried again when that changes"},
	ReasonCheckFailed:     {"check-failed", "no worker started with the new artifact"},
	ReasonRungStartFailed: {"rung-start-failed", "workers do not start with the artifact any more"},
	ReasonRungCrashed:     {"rung-crashed", "workers with the artifact crashed repeatedly"},
	ReasonStale:           {"stale", "the artifact does not fit this machine any more, or is damaged"},
	ReasonDisk:            {"disk", "artifacts take too much disk space, and this one has the least value for its size"},
	ReasonRecorderFailed:  {"recorder-failed", "no worker that records could be started"},
	ReasonBackoff:         {"backoff", "a build waits because of earlier deoptimizations or failed builds"},
	ReasonNoOptimize:      {"no-optimize", "optimization of the function was turned off"},
	ReasonInherited:       {"inherited", "the revision before had it, and the code is the same"},
	ReasonAdopted:         {"adopted", "another node owns the pipeline"},
	ReasonRestarted:       {"restarted", "a restart of the server interrupted the build"},

	ReasonUnknownFunction:   {"unknown-function", "there is no such function"},
	ReasonUnknownRevision:   {"unknown-revision", "there is no such revision"},
	ReasonUnknownInvocation: {"unknown-invocation", "there is no such invocation on that worker"},
	ReasonUnknownWorker:     {"unknown-worker", "there is no such worker"},
	ReasonWrongState:        {"wrong-state", "this cannot happen in the current state"},
	ReasonTaken:             {"taken", "the identifier is in use"},
	ReasonMalformed:         {"malformed", "a field is missing or out of range"},
}

func (k EventKind) String() string  { return function.EnumName(eventNames[:], uint8(k)) }
func (k ActionKind) String() string { return function.EnumName(actionNames[:], uint8(k)) }
func (f Failure) String() string    { return function.EnumName(failureNames[:], uint8(f)) }

// String is the reason's name, stable and without spaces.
func (r Reason) String() string {
	if int(r) < reasonCount {
		return reasons[r].name
	}
	return function.EnumName(nil, uint8(r))
}

// Text is a clause for people.
func (r Reason) Text() string {
	if int(r) < reasonCount {
		return reasons[r].text
	}
	return ""
}
