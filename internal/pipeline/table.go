package pipeline

import "github.com/cloudjit/cloudjit/internal/function"

// transition is one row of the table: in which phases an event is legal, and where each leads.
type transition struct {
	event Event
	move  map[Phase]Phase
}

// table is the whole machine. The first three rows are those of recordings.
var table = []transition{
	{EventRecord, map[Phase]Phase{PhaseAbsent: PhaseRecording, PhaseRecorded: PhaseRecording}},
	{EventRecorded, map[Phase]Phase{PhaseAbsent: PhaseRecorded, PhaseRecording: PhaseRecorded}},
	{EventLost, map[Phase]Phase{PhaseRecording: PhaseAbsent, PhaseRecorded: PhaseAbsent}},

	{EventPromoted, map[Phase]Phase{PhaseAbsent: PhaseQueued, PhaseFailed: PhaseQueued, PhaseDropped: PhaseQueued}},
	{EventBuildStarted, map[Phase]Phase{PhaseQueued: PhaseBuilding}},
	{EventBuilt, map[Phase]Phase{PhaseBuilding: PhaseChecking}},
	{EventBuildFailed, map[Phase]Phase{PhaseBuilding: PhaseFailed}},
	{EventChecked, map[Phase]Phase{PhaseChecking: PhaseReady}},
	{EventCheckFailed, map[Phase]Phase{PhaseChecking: PhaseFailed}},
	{EventDiffered, map[Phase]Phase{PhaseChecking: PhaseFailed, PhaseReady: PhaseFailed}},
	{EventCancelled, map[Phase]Phase{PhaseQueued: PhaseAbsent, PhaseBuilding: PhaseAbsent, PhaseChecking: PhaseAbsent}},
	{EventDeoptimized, map[Phase]Phase{PhaseQueued: PhaseAbsent, PhaseBuilding: PhaseAbsent, PhaseChecking: PhaseFailed, PhaseReady: PhaseFailed}},
	{EventUnusable, map[Phase]Phase{PhaseReady: PhaseFailed}},
	{EventDropped, map[Phase]Phase{PhaseReady: PhaseDropped}},
}

// none marks a move that is not in the table.
const none = Phase(0xff)

// next is the table, indexed by event and phase.
var next = func() (t [eventCount][phaseCount]Phase) {
	for i := range t {
		for j := range t[i] {
			t[i][j] = none
		}
	}
	for _, row := range table {
		for from, to := range row.move {
			t[row.event][from] = to
		}
	}
	return t
}()

// Next is the phase after an event; an *IllegalError, and the same phase, if it cannot happen.
func (p Phase) Next(event Event) (Phase, error) {
	if int(event) < eventCount && int(p) < phaseCount && next[event][p] != none {
		return next[event][p], nil
	}
	return p, &IllegalError{p, event}
}

// Making reports whether an artifact is on its way.
func (p Phase) Making() bool { return p == PhaseQueued || p == PhaseBuilding || p == PhaseChecking }

var (
	phaseNames = [phaseCount]string{"absent", "recording", "recorded", "queued", "building", "checking", "ready", "failed", "dropped"}
	eventNames = [eventCount]string{
		"none", "record", "recorded", "lost", "promoted", "build-started", "built", "build-failed",
		"checked", "check-failed", "differed", "cancelled", "deoptimized", "unusable", "dropped",
	}
)

func (p Phase) String() string { return function.EnumName(phaseNames[:], uint8(p)) }
func (e Event) String() string { return function.EnumName(eventNames[:], uint8(e)) }

// MarshalText writes the name; phases and events travel as their names.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
func (e Event) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads the name and fails on any other.
func (p *Phase) UnmarshalText(b []byte) error {
	return function.ParseEnum("phase", phaseNames[:], (*uint8)(p), b)
}
func (e *Event) UnmarshalText(b []byte) error {
	return function.ParseEnum("event", eventNames[:], (*uint8)(e), b)
}
