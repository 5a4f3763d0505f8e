package answers

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Page writes docs/same-answers.md from what is kept.
func Page(kept []Kept) string {
	return markdown(Table(kept), Columns, func(b *strings.Builder) { groups(b, kept) })
}

// Markdown is the page of some rows.
func Markdown(rows []Row, columns []Column) string {
	return markdown(rows, columns, func(*strings.Builder) {})
}

func markdown(rows []Row, columns []Column, parts func(*strings.Builder)) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# The same answers on every rung

%d small features, over the whole JDK and popular libraries, were called on a platform as users call functions: on plain
HotSpot (twice, on workers of their own: what varies there cannot be compared), while the tracer recorded, and on each
rung above. *Not traced* are binaries that were made after nothing but a start was recorded: everything is new to them.
*native-profiled* are binaries on which our inliner has worked, with the profile of a minute in which all features were called over and over.

- **same**: the very answer of plain HotSpot, errors and their messages included.
- **stepped back**: the binary found that it cannot answer, ended, and HotSpot answers; the caller sees a slower answer.
- **documented**: another answer than HotSpot's without a sign; each stands below. The check before a rung serves finds
  them where a function's answers show them, and keeps such a function off the rung.

`+"`make same-answers`"+` makes this page again, and fails where there is another answer that is not documented. It takes hours, most of them for
binaries. A part can be asked alone, which replaces what is known of it (`+"`docs/results/same-answers-GROUP.json`"+`) and makes the page anew:
`+"`make same-answers GROUP=jdk RUNG=native`"+`.

`, len(rows))
	summary(&b, rows, columns)
	parts(&b)
	differences(&b, rows, columns)
	steps(&b, rows, columns)
	every(&b, rows)
	return b.String()
}

func summary(b *strings.Builder, rows []Row, columns []Column) {
	fmt.Fprint(b, "| | same | stepped back | documented | another answer | not asked |\n|---|---:|---:|---:|---:|---:|\n")
	for i, c := range columns {
		n := count(rows, i)
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %d |\n", c, n[Same], n[SteppedBack], n[Documented], n[Silent], n[Unknown])
	}
}

// groups tells of each group what was asked, when, and what came of it.
func groups(b *strings.Builder, kept []Kept) {
	fmt.Fprint(b, "\n| group | | asked | same | stepped back | documented | another answer | not asked |\n|---|---|---|---:|---:|---:|---:|---:|\n")
	for i, k := range kept {
		rows := Table(kept[i : i+1])
		for at, c := range Columns {
			asked := slices.IndexFunc(k.Columns, func(kc KeptColumn) bool { return kc.Column == c })
			if asked < 0 {
				continue
			}
			n := count(rows, at)
			fmt.Fprintf(b, "| %s | %s | %s | %d | %d | %d | %d | %d |\n", k.Group, c, k.Columns[asked].Asked, n[Same], n[SteppedBack], n[Documented], n[Silent], n[Unknown])
		}
	}
	fmt.Fprintln(b)
	for _, g := range Groups {
		fmt.Fprintf(b, "- %s: %s\n", g.Name, g.What)
	}
}

// count is how many rows have each verdict in a column.
func count(rows []Row, column int) (n [Unknown + 1]int) {
	for _, row := range rows {
		n[row.Cells[column].Verdict]++
	}
	return n
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
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", row.Feature, columns[i], cell.Verdict, escaped(cmp.Or(cell.Why, cell.Differs)))
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
