package pipeline

import "fmt"

var (
	stageNames = [stageCount]string{"hotspot-agent", "hotspot", "native", "direct"}
	phaseNames = [phaseCount]string{"idle", "queued", "building", "checking"}
	eventNames = [eventCount]string{
		"none", "traced", "promoted", "build-started", "built", "build-failed",
		"checked", "check-failed", "cancelled", "deoptimized", "unusable",
	}
)

func (s Stage) String() string { return name(stageNames[:], uint8(s)) }
func (p Phase) String() string { return name(phaseNames[:], uint8(p)) }
func (e Event) String() string { return name(eventNames[:], uint8(e)) }

// String is the stage, and the phase if the builder does something.
func (s State) String() string {
	if s.Phase == PhaseIdle {
		return s.Stage.String()
	}
	return s.Stage.String() + "/" + s.Phase.String()
}

func name(names []string, v uint8) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("invalid(%d)", v)
}
