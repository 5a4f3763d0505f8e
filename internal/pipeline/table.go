package pipeline

import "github.com/cloudjit/cloudjit/internal/function"

// transition is one row of the table. The stage and the phase of a state are two regions that
// move side by side: a row says for one event what happens in one of them.
type transition struct {
	event Event
	// from holds the stages, or phases, in which the event is legal, and where each leads.
	stage map[Stage]Stage
	phase map[Phase]Phase
}

// stay is a region that an event does not move, in the optimizable stages.
var (
	stay      = map[Stage]Stage{StageTrace: StageTrace, StageHotSpot: StageHotSpot, StageNative: StageNative}
	stayPhase = map[Phase]Phase{PhaseIdle: PhaseIdle, PhaseQueued: PhaseQueued, PhaseBuilding: PhaseBuilding, PhaseChecking: PhaseChecking}
	toIdle    = map[Phase]Phase{PhaseIdle: PhaseIdle, PhaseQueued: PhaseIdle, PhaseBuilding: PhaseIdle, PhaseChecking: PhaseIdle}
)

// table is the whole machine. An event is legal in a state if both its regions have an entry.
var table = []transition{
	{EventTraced, map[Stage]Stage{StageTrace: StageHotSpot, StageHotSpot: StageHotSpot, StageNative: StageNative}, stayPhase},
	{EventPromoted, stay, map[Phase]Phase{PhaseIdle: PhaseQueued}},
	{EventBuildStarted, stay, map[Phase]Phase{PhaseQueued: PhaseBuilding}},
	{EventBuilt, stay, map[Phase]Phase{PhaseBuilding: PhaseChecking}},
	{EventBuildFailed, stay, map[Phase]Phase{PhaseBuilding: PhaseIdle}},
	{EventChecked, map[Stage]Stage{StageTrace: StageNative, StageHotSpot: StageNative, StageNative: StageNative},
		map[Phase]Phase{PhaseChecking: PhaseIdle}},
	{EventCheckFailed, stay, map[Phase]Phase{PhaseChecking: PhaseIdle}},
	{EventCancelled, stay, map[Phase]Phase{PhaseQueued: PhaseIdle, PhaseBuilding: PhaseIdle, PhaseChecking: PhaseIdle}},
	{EventDeoptimized, map[Stage]Stage{StageTrace: StageTrace, StageHotSpot: StageTrace, StageNative: StageTrace}, toIdle},
	{EventUnusable, map[Stage]Stage{StageNative: StageHotSpot}, toIdle},
}

// next is the table, indexed by event.
var next = func() (t [eventCount]*transition) {
	for i := range table {
		t[table[i].event] = &table[i]
	}
	return t
}()

// Next is the state after an event; an *IllegalError, and the same state, if it cannot happen.
func (s State) Next(event Event) (State, error) {
	if int(event) < eventCount && next[event] != nil {
		stage, ok1 := next[event].stage[s.Stage]
		phase, ok2 := next[event].phase[s.Phase]
		if ok1 && ok2 {
			return State{stage, phase}, nil
		}
	}
	return s, &IllegalError{s, event}
}

var (
	stageNames = [stageCount]string{"hotspot-agent", "hotspot", "native", "direct"}
	phaseNames = [phaseCount]string{"idle", "queued", "building", "checking"}
	eventNames = [eventCount]string{
		"none", "traced", "promoted", "build-started", "built", "build-failed",
		"checked", "check-failed", "cancelled", "deoptimized", "unusable",
	}
)

func (s Stage) String() string { return function.EnumName(stageNames[:], uint8(s)) }
func (p Phase) String() string { return function.EnumName(phaseNames[:], uint8(p)) }
func (e Event) String() string { return function.EnumName(eventNames[:], uint8(e)) }

// MarshalText writes the name; stages, phases and events travel as their names.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
func (e Event) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads the name and fails on any other.
func (s *Stage) UnmarshalText(b []byte) error {
	return function.ParseEnum("stage", stageNames[:], (*uint8)(s), b)
}
func (p *Phase) UnmarshalText(b []byte) error {
	return function.ParseEnum("phase", phaseNames[:], (*uint8)(p), b)
}
func (e *Event) UnmarshalText(b []byte) error {
	return function.ParseEnum("event", eventNames[:], (*uint8)(e), b)
}

// String is the stage, and the phase if the builder does something.
func (s State) String() string {
	if s.Phase == PhaseIdle {
		return s.Stage.String()
	}
	return s.Stage.String() + "/" + s.Phase.String()
}
