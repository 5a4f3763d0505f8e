package pipeline

import (
	"fmt"
	"strings"
)

// Diagram is the table as a Mermaid state diagram, for the documentation: the stages above,
// the builder's phases below; an event that is named in both moves both at once.
func Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	b.WriteString("    state \"tier of new workers\" as tier {\n")
	b.WriteString("        [*] --> hotspot_agent\n        [*] --> direct : provided runtime\n")
	for i := range table {
		for from := range Stage(stageCount) {
			if to, ok := table[i].stage[from]; ok && to != from {
				fmt.Fprintf(&b, "        %s --> %s : %s\n", id(from), id(to), table[i].event)
			}
		}
	}
	b.WriteString("    }\n    state \"builder, in the background\" as builder {\n        [*] --> idle\n")
	for i := range table {
		for from := range Phase(phaseCount) {
			if to, ok := table[i].phase[from]; ok && to != from {
				fmt.Fprintf(&b, "        %s --> %s : %s\n", from, to, table[i].event)
			}
		}
	}
	b.WriteString("    }\n")
	return b.String()
}

// Table lists in Markdown every event, where it is legal and where it leads.
func Table() string {
	var b strings.Builder
	b.WriteString("| event | tier | builder |\n|---|---|---|\n")
	for i := range table {
		var stages, phases []string
		for from := range Stage(stageCount) {
			if to, ok := table[i].stage[from]; ok {
				stages = append(stages, arrow(from.String(), to.String()))
			}
		}
		for from := range Phase(phaseCount) {
			if to, ok := table[i].phase[from]; ok {
				phases = append(phases, arrow(from.String(), to.String()))
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", table[i].event, strings.Join(stages, ", "), strings.Join(phases, ", "))
	}
	return b.String()
}

func arrow(from, to string) string {
	if from == to {
		return from
	}
	return from + " → " + to
}

// id is a stage's name as Mermaid takes it.
func id(s Stage) string { return strings.ReplaceAll(s.String(), "-", "_") }
