package bench

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/experiment/report"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
)

// paperBuilds is the paper's Table 1: application, RSS in GB, time in s, size in MB.
var paperBuilds = []struct {
	app, framework string
	rss            float64
	seconds, size  float64
}{
	{"documents", "Tika (Quarkus)", 6.41, 97, 89.7},
	{"petclinic", "Petclinic (Spring Boot)", 8.21, 200, 189.3},
	{"shopcart", "Shopcart (Micronaut)", 6.31, 87, 69.4},
}

// Write fills a folder: report.html, figure-*.svg, measurements.csv, builds.csv, metadata.csv
// (of the parts that were asked for), tables.md and result.json.
func Write(dir string, r *Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	files := map[string]func(io.Writer) error{
		"report.html": Page(r).WriteHTML,
		"tables.md": func(w io.Writer) error {
			for _, t := range append(Tables(r), problemTable(r), settings(r), apps(r)) {
				if len(t.Rows) > 0 {
					if err := t.WriteMarkdown(w); err != nil {
						return err
					}
				}
			}
			return nil
		},
		"result.json": func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(r)
		},
	}
	for name, svg := range figures(r) {
		files["figure-"+name+".svg"] = func(w io.Writer) error { _, err := w.Write(svg); return err }
	}
	if r.Has(Figure1) {
		files["measurements.csv"] = func(w io.Writer) error { return writeMeasurements(w, r) }
	}
	if r.Has(Table1) {
		files["builds.csv"] = func(w io.Writer) error { return writeBuilds(w, r) }
	}
	if r.Has(Figure2) {
		files["metadata.csv"] = func(w io.Writer) error { return writeMetadata(w, r) }
	}
	for name, write := range files {
		if err := writeFile(filepath.Join(dir, name), write); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, f func(io.Writer) error) error {
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	b := bufio.NewWriter(out)
	if err = f(b); err == nil {
		err = b.Flush()
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Tables are what the terminal shows, each with its caption.
func Tables(r *Result) []report.Table {
	var tables []report.Table
	if r.Has(Figure1) {
		for _, a := range r.Apps {
			if t := appTable(a); len(t.Rows) > 0 {
				tables = append(tables, t)
			}
		}
		if t := paperTable(r); len(t.Rows) > 0 {
			tables = append(tables, t)
		}
	}
	if r.Has(Table1) {
		tables = append(tables, buildTable(r))
	}
	if r.Has(Figure2) {
		tables = append(tables, metadataTable(r))
	}
	return tables
}

// Page is the report.
func Page(r *Result) *report.Page {
	var names []string
	for _, a := range r.Apps {
		names = append(names, a.Name)
	}
	page := &report.Page{
		Title: "CloudJIT: " + title(r.Parts),
		Lead: fmt.Sprintf("%s on %s, %d cores; %s.", strings.Join(names, ", "), r.Machine.CPU, r.Machine.Cores,
			r.Began.Format("2 January 2006, 15:04")),
	}
	if r.Interrupted {
		page.Lead += " The run was interrupted: this is what had been measured."
	}
	if s := problemTable(r); len(s.Rows) > 0 {
		page.Sections = append(page.Sections, report.Section{Heading: "What is not in the figures, and what to know about them", Tables: []report.Table{s}})
	}
	svgs := figures(r)
	if r.Has(Figure1) {
		s := report.Section{Heading: "HotSpot and native image (the paper's Figure 1)", Text: method(r)}
		for _, f := range []struct{ name, caption string }{
			{"1a-memory", "Memory, idle and under load (Fig. 1.a): PSS of the whole process tree, which counts shared pages by share."},
			{"1b-startup", "Time to the first right answer (Fig. 1.b), logarithmic: of the process started directly, and as a user of the platform waits for a cold start."},
			{"1c-startup-throughput", "Answers in the first second and in the first five seconds, counted from the start of the process (Fig. 1.c)."},
			{"1d-peak-throughput", fmt.Sprintf("Answers a second after %s of load (Fig. 1.d).", r.Settings.PeakAfter)},
		} {
			if svg := svgs[f.name]; svg != nil {
				s.Figures = append(s.Figures, report.Figure{SVG: svg, Caption: f.caption + " Bars: median; lines: least and greatest."})
			}
		}
		for _, a := range r.Apps {
			if t := appTable(a); len(t.Rows) > 0 {
				s.Tables = append(s.Tables, t)
			}
		}
		if t := paperTable(r); len(t.Rows) > 0 {
			s.Tables = append([]report.Table{t}, s.Tables...)
		}
		page.Sections = append(page.Sections, s)
	}
	if r.Has(Table1) {
		page.Sections = append(page.Sections, report.Section{Heading: "Builds (the paper's Table 1)", Tables: []report.Table{buildTable(r)}})
	}
	if r.Has(Figure2) {
		s := report.Section{Heading: "Metadata that the tracer found (the paper's Figure 2)", Tables: []report.Table{metadataTable(r)}}
		s.Figures = []report.Figure{{SVG: svgs["2-metadata"], Caption: "Parameters that were traced in the application and its libraries, and that somebody would have to write by hand."}}
		page.Sections = append(page.Sections, s)
	}
	page.Sections = append(page.Sections, report.Section{Heading: "Machine, versions and settings", Tables: []report.Table{settings(r), apps(r)}})
	return page
}

func title(parts []Part) string {
	if len(parts) > 1 {
		return "figures 1 and 2 and table 1, measured"
	}
	return map[Part]string{
		Figure1: "HotSpot and native image", Table1: "builds", Figure2: "metadata",
	}[parts[0]]
}

func method(r *Result) []string {
	s := r.Settings
	return []string{fmt.Sprintf("Each application runs on each rung %d times, the rungs taking turns, after one start of each that is not counted. "+
		"Bare is the process started directly with the very options of the platform, without a sandbox. One start is measured idle: first right answer, then memory after %s. "+
		"Another is under load from its start: %d connections ask the application's requests in turn, each again as soon as it has its answer (a handler takes one event at a time). "+
		"Memory under load is the greatest while the peak is counted, which begins %s after the first answer and lasts %s. "+
		"Through the platform, %d cold starts of each rung in each repetition. "+
		"The AOT cache of the bare process is made by a run of its own, for the platform's is for the paths inside of its sandbox.",
		s.Repeat, s.Settle, s.Connections, s.PeakAfter, s.PeakWindow, s.ColdStarts),
		"The load comes from the same machine and takes its share of the cores, of every rung alike."}
}

// panelsOf says which metrics a figure shows beside each other.
var panelsOf = []struct {
	name, title string
	log, same   bool // a logarithmic axis; one axis for all panels
	metrics     []Metric
}{
	{"1a-memory", "Memory, MiB", false, true, []Metric{IdleMemory, LoadMemory}},
	{"1b-startup", "Time to the first answer, ms", true, true, []Metric{BareFirst, PlatformFirst}},
	{"1c-startup-throughput", "Start-up throughput, answers", false, false, []Metric{FirstSecond, FirstFive}},
	{"1d-peak-throughput", "Peak throughput, answers a second", false, false, []Metric{Peak}},
}

// figures are all pictures by name.
func figures(r *Result) map[string][]byte {
	out := map[string][]byte{}
	if r.Has(Figure1) {
		rungs := r.RungNames()
		for _, f := range panelsOf {
			bars := report.Bars{Title: f.title, SameScale: f.same}
			for _, name := range rungs {
				bars.Series = append(bars.Series, string(name))
			}
			for _, m := range f.metrics {
				if p, any := panel(r, m, rungs, f.log); any {
					bars.Panels = append(bars.Panels, p)
				}
			}
			if len(bars.Panels) > 0 {
				out[f.name] = bars.SVG()
			}
		}
	}
	if r.Has(Figure2) {
		s := report.Stack{Title: "Metadata by kind", X: "parameters"}
		for _, p := range Parameters {
			s.Parts = append(s.Parts, p.Name)
		}
		for _, a := range r.Apps {
			row := report.StackRow{Name: a.Name, Missing: "nothing was traced"}
			if a.Metadata != nil {
				for _, p := range Parameters {
					row.Values = append(row.Values, float64(p.Count(a.Metadata)))
				}
			}
			s.Rows = append(s.Rows, row)
		}
		out["2-metadata"] = s.SVG()
	}
	return out
}

// panel draws a metric of all applications; any is false if it was measured of none.
func panel(r *Result, m Metric, rungs []function.Rung, log bool) (p report.Panel, any bool) {
	p = report.Panel{Title: m.Title, Log: log, Format: func(v float64) string { return decimals(v, decimalsOf(m, v)) }}
	for _, a := range r.Apps {
		var group []report.Bar
		for _, name := range rungs {
			rung := a.Rung(name)
			s := rung.Of(m)
			b := report.Bar{Value: s.Median, Low: s.Min, High: s.Max}
			switch {
			case s.N > 0:
				any = true
			case rung != nil && rung.Failed != "":
				b.Missing = "failed"
			default:
				b.Missing = "not measured"
			}
			group = append(group, b)
		}
		p.Groups, p.Bars = append(p.Groups, a.Name), append(p.Bars, group)
	}
	return p, any
}

// decimalsOf gives small values a digit more and large ones none.
func decimalsOf(m Metric, v float64) int {
	switch {
	case v >= 100 || m.Key == FirstSecond.Key || m.Key == FirstFive.Key:
		return 0
	case v < 100 && m.Unit == "ms":
		return 1
	}
	return m.Decimals
}

func show(m Metric, s Spread) string {
	if s.N == 0 {
		return "–"
	}
	n := decimalsOf(m, s.Median)
	if s.N == 1 || s.Min == s.Max {
		return decimals(s.Median, n)
	}
	return fmt.Sprintf("%s (%s to %s)", decimals(s.Median, n), decimals(s.Min, n), decimals(s.Max, n))
}

// appTable has a column for each rung, and what those above the first are of HotSpot.
func appTable(a *App) report.Table {
	t := report.Table{Caption: a.Name + ": median (least to greatest)", Head: []string{a.Name}}
	for _, rung := range a.Rungs {
		t.Head = append(t.Head, string(rung.Name))
	}
	hotspot := a.Rung(ladder.HotSpot)
	var compared []*Rung
	for _, rung := range []*Rung{a.Rung(ladder.AOTCache), a.native()} {
		if rung != nil && hotspot != nil {
			compared = append(compared, rung)
			t.Head = append(t.Head, string(rung.Name)+" / hotspot")
		}
	}
	for _, m := range Metrics {
		row, measured := []string{m.label()}, false
		for _, rung := range a.Rungs {
			s := rung.Of(m)
			measured = measured || s.N > 0
			row = append(row, show(m, s))
		}
		if !measured {
			continue
		}
		for _, rung := range compared {
			row = append(row, ratio(rung.Of(m), hotspot.Of(m)))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// label is the metric with its unit.
func (m Metric) label() string {
	if m.Unit == "" {
		return m.Title
	}
	return m.Title + ", " + m.Unit
}

func ratio(a, b Spread) string {
	if a.N == 0 || b.N == 0 || b.Median == 0 {
		return "–"
	}
	return strconv.FormatFloat(a.Median/b.Median, 'g', 3, 64)
}

// paperTable sets native over HotSpot beside what the paper says of it. The paper prints its
// Figure 1 without numbers; 0.375 is the memory ratio that its 5.1 derives from it.
func paperTable(r *Result) report.Table {
	t := report.Table{Caption: "Native over HotSpot, medians, beside the paper (Fig. 1 and section 5.1)", Head: []string{"native / hotspot"}}
	var measured []*App
	for _, a := range r.Apps {
		if a.Rung(ladder.HotSpot) != nil && a.native() != nil && len(a.native().Values) > 0 {
			measured = append(measured, a)
			t.Head = append(t.Head, a.Name)
		}
	}
	t.Head = append(t.Head, "paper")
	if len(measured) == 0 {
		return t
	}
	for _, row := range []struct {
		Metric
		paper string
	}{
		{IdleMemory, "0.375"}, {LoadMemory, "0.375"}, {BareFirst, "far below 1 (logarithmic axis)"}, {PlatformFirst, "not shown"},
		{FirstSecond, "above 1"}, {FirstFive, "above 1"}, {Peak, "below 1"},
	} {
		cells := []string{row.Title}
		for _, a := range measured {
			cells = append(cells, ratio(a.native().Of(row.Metric), a.Rung(ladder.HotSpot).Of(row.Metric)))
		}
		t.Rows = append(t.Rows, append(cells, row.paper))
	}
	return t
}

func buildTable(r *Result) report.Table {
	t := report.Table{Caption: "Builds", Head: []string{"application", "rung", "time, s", "CPU, s", "peak RSS, GB", "artifact, MB", "archive, MB", "paper: RSS, time, size"}}
	for _, a := range r.Apps {
		paper := "–"
		for _, p := range paperBuilds {
			if p.app == a.Name {
				paper = fmt.Sprintf("%s: %g GB, %g s, %g MB", p.framework, p.rss, p.seconds, p.size)
			}
		}
		archive := decimals(float64(a.ArchiveBytes)/1e6, 1)
		any := false
		for _, b := range a.Builds {
			if b.State != succeeded {
				continue
			}
			any = true
			rung, beside := string(b.Rung), paper
			if b.Rung == ladder.AOTCache {
				beside = "–"
			}
			if b.Cached {
				rung += " (of an earlier run)"
			}
			t.Rows = append(t.Rows, []string{a.Name, rung, seconds(b.Wall), seconds(b.CPU),
				decimals(float64(b.RSS)/1e9, 2), decimals(float64(b.Size)/1e6, 1), archive, beside})
		}
		if !any {
			t.Rows = append(t.Rows, []string{a.Name, "not built", "–", "–", "–", "–", archive, paper})
		}
	}
	return t
}

// succeeded is the platform's word for a build that did.
const succeeded = "succeeded"

func metadataTable(r *Result) report.Table {
	t := report.Table{Caption: "Metadata by kind", Head: []string{"parameters"}}
	for _, a := range r.Apps {
		t.Head = append(t.Head, a.Name)
	}
	add := func(name string, count func(*App) int) {
		row := []string{name}
		for _, a := range r.Apps {
			if a.Metadata == nil {
				row = append(row, "–")
				continue
			}
			row = append(row, strconv.Itoa(count(a)))
		}
		t.Rows = append(t.Rows, row)
	}
	for _, p := range Parameters {
		add(p.Name, func(a *App) int { return p.Count(a.Metadata) })
	}
	add("all", func(a *App) int { return a.Metadata.Total })
	return t
}

// problemTable is everything that went wrong, so that nothing is silently left out.
func problemTable(r *Result) report.Table {
	t := report.Table{Head: []string{"application", "what"}}
	add := func(who, what string) { t.Rows = append(t.Rows, []string{who, what}) }
	for _, a := range r.Apps {
		for _, f := range a.Failed {
			add(a.Name, f)
		}
		for _, rung := range a.Rungs {
			who := a.Name + ", " + string(rung.Name)
			if rung.Failed != "" {
				add(who, rung.Failed)
			}
			if rung.Wrong > 0 {
				add(who, fmt.Sprintf("wrong answers: %d of %d, the first: %s", rung.Wrong, rung.Answers, rung.FirstWrong))
			}
		}
		for _, n := range a.Notes {
			add(a.Name, n)
		}
	}
	return t
}

// Problems are the failures, one a line; nil if all went well.
func Problems(r *Result) []string {
	var lines []string
	for _, row := range problemTable(r).Rows {
		lines = append(lines, strings.Join(row, ": "))
	}
	return lines
}

func settings(r *Result) report.Table {
	m, v, s := r.Machine, r.Versions, r.Settings
	t := report.Table{Head: []string{"what", "value"}}
	add := func(what, format string, args ...any) {
		t.Rows = append(t.Rows, []string{what, fmt.Sprintf(format, args...)})
	}
	add("machine", "%s, %d cores, %.1f GB", m.CPU, m.Cores, float64(m.MemoryBytes)/1e9)
	add("system", "%s, Linux %s", m.OS, m.Kernel)
	add("load average", "%.2f before, %.2f after", m.LoadBefore, m.LoadAfter)
	add("cloudjit", "%s", v.CloudJIT)
	add("JDK of the platform", "%s", v.JDK)
	if v.Builder != "" {
		add("builder", "%s", v.Builder)
	}
	add("run", "%s, %s", r.Began.Format(time.RFC3339), r.Ended.Sub(r.Began).Round(time.Second))
	if r.Has(Figure1) {
		add("repetitions", "%d; %d cold starts through the platform in each", s.Repeat, s.ColdStarts)
		add("load", "%d connections; idle after %s; peak after %s, for %s", s.Connections, s.Settle, s.PeakAfter, s.PeakWindow)
	}
	if r.Command != "" {
		add("command", "%s", r.Command)
	}
	return t
}

func apps(r *Result) report.Table {
	t := report.Table{Caption: "Applications", Head: []string{"application", "framework", "kind", "archive, MB", "memory limit, MiB", "requests", "SHA-256"}}
	for _, a := range r.Apps {
		sha := a.SHA256
		if len(sha) > 12 {
			sha = sha[:12]
		}
		t.Rows = append(t.Rows, []string{a.Name, a.Framework, a.Kind, decimals(float64(a.ArchiveBytes)/1e6, 1), strconv.Itoa(a.MemoryMiB), strconv.Itoa(a.Requests), sha})
	}
	return t
}

func writeMeasurements(w io.Writer, r *Result) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"application", "rung", "runtime", "metric", "repetition", "value"}) // Flush says it
	for _, a := range r.Apps {
		for _, rung := range a.Rungs {
			for _, m := range Metrics {
				for i, v := range rung.Values[m.Key] {
					_ = out.Write([]string{a.Name, string(rung.Name), rung.Runtime, m.Key, strconv.Itoa(i + 1), strconv.FormatFloat(v, 'f', -1, 64)})
				}
			}
		}
	}
	out.Flush()
	return out.Error()
}

func writeBuilds(w io.Writer, r *Result) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"application", "rung", "state", "cached", "wall_seconds", "cpu_seconds", "peak_rss_bytes", "artifact_bytes", "archive_bytes", "reason"})
	for _, a := range r.Apps {
		for _, b := range a.Builds {
			_ = out.Write([]string{a.Name, string(b.Rung), b.State, strconv.FormatBool(b.Cached), decimals(b.Wall.Seconds(), 3), decimals(b.CPU.Seconds(), 3),
				strconv.FormatInt(b.RSS, 10), strconv.FormatInt(b.Size, 10), strconv.FormatInt(a.ArchiveBytes, 10), b.Reason})
		}
	}
	out.Flush()
	return out.Error()
}

func writeMetadata(w io.Writer, r *Result) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"application", "parameter", "count"})
	for _, a := range r.Apps {
		if a.Metadata == nil {
			continue
		}
		for _, p := range Parameters {
			_ = out.Write([]string{a.Name, p.Name, strconv.Itoa(p.Count(a.Metadata))})
		}
	}
	out.Flush()
	return out.Error()
}

// seconds have a decimal where there are few of them.
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return decimals(d.Seconds(), 1)
	}
	return decimals(d.Seconds(), 0)
}

func decimals(v float64, n int) string { return strconv.FormatFloat(v, 'f', n, 64) }
