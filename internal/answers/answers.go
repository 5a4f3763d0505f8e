// Package answers compares what functions answer on the rungs of the ladder.
//
// A corpus of small features (java/) is deployed on a platform of its own, called on plain HotSpot, while the
// tracer records, and on each rung above; everything is asked for as a user would ask. What differs from HotSpot
// without a sign is either documented (known.go) or a failure. The package serves no platform: it is how the
// rungs are judged, and writes docs/same-answers.md.
package answers

import (
	"fmt"
	"path"
	"strings"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

// Group is the features of one archive, which share one function and its artifacts: builds are what takes the time.
type Group struct {
	Name string
	// Module is the folder below java/ that makes the archive.
	Module string
	// Handler is the class of the function.
	Handler string
	// What the features are about, for the table.
	What string
}

// Groups are all archives.
var Groups = []Group{
	{"jdk", "jdk", "features.Jdk", "the JDK: language, reflection, handles, threads, texts, files, networks, security, management, desktop"},
	{"formats", "formats", "features.Formats", "libraries that read and write data"},
	{"frameworks", "frameworks", "features.Frameworks", "databases, templates, scripts, injection, generated classes"},
	{"tools", "tools", "features.Tools", "logs, collections, caches, security, networks, schedules"},
}

// Column is one way to run a function that is compared with plain HotSpot.
type Column struct {
	// Rung that answers.
	Rung function.Rung `json:"rung"`
	// Untraced: nothing but the start was recorded for the rung's artifact, so that each feature is new to it.
	Untraced bool `json:"untraced,omitempty"`
	// Recording: a worker of the first rung, with the tracer.
	Recording bool `json:"recording,omitempty"`
}

// String is what the table has at the top of the column.
func (c Column) String() string {
	switch {
	case c.Recording:
		return string(c.Rung) + ", recording"
	case c.Untraced:
		return string(c.Rung) + ", not traced"
	}
	return string(c.Rung)
}

// Answer is what came back for one feature.
type Answer struct {
	// Text is the answer; with Failed the document of the error.
	Text string `json:"text"`
	// Failed: the function ended with an error instead of answering.
	Failed bool `json:"failed,omitempty"`
	// SteppedBack: the rung found by itself that it cannot answer, and HotSpot was to answer instead.
	SteppedBack bool `json:"steppedBack,omitempty"`
}

// Columns are all ways to run a function, in the order of the ladder. A machine may lack the means for one.
var Columns = []Column{
	{Rung: ladder.HotSpot, Recording: true}, {Rung: ladder.AOTCache}, {Rung: ladder.SnapshotDeploy}, {Rung: ladder.Snapshot}, {Rung: ladder.SnapshotC2}, {Rung: ladder.Native}, {Rung: ladder.Native, Untraced: true},
	{Rung: ladder.NativeProfiled},
}

// Verdict is how an answer of a rung compares with HotSpot's.
type Verdict int

const (
	// Same: the very answer.
	Same Verdict = iota
	// SteppedBack: no answer, but a sign, and the caller gets HotSpot's.
	SteppedBack
	// Documented: another answer, which the documentation tells of.
	Documented
	// Silent: another answer, and nothing tells of it.
	Silent
	// Unknown: it was not asked.
	Unknown
)

var verdicts = [...]string{"same", "stepped back", "documented", "**another answer**", ""}

func (v Verdict) String() string { return verdicts[v] }

// Cell is one feature in one column.
type Cell struct {
	Verdict Verdict
	// Why is the documented reason.
	Why string
	// Differs has the two answers where they are not the same.
	Differs string
}

// Row is one feature.
type Row struct {
	Group, Feature string
	// Varies: two workers on plain HotSpot answered differently, so that nothing can be compared.
	Varies string
	Cells  []Cell // one for each column
}

// Judge compares what a column answered for a feature with what plain HotSpot did.
func Judge(feature string, c Column, want, got Answer) Cell {
	switch {
	case got.SteppedBack:
		return Cell{Verdict: SteppedBack}
	case got == want:
		return Cell{}
	}
	return differs(feature, c, fmt.Sprintf("%s, not %s", got.quoted(), want.quoted()))
}

// differs is the cell of another answer.
func differs(feature string, c Column, answers string) Cell {
	if d := documented(feature, c); d != nil {
		return Cell{Documented, d.Why, answers}
	}
	return Cell{Verdict: Silent, Differs: answers}
}

// documented is the entry that a difference may go by.
func documented(feature string, c Column) *Difference {
	for i := range Known {
		d := &Known[i]
		if d.concerns(feature, c) {
			return d
		}
	}
	return nil
}

// concerns reports whether the entry is about a feature in a column.
func (d *Difference) concerns(feature string, c Column) bool {
	ok, err := path.Match(d.Feature, feature)
	return err == nil && ok && (d.Rung == c.Rung || d.Rung == ladder.Native && c.traced()) && (!d.Untraced || c.Untraced)
}

// quoted is the answer for a table's cell, cut short.
func (a Answer) quoted() string {
	text := a.Text
	if r := []rune(text); len(r) > 160 {
		text = string(r[:160]) + "..."
	}
	if a.Failed {
		return "error " + text
	}
	return fmt.Sprintf("%q", text)
}

// Compare makes the rows of a group: plain has HotSpot's answers of two workers, by feature.
func Compare(group string, features []string, plain [2]map[string]Answer, columns []Column, answers []map[string]Answer) []Row {
	rows := make([]Row, 0, len(features))
	for _, feature := range features {
		row := Row{Group: group, Feature: feature, Cells: make([]Cell, len(columns))}
		want := plain[0][feature]
		if again := plain[1][feature]; again != want {
			row.Varies = fmt.Sprintf("%s and %s", want.quoted(), again.quoted())
		}
		for i, c := range columns {
			got, ok := answers[i][feature]
			switch {
			case !ok, row.Varies != "":
				row.Cells[i].Verdict = Unknown
			default:
				row.Cells[i] = Judge(feature, c, want, got)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// Problems are what the corpus must not have: features that vary, and differences that nothing tells of. complete:
// all groups were asked in all columns, so that what is documented and does not happen any more is a problem as well.
func Problems(rows []Row, columns []Column, complete bool) []string {
	var problems []string
	met := make([]bool, len(Known))
	for _, row := range rows {
		if row.Varies != "" {
			problems = append(problems, fmt.Sprintf("%s %s varies on HotSpot: %s", row.Group, row.Feature, row.Varies))
		}
		for i, cell := range row.Cells {
			switch cell.Verdict {
			case Silent:
				problems = append(problems, fmt.Sprintf("%s %s on %s: %s", row.Group, row.Feature, columns[i], cell.Differs))
			case Documented:
				for k := range Known {
					met[k] = met[k] || Known[k].concerns(row.Feature, columns[i])
				}
			}
		}
	}
	for k, d := range Known {
		if complete && !met[k] {
			problems = append(problems, fmt.Sprintf("known.go: %s on %s does not differ any more: remove the entry", d.Feature, d.Rung))
		}
	}
	return problems
}

// area of a feature is what stands before the slash.
func area(feature string) string {
	a, _, _ := strings.Cut(feature, "/")
	return a
}
