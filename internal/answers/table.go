package answers

import (
	"fmt"
	"slices"
	"strings"
)

// Markdown writes docs/same-answers.md.
func Markdown(rows []Row, columns []Column) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# The same answers on every rung

%d small features, over the whole JDK and popular libraries, were called on a platform as users call functions: on plain
HotSpot (twice, on workers of their own: what varies there cannot be compared), while the tracer recorded, and on each
rung above. *Not traced* are binaries that were made after nothing but a start was recorded: everything is new to them.

- **same**: the very answer of plain HotSpot, errors and their messages included.
- **stepped back**: the binary found that it cannot answer, ended, and HotSpot answers; the caller sees a slower answer.
- **documented**: another answer than HotSpot's without a sign; each stands below. The check before a rung serves finds
  them where a function's answers show them, and keeps such a function off the rung.

`+"`make same-answers`"+` makes this page again, and fails where there is another answer that is not documented.

`, len(rows))
	summary(&b, rows, columns)
	differences(&b, rows, columns)
	steps(&b, rows, columns)
	every(&b, rows)
	return b.String()
}

func summary(b *strings.Builder, rows []Row, columns []Column) {
	fmt.Fprint(b, "| | same | stepped back | documented | another answer | not asked |\n|---|---:|---:|---:|---:|---:|\n")
	for i, c := range columns {
		var n [Unknown + 1]int
		for _, row := range rows {
			n[row.Cells[i].Verdict]++
		}
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %d |\n", c, n[Same], n[SteppedBack], n[Documented], n[Silent], n[Unknown])
	}
}

func differences(b *strings.Builder, rows []Row, columns []Column) {
	fmt.Fprint(b, "\n## Other answers\n\n")
	begun := false
	for _, row := range rows {
		for i, cell := range row.Cells {
			if cell.Verdict != Documented && cell.Verdict != Silent {
				continue
			}
			if !begun {
				fmt.Fprint(b, "| feature | rung | | why |\n|---|---|---|---|\n")
				begun = true
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", row.Feature, columns[i], cell.Verdict, escaped(cell.Why))
		}
	}
	if !begun {
		fmt.Fprint(b, "None.\n")
	}
}

func steps(b *strings.Builder, rows []Row, columns []Column) {
	fmt.Fprint(b, "\n## Stepped back\n\nThough it was recorded: these always run on HotSpot or in an AOT cache.\n\n")
	for i, c := range columns {
		var names []string
		for _, row := range rows {
			if row.Cells[i].Verdict == SteppedBack && !c.Untraced {
				names = append(names, row.Feature)
			}
		}
		if len(names) > 0 {
			fmt.Fprintf(b, "- %s: %s\n", c, strings.Join(names, ", "))
		}
	}
}

func every(b *strings.Builder, rows []Row) {
	fmt.Fprint(b, "\n## All features\n\n")
	var order []string
	by := map[string][]string{}
	for _, row := range rows {
		a := area(row.Feature)
		if by[a] == nil {
			order = append(order, a)
		}
		by[a] = append(by[a], strings.TrimPrefix(row.Feature, a+"/"))
	}
	slices.Sort(order)
	for _, a := range order {
		fmt.Fprintf(b, "- **%s** (%d): %s\n", a, len(by[a]), strings.Join(by[a], ", "))
	}
}

// escaped is a text as the cell of a table.
func escaped(s string) string {
	return strings.NewReplacer("\n", " ", "|", `\|`, "<", "&lt;").Replace(s)
}
