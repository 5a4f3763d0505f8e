package pipeline

import (
	"fmt"
	"strings"
)

// recordings are the events that move recordings; all others move artifacts.
const recordings = EventLost

// Diagram is the table as a Mermaid state diagram, for the documentation: recordings above,
// artifacts below.
func Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    state \"a recording\" as recording_of {\n        [*] --> absent\n")
	arrows := func(names func(Phase) string, which func(Event) bool) {
		for i := range table {
			for from := range Phase(phaseCount) {
				if to, ok := table[i].move[from]; ok && which(table[i].event) {
					fmt.Fprintf(&b, "        %s --> %s : %s\n", names(from), names(to), table[i].event)
				}
			}
		}
	}
	arrows(Phase.String, func(e Event) bool { return e <= recordings })
	b.WriteString("    }\n    state \"the artifact of a rung\" as artifact_of {\n        [*] --> none\n")
	arrows(func(p Phase) string {
		if p == PhaseAbsent {
			return "none" // Mermaid's names belong to the whole diagram
		}
		return p.String()
	}, func(e Event) bool { return e > recordings })
	b.WriteString("    }\n")
	return b.String()
}

// Table lists in Markdown every event, what it moves, and from where to where.
func Table() string {
	var b strings.Builder
	b.WriteString("| event | moves | from → to |\n|---|---|---|\n")
	for i := range table {
		what := "an artifact"
		if table[i].event <= recordings {
			what = "a recording"
		}
		var moves []string
		for from := range Phase(phaseCount) {
			if to, ok := table[i].move[from]; ok {
				moves = append(moves, from.String()+" → "+to.String())
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", table[i].event, what, strings.Join(moves, ", "))
	}
	return b.String()
}
