// Package pipeline is the state machine of one revision on its ladder (paper, 4.1 and Fig. 3, made
// general): one small phase for each recording and for the artifact of each rung above the first.
//
// One table says which event leads where; Next is the only function that computes a new
// phase, and an event that is illegal in a phase is an *IllegalError. Which rung new workers are
// of follows from the phases and is stored nowhere else. The package decides nothing: when an
// event happens is the engine's and the policy's matter. It knows no workers, no times and no queues.
package pipeline

import (
	"encoding/json"
	"fmt"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

// Phase is where a recording, or the artifact of a rung, stands. Recordings are absent, recording
// or recorded; artifacts are in all other phases.
type Phase uint8

const (
	// PhaseAbsent: there is none, and none is on its way.
	PhaseAbsent Phase = iota
	// PhaseRecording: workers record; what they found so far may be used already.
	PhaseRecording
	// PhaseRecorded: the recording is complete.
	PhaseRecorded
	// PhaseQueued: the artifact waits for a builder.
	PhaseQueued
	// PhaseBuilding: a builder works on it.
	PhaseBuilding
	// PhaseChecking: it has to answer as the first rung does, and its first worker to come up.
	PhaseChecking
	// PhaseReady: it did; it may serve.
	PhaseReady
	// PhaseFailed: its build or its check failed, it turned out wrong while it served, or optimization was
	// turned off.
	PhaseFailed
	// PhaseDropped: it was given up for its disk space.
	PhaseDropped

	phaseCount = int(PhaseDropped) + 1
)

// Event moves a phase.
type Event uint8

const (
	// EventNone is the zero value.
	EventNone Event = iota
	// EventRecord: the recording is wanted, or wanted again.
	EventRecord
	// EventRecorded: the recording is complete.
	EventRecorded
	// EventLost: the recording is of no use any more.
	EventLost
	// EventPromoted: a build was decided on.
	EventPromoted
	// EventBuildStarted: it is its turn.
	EventBuildStarted
	// EventBuilt: the builder made the artifact.
	EventBuilt
	// EventBuildFailed: it did not.
	EventBuildFailed
	// EventChecked: the new artifact answers as the first rung does, and its first worker came up.
	EventChecked
	// EventCheckFailed: it did not come up. What served before goes on serving.
	EventCheckFailed
	// EventDiffered: it answered otherwise than the first rung.
	EventDiffered
	// EventCancelled: the build is not wanted any more.
	EventCancelled
	// EventDeoptimized: what the recording said was not enough.
	EventDeoptimized
	// EventUnusable: the artifact, of which a worker had come up before, does not work any more.
	EventUnusable
	// EventDropped: the artifact is given up.
	EventDropped

	eventCount = int(EventDropped) + 1
)

// Recording is the state of a recording that outlives a restart of the server.
type Recording struct {
	Phase Phase `json:"phase"`
	// Version of what was recorded so far, 0 if nothing; it grows when that changes.
	Version uint32 `json:"version,omitempty"`
	// Least: an older version is known not to be enough.
	Least uint32 `json:"least,omitempty"`
}

// Rung is the state of a rung's artifact that outlives a restart of the server.
type Rung struct {
	Name  function.Rung `json:"rung"`
	Phase Phase         `json:"phase"`
	// Built is the version of the recording that the present artifact was made from.
	Built uint32 `json:"built,omitempty"`
	// FailedVersion of the recording certainly cannot be built from, 0 if none.
	FailedVersion uint32 `json:"failedVersion,omitempty"`
	// Failures counts failed builds and checks in a row, Falls how often the artifact was wrong.
	Failures int32 `json:"failures,omitempty"`
	Falls    int32 `json:"falls,omitempty"`
	// Never: the function needs what no artifact of this kind can do. It is not made any more.
	Never bool `json:"never,omitempty"`
	// NotBefore is when a build may start again, Unix ns; 0: at once.
	NotBefore int64 `json:"notBefore,omitempty"`
	// Compared is the version of the samples that the present artifact answered as the first rung did; 0:
	// nothing was compared.
	Compared uint32 `json:"compared,omitempty"`
	// Differed is the version of the samples that an artifact answered otherwise, DifferedBuilt that of the
	// recording which it was made from; 0: none did, or it was repaired since.
	Differed      uint32 `json:"differed,omitempty"`
	DifferedBuilt uint32 `json:"differedBuilt,omitempty"`
	// DiskMB is the size of the artifact.
	DiskMB float64 `json:"diskMB,omitempty"`
}

// Recordings are the states of all recordings of a revision, by ladder.Recording.
type Recordings [ladder.RecordingCount]Recording

// MarshalJSON writes those that are not absent, by name.
func (r Recordings) MarshalJSON() ([]byte, error) {
	named := map[string]Recording{}
	for i, state := range r {
		if state != (Recording{}) {
			named[ladder.Recording(i).String()] = state
		}
	}
	return json.Marshal(named)
}

// UnmarshalJSON reads them; a recording that this version does not know is left out.
func (r *Recordings) UnmarshalJSON(b []byte) error {
	var named map[string]Recording
	if err := json.Unmarshal(b, &named); err != nil {
		return err
	}
	*r = Recordings{}
	for i := range r {
		r[i] = named[ladder.Recording(i).String()]
	}
	return nil
}

// Saved is what outlives a restart of the server.
type Saved struct {
	Recordings Recordings `json:"recordings"`
	// Rungs are those above the first; none is a new revision.
	Rungs []Rung `json:"rungs,omitempty"`
	// Samples is the version of the samples of what the revision was asked: it grows when there are others.
	Samples uint32 `json:"samples,omitempty"`
	// Preparing: artifacts are made before the first invocation, and are not there yet.
	Preparing bool `json:"preparing,omitempty"`
}

// Rung is the state of a name; nil if there is none.
func (s *Saved) Rung(name function.Rung) *Rung {
	for i := range s.Rungs {
		if s.Rungs[i].Name == name {
			return &s.Rungs[i]
		}
	}
	return nil
}

// Legal reports whether a state can have been saved.
func (s *Saved) Legal() bool {
	for _, r := range s.Recordings {
		if r.Phase > PhaseRecorded || r.Phase == PhaseRecorded && r.Version == 0 {
			return false
		}
	}
	for _, r := range s.Rungs {
		if r.Phase >= Phase(phaseCount) || r.Phase == PhaseRecording || r.Phase == PhaseRecorded || r.Failures < 0 || r.Falls < 0 || !(r.DiskMB >= 0) {
			return false
		}
	}
	return len(s.Rungs) <= ladder.Max
}

// IllegalError is an event that cannot happen in a phase.
type IllegalError struct {
	Phase Phase
	Event Event
}

func (e *IllegalError) Error() string {
	return fmt.Sprintf("pipeline: %s is illegal in %s", e.Event, e.Phase)
}
