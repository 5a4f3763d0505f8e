// Package pipeline is the state machine of one revision on its way to a native binary
// (paper, 4.1 and Fig. 3): three stages one after the other, and one background process.
//
// One table says which event leads where; Next is the only function that computes a new
// state, and an event that is illegal in a state is an *IllegalError. The package decides
// nothing: when an event happens is the engine's and the policy's matter. It knows no
// workers, no times and no queues.
package pipeline

import (
	"fmt"

	"github.com/cloudjit/cloudjit/internal/function"
)

// Stage is how new workers of a revision run.
type Stage uint8

const (
	// StageTrace is hotspot-agent, the first: there is no complete metadata. One worker
	// traces; others, while it is there, are plain HotSpot.
	StageTrace Stage = iota
	// StageHotSpot: metadata is complete, and there is no binary.
	StageHotSpot
	// StageNative: there is a binary that came up.
	StageNative
	// StageDirect is a provided runtime: it has nothing to optimize, and nothing leads out.
	StageDirect

	stageCount = int(StageDirect) + 1
)

// Phase is what the builder, the background process, does for a revision.
type Phase uint8

const (
	// PhaseIdle: nothing.
	PhaseIdle Phase = iota
	// PhaseQueued: the revision waits for a builder.
	PhaseQueued
	// PhaseBuilding: a builder works on it.
	PhaseBuilding
	// PhaseChecking: the first worker of the new binary is coming up.
	PhaseChecking

	phaseCount = int(PhaseChecking) + 1
)

// State of a revision: its stage and what the builder does for it meanwhile. A revision in
// StageNative may be built again, at a higher level.
type State struct {
	Stage Stage `json:"stage"`
	Phase Phase `json:"phase"`
}

// Event moves the state.
type Event uint8

const (
	// EventNone is the zero value.
	EventNone Event = iota
	// EventTraced: metadata is complete.
	EventTraced
	// EventPromoted: a build was decided on.
	EventPromoted
	// EventBuildStarted: it is the revision's turn.
	EventBuildStarted
	// EventBuilt: the builder made a binary.
	EventBuilt
	// EventBuildFailed: it did not.
	EventBuildFailed
	// EventChecked: the first worker of the new binary came up.
	EventChecked
	// EventCheckFailed: it did not. What served before goes on serving.
	EventCheckFailed
	// EventCancelled: the build is not wanted any more.
	EventCancelled
	// EventDeoptimized: the binary met an element that it has no metadata for.
	EventDeoptimized
	// EventUnusable: the binary, which had come up before, does not any more.
	EventUnusable

	eventCount = int(EventUnusable) + 1
)

// Saved is what outlives a restart of the server.
type Saved struct {
	State State `json:"state"`
	// Level of the binary in StageNative, and the version of the metadata that it was built from.
	Level        function.Level `json:"level"`
	BuiltVersion uint32         `json:"builtVersion"`
	// Version of the metadata, 0 if there is none; Complete if tracing has done its part.
	Version  uint32 `json:"version"`
	Complete bool   `json:"complete"`
	// Wanted is the level of the build that is queued or running.
	Wanted function.Level `json:"wanted"`
	// FailedVersion is the metadata that certainly cannot be built, 0 if none.
	FailedVersion uint32 `json:"failedVersion"`
	// Deopts counts deoptimizations, BuildFailures failed builds in a row.
	Deopts        int32 `json:"deopts"`
	BuildFailures int32 `json:"buildFailures"`
	// NotBefore is when a build may start again, Unix ns; 0: at once.
	NotBefore int64 `json:"notBefore"`
}

// IllegalError is an event that cannot happen in a state.
type IllegalError struct {
	State State
	Event Event
}

func (e *IllegalError) Error() string {
	return fmt.Sprintf("pipeline: %s is illegal in %s", e.Event, e.State)
}
