package replay

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudjit/cloudjit/internal/experiment"
	"github.com/cloudjit/cloudjit/internal/experiment/report"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/sim"
)

// Write writes a folder: report.html, figure-*.svg, result.json, functions.csv, and for each run
// series-MODE.csv, series-MODE-simulated.csv, memory-MODE.csv and invocations-MODE.csv.
func Write(dir string, r *Result, src experiment.Source) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	page, figures, err := r.page(src)
	if err != nil {
		return err
	}
	files := map[string]func(io.Writer) error{
		"report.html": page.WriteHTML,
		"result.json": func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(r)
		},
		"functions.csv": r.writeFunctions,
	}
	for name, svg := range figures {
		files["figure-"+name+".svg"] = func(w io.Writer) error { _, err := w.Write(svg); return err }
	}
	for i := range r.Runs {
		p := &r.Runs[i]
		mode := modeName(p.Live.Optimizer)
		files["series-"+mode+".csv"] = func(w io.Writer) error { return experiment.WriteSeries(w, &sim.Outcome{Series: p.Live.Series}) }
		files["series-"+mode+"-simulated.csv"] = func(w io.Writer) error { return experiment.WriteSeries(w, &sim.Outcome{Series: p.Simulated.Series}) }
		files["memory-"+mode+".csv"] = p.Live.writeMemory
		files["invocations-"+mode+".csv"] = p.Live.writeCalls
	}
	for name, f := range files {
		if err := write(filepath.Join(dir, name), f); err != nil {
			return err
		}
	}
	return nil
}

func write(path string, f func(io.Writer) error) error {
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	b := bufio.NewWriter(out)
	if err := errors.Join(f(b), b.Flush(), out.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func (r *Result) writeFunctions(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write([]string{"function", "name", "trigger", "trace_memory_mb", "allocates_mib", "limit_mib", "invocations", "cpu_seconds"})
	calls, cpu := make([]int, len(r.Plan.Functions)), make([]time.Duration, len(r.Plan.Functions))
	for i := range r.Plan.Invocations {
		calls[r.Plan.Invocations[i].Function]++
		cpu[r.Plan.Invocations[i].Function] += r.Plan.Invocations[i].Duration
	}
	for i := range r.Plan.Functions {
		f := &r.Plan.Functions[i]
		out.Write([]string{name(i), f.Name, f.Trigger.String(), number(f.MemoryMB, 2), strconv.Itoa(r.Plan.Megabytes[i]), strconv.Itoa(r.Plan.MemoryMiB(i)),
			strconv.Itoa(calls[i]), number(cpu[i].Seconds(), 3)})
	}
	out.Flush()
	return out.Error()
}

func (l *Live) writeMemory(w io.Writer) error {
	out := csv.NewWriter(w)
	head := []string{"seconds", "resident_pss_mb", "running_pss_mb", "workers", "took_ms", "busy_cores"}
	for i := range handlers.Rungs {
		name := string(handlers.Rungs[i].Name)
		head = append(head, name+"_pss_mb", name+"_workers")
	}
	out.Write(head)
	for _, s := range l.Samples {
		row := []string{number(s.At.Seconds(), 3), number(s.Resident, 3), number(s.Running, 3), strconv.Itoa(s.Workers), number(ms(s.Took), 1), number(s.Busy, 2)}
		for i := range handlers.Rungs {
			rung := s.Rungs[handlers.Rungs[i].Name]
			row = append(row, number(rung.MB, 3), strconv.Itoa(rung.Workers))
		}
		out.Write(row)
	}
	out.Flush()
	return out.Error()
}

func (l *Live) writeCalls(w io.Writer) error {
	out := csv.NewWriter(w)
	out.Write([]string{"function", "at_us", "duration_us", "sent", "late_us", "response_us", "rung", "cold", "problem"})
	for i := range l.Calls {
		c := &l.Calls[i]
		if !c.Sent {
			out.Write([]string{"", "", "", "false", "", "", "", "", ""})
			continue
		}
		out.Write([]string{name(int(c.Function)), micros(c.At), micros(c.Duration), "true", micros(c.Late), micros(c.Response), string(c.Rung), strconv.FormatBool(c.Cold), c.Kind})
	}
	out.Flush()
	return out.Error()
}

func micros(d time.Duration) string { return strconv.FormatInt(d.Microseconds(), 10) }

// smooth averages over windows of so many seconds; sums them with total.
func smooth(v []float64, window int, total bool) []float64 {
	var out []float64
	for part := range slices.Chunk(v, window) {
		sum := 0.0
		for _, x := range part {
			sum += x
		}
		if !total {
			sum /= float64(len(part))
		}
		out = append(out, sum)
	}
	return out
}

// soFar sums up.
func soFar(v []float64) []float64 {
	out := make([]float64, len(v))
	sum := 0.0
	for i, x := range v {
		sum += x
		out[i] = sum
	}
	return out
}

func plus(a, b []int32) []float64 {
	out := report.Floats(a)
	for i := range b {
		out[i] += float64(b[i])
	}
	return out
}

// averaged is the seconds of the figures' averages.
const averaged = 10

// figures draws what there is of the paper's Fig. 5, and more.
func (r *Result) figures() (map[string][]byte, []report.Figure, error) {
	type drawing struct {
		name, caption string
		window        int
		plot          report.Plot
	}
	first := &r.Runs[0]
	if p := r.Find(true); p != nil {
		first = p
	}
	x, y := &first.Live.Series, &first.Simulated.Series
	perBar, unit := 60, "minute"
	if x.Len() < 600 {
		perBar, unit = 10, "10 seconds"
	}
	mean := func(v []float64) []float64 { return smooth(v, averaged, false) }
	count := func(v []float64) []float64 { return smooth(v, perBar, true) }
	mode := modeName(first.Live.Optimizer) + " the optimizer"
	running := drawing{"5a-running", fmt.Sprintf("Functions that ran an invocation in each second, by whether they had a binary, averaged over %d s (Fig. 5.a). Solid: live; dashed: simulated.", averaged), averaged, report.Plot{
		Title: "Running functions, " + mode, Y: "functions", Lines: []report.Line{
			{Name: "native, live", Values: mean(report.Floats(x.ActiveOptimized)), Color: 1},
			{Name: "others, live", Values: mean(report.Floats(x.ActiveOther)), Color: 2},
			{Name: "native, simulated", Values: mean(report.Floats(y.ActiveOptimized)), Color: 1, Dashed: true},
			{Name: "others, simulated", Values: mean(report.Floats(y.ActiveOther)), Color: 2, Dashed: true},
		}}}
	cold := drawing{"5c-cold", "Cold starts in each " + unit + ", by the rung of the new worker (Fig. 5.c). Solid: live; dashed: simulated.", perBar, report.Plot{
		Title: "Cold starts, " + mode, Y: "cold starts in " + unit, Lines: byRung(x, y, func(s *sim.RungSeries) []float64 { return count(report.Floats(s.Cold)) })}}
	workers := drawing{"workers", fmt.Sprintf("Workers by rung, averaged over %d s. Solid: live; dashed: simulated.", averaged), averaged, report.Plot{
		Title: "Workers, " + mode, Y: "workers", Lines: byRung(x, y, func(s *sim.RungSeries) []float64 { return mean(report.Floats(s.Resident)) })}}
	memory := drawing{"5b-memory", fmt.Sprintf("Memory of all workers that are up (PSS), averaged over %d s (Fig. 5.b). Solid: measured; dashed: simulated.", averaged), averaged, report.Plot{Title: "Memory of all workers", Y: "MB"}}
	busy := drawing{"5b-memory-running", "The same of those workers that run an invocation.", averaged, report.Plot{Title: "Memory of running workers", Y: "MB"}}
	colds := drawing{"cold-so-far", "All cold starts since the begin. Solid: live; dashed: simulated.", 1, report.Plot{Title: "Cold starts so far", Y: "cold starts"}}
	builds := drawing{"builds", "Builds that run, and that wait for the builder.", 1, report.Plot{Title: "Builds, " + mode, Y: "builds", Lines: []report.Line{
		{Name: "running, live", Values: report.Floats(x.Builds), Color: 1}, {Name: "waiting, live", Values: report.Floats(x.BuildsQueued), Color: 2},
		{Name: "running, simulated", Values: report.Floats(y.Builds), Color: 1, Dashed: true}, {Name: "waiting, simulated", Values: report.Floats(y.BuildsQueued), Color: 2, Dashed: true},
	}}}
	for _, p := range r.Runs {
		n, c := modeName(p.Live.Optimizer), 2
		if p.Live.Optimizer {
			c = 1
		}
		for _, s := range []struct {
			how    string
			series *sim.Series
			dashed bool
		}{{"live", &p.Live.Series, false}, {"simulated", &p.Simulated.Series, true}} {
			line := func(v []float64) report.Line {
				return report.Line{Name: n + " the optimizer, " + s.how, Values: v, Dashed: s.dashed, Color: c}
			}
			memory.plot.Lines = append(memory.plot.Lines, line(mean(s.series.ResidentMB)))
			busy.plot.Lines = append(busy.plot.Lines, line(mean(s.series.RunningMB)))
			colds.plot.Lines = append(colds.plot.Lines, line(soFar(plus(s.series.ColdOptimized, s.series.ColdOther))))
		}
	}
	drawings := []drawing{running, memory, busy, cold, colds, workers}
	if first.Live.Optimizer {
		drawings = append(drawings, builds)
	}
	files := map[string][]byte{}
	var list []report.Figure
	for _, d := range drawings {
		d.plot.X, d.plot.Step = "minutes", float64(d.window)/60
		svg, err := d.plot.SVG()
		if err != nil {
			return nil, nil, err
		}
		files[d.name] = svg
		list = append(list, report.Figure{SVG: svg, Caption: d.caption})
	}
	return files, list, nil
}

// byRung has two lines for each rung that had anything: live, and simulated in the same color.
func byRung(live, simulated *sim.Series, values func(*sim.RungSeries) []float64) []report.Line {
	var lines []report.Line
	for i := range live.Rungs {
		name := live.Rungs[i].Rung
		all := []report.Line{{Name: string(name) + ", live", Values: values(&live.Rungs[i]), Color: i + 1}}
		for k := range simulated.Rungs {
			if simulated.Rungs[k].Rung == name {
				all = append(all, report.Line{Name: string(name) + ", simulated", Values: values(&simulated.Rungs[k]), Color: i + 1, Dashed: true})
			}
		}
		if slices.ContainsFunc(all, func(l report.Line) bool { return total(l.Values) > 0 }) {
			lines = append(lines, all...)
		}
	}
	return lines
}

func (r *Result) page(src experiment.Source) (*report.Page, map[string][]byte, error) {
	if len(r.Runs) == 0 {
		return nil, nil, errors.New("write report: there is no run to report")
	}
	files, figures, err := r.figures()
	if err != nil {
		return nil, nil, err
	}
	p := r.Plan
	page := &report.Page{
		Title: "CloudJIT replay",
		Lead: fmt.Sprintf("%s: %d invocations of %d functions in %v against a live platform, and the same simulated with what was measured. The invocations want %.2f cores on average, %.2f in the busiest minute, of %d.",
			src.Name, p.InvocationCount, p.FunctionCount, p.Length, p.OfferedCores, p.PeakCores, r.Machine.Cores),
		Sections: []report.Section{
			{Heading: "Live and simulated (the paper's Figure 5)", Figures: figures, Tables: []report.Table{r.Table()}},
			{Heading: "What was asked and answered", Tables: []report.Table{r.answersTable(), r.responsesTable()}},
			{Heading: "What was measured, and taken into the simulation", Tables: []report.Table{r.measuredTable()}},
		},
	}
	if r.Interrupted {
		page.Sections[0].Text = append(page.Sections[0].Text, "The replay was interrupted: a run has the seconds until then, and its simulation as many.")
	}
	if t := r.buildsTable(); len(t.Rows) > 0 {
		page.Sections = append(page.Sections, report.Section{Heading: "Builds", Tables: []report.Table{t}})
	}
	page.Sections = append(page.Sections, report.Section{Heading: "How it was done", Tables: []report.Table{r.stepsTable(), r.setting(src)}})
	return page, files, nil
}

// Table has a column for each run, its simulation, and the simulator's error.
func (r *Result) Table() report.Table {
	t := report.Table{Head: []string{"over the time of the trace"}}
	for _, p := range r.Runs {
		n := modeName(p.Live.Optimizer)
		t.Head = append(t.Head, n+", live", n+", simulated", "error")
	}
	row := func(name string, show func(*Figures) string, off func(*Errors) float64) {
		cells := []string{name}
		for i := range r.Runs {
			p := &r.Runs[i]
			e := ""
			if off != nil {
				e = signed(off(&p.Errors))
			}
			cells = append(cells, show(&p.Live.Figures), show(&p.Simulated.Figures), e)
		}
		t.Rows = append(t.Rows, cells)
	}
	row("cold starts", func(f *Figures) string { return strconv.Itoa(f.ColdStarts) }, func(e *Errors) float64 { return e.ColdStarts })
	names := r.rungs()
	for _, name := range names {
		row("on "+string(name), func(f *Figures) string { return strconv.Itoa(f.Rung(name).ColdStarts) }, nil)
	}
	for _, name := range names {
		row("cold start on "+string(name)+", p50, ms", func(f *Figures) string { return orNone(f.Rung(name).ColdP50) }, nil)
	}
	row("all cold starts together, s", func(f *Figures) string { return number(f.ColdSeconds, 1) }, nil)
	for _, name := range names[1:] {
		row("functions with "+string(name), func(f *Figures) string { return strconv.Itoa(f.Rung(name).Functions) }, func(e *Errors) float64 { return e.Functions[name] })
		row("builds of "+string(name), func(f *Figures) string { return strconv.Itoa(f.Rung(name).Builds) }, nil)
	}
	row("first binary serves after, s", func(f *Figures) string { return orNone(f.FirstOptimized) }, nil)
	row("native share of cold starts after it", func(f *Figures) string { return share(f.ColdShare) }, nil)
	row("native share of running functions, after a third of the time", func(f *Figures) string { return share(f.RunningShare) }, nil)
	row("memory of all workers, mean MB", func(f *Figures) string { return number(f.ResidentMB, 0) }, func(e *Errors) float64 { return e.Memory })
	row("memory of running workers, mean MB", func(f *Figures) string { return number(f.RunningMB, 0) }, func(e *Errors) float64 { return e.RunningMemory })
	row("workers, mean", func(f *Figures) string { return number(f.Workers, 1) }, func(e *Errors) float64 { return e.Workers })
	row("workers, at most", func(f *Figures) string { return strconv.Itoa(int(f.PeakWorkers)) }, nil)
	row("deoptimizations", func(f *Figures) string { return strconv.Itoa(f.Deoptimizations) }, nil)
	row("response p50, ms", func(f *Figures) string { return number(f.Response.P50, 1) }, func(e *Errors) float64 { return e.ResponseP50 })
	row("response p99, ms", func(f *Figures) string { return number(f.Response.P99, 1) }, func(e *Errors) float64 { return e.ResponseP99 })
	if s := r.Saved; s != nil {
		t.Caption = fmt.Sprintf("The optimizer saved %s of the memory of all workers (simulated %s), in the last two thirds of the time %s (simulated %s); of running workers %s and %s. "+
			"%s of its cold starts took less than half of what those of the same function took on HotSpot (simulated %s); all together took %s less (simulated %s).",
			share(s.Resident), share(s.ResidentSimulated), share(s.ResidentLater), share(s.ResidentLaterSimulated), share(s.Running), share(s.RunningLater),
			share(s.ColdBelowHalf), share(s.ColdBelowHalfSimulated), share(s.ColdSeconds), share(s.ColdSecondsSimulated))
	}
	return t
}

// rungs are the first one and those that anything is to be said of, the lowest first: all functions
// have the same.
func (r *Result) rungs() []function.Rung {
	var names []function.Rung
	for i, f := range r.Runs[0].Live.Figures.Rungs {
		used := i == 0
		for k := range r.Runs {
			for _, x := range []RungFigures{r.Runs[k].Live.Figures.Rung(f.Rung), r.Runs[k].Simulated.Figures.Rung(f.Rung)} {
				used = used || x.ColdStarts+x.Functions+x.Builds > 0
			}
		}
		if used {
			names = append(names, f.Rung)
		}
	}
	return names
}

// orNone is a number; a dash for 0.
func orNone(v float64) string {
	if v == 0 {
		return "–"
	}
	return number(v, 0)
}

func (r *Result) answersTable() report.Table {
	t := report.Table{Head: []string{"run", "scheduled", "sent", "not sent", "right", "wrong", "others", "schedule error p50, ms", "p99, ms", "max, ms"}}
	for _, p := range r.Runs {
		l := p.Live
		var others []string
		for _, kind := range sortedKeys(l.Answers.Other) {
			others = append(others, fmt.Sprintf("%s %d", kind, l.Answers.Other[kind]))
		}
		t.Rows = append(t.Rows, []string{modeName(l.Optimizer), strconv.FormatInt(l.Load.Scheduled, 10), strconv.FormatInt(l.Load.Sent, 10),
			strconv.FormatInt(l.Load.NotSent, 10), strconv.FormatInt(l.Answers.Right, 10), strconv.FormatInt(l.Answers.Wrong, 10), strings.Join(others, ", "),
			number(float64(l.Load.ErrorP50)/1e3, 2), number(float64(l.Load.ErrorP99)/1e3, 2), number(float64(l.Load.ErrorMax)/1e3, 2)})
	}
	return t
}

func (r *Result) responsesTable() report.Table {
	t := report.Table{Caption: "Responses, in ms, from the time in the plan to the answer; but for the first row without the duration that the trace says.",
		Head: []string{"run", "of", "count", "mean", "p50", "p90", "p99", "max"}}
	for _, p := range r.Runs {
		for _, d := range p.Live.Responses {
			t.Rows = append(t.Rows, []string{modeName(p.Live.Optimizer), d.Of, strconv.Itoa(d.Count), number(d.Mean, 1), number(d.P50, 1), number(d.P90, 1), number(d.P99, 1), number(d.Max, 1)})
		}
	}
	return t
}

func (r *Result) measuredTable() report.Table {
	t := report.Table{Caption: "A start is from the order to ready (geometric mean); memory is a line through what functions allocate (MiB) and what their workers had; overhead is beyond the trace's duration.",
		Head: []string{"run", "rung", "recording", "starts", "start, ms", "overhead, ms", "of a first invocation, ms", "memory, MB", "per MiB allocated", "measurements"}}
	for _, p := range r.Runs {
		for _, m := range p.Live.Measured.Ways {
			t.Rows = append(t.Rows, []string{modeName(p.Live.Optimizer), string(m.Rung), m.Recording.String(), strconv.Itoa(m.Starts), number(m.Start, 1), number(m.Overhead, 2), number(m.FirstOverhead, 2),
				number(m.BaseMB, 1), number(m.AllocatedMB, 2), strconv.Itoa(m.Samples)})
		}
	}
	return t
}

func (r *Result) buildsTable() report.Table {
	t := report.Table{Head: []string{"function", "rung", "asked for after, s", "result", "wall, s", "CPU, s", "peak memory, MB", "artifact, MB", "shared"}}
	p := r.Find(true)
	if p == nil {
		return t
	}
	var wall, cpu time.Duration
	var peak int64
	for _, b := range p.Live.Builds {
		wall, cpu, peak = wall+b.Cost.Wall, cpu+b.Cost.CPU, max(peak, b.Cost.PeakRSS)
		result := b.State
		if b.Class != "" {
			result += " (" + string(b.Class) + ")"
		}
		t.Rows = append(t.Rows, []string{string(b.Function), string(b.Rung), number(b.QueuedAt.Sub(p.Live.Begun).Seconds(), 0), result, number(b.Cost.Wall.Seconds(), 1),
			number(b.Cost.CPU.Seconds(), 1), number(float64(b.Cost.PeakRSS)/1e6, 0), number(float64(b.Cost.Size)/1e6, 1), strconv.FormatBool(b.Cached)})
	}
	waiting := int32(0)
	if n := len(p.Live.Series.BuildsQueued); n > 0 {
		waiting = p.Live.Series.BuildsQueued[n-1]
	}
	t.Caption = fmt.Sprintf("Builds that ended took %.0f s and %.0f s of CPU together, and %.0f MB at most. At the end %d waited for the builder.",
		wall.Seconds(), cpu.Seconds(), float64(peak)/1e6, waiting)
	return t
}

func (r *Result) stepsTable() report.Table {
	t := report.Table{Caption: "What was done to the trace, and what that does to the results", Head: []string{"step", "bias"}}
	for _, s := range r.Plan.Steps {
		t.Rows = append(t.Rows, []string{s.Did, s.Bias})
	}
	return t
}

func (r *Result) setting(src experiment.Source) report.Table {
	t := report.Table{Head: []string{"what", "value"}}
	add := func(what, format string, args ...any) {
		t.Rows = append(t.Rows, []string{what, fmt.Sprintf(format, args...)})
	}
	m := &r.Machine
	add("trace", "%s (%s)", src.Name, src.Kind)
	add("policy", "%s; keep-alive %v at most; threshold of %d cold starts in %v, where it goes by that", r.Policy, time.Duration(r.Params.KeepAlive), r.Params.Threshold, time.Duration(r.Params.Window))
	if r.ShareBuilds {
		add("builds", "all functions share their artifacts: the first builds pay for all")
	} else {
		add("builds", "each function pays for builds of its own")
	}
	if p := r.Find(true); p != nil {
		for _, b := range p.Live.Measured.Builds {
			add("builds of "+string(b.Rung), "%.1f s and %.1f s of CPU on average of %d that ended", b.Cost.Wall.Seconds(), b.Cost.CPU.Seconds(), b.Count)
		}
	}
	add("machine", "%s, %d cores, %.1f GB, Linux %s; load before: %.2f", m.CPU, m.Cores, float64(m.MemoryBytes)/1e9, m.Kernel, m.Load)
	add("versions", "CloudJIT %s; JDK %s; native-image %s", m.CloudJIT, m.JDK, m.Builder)
	for _, p := range r.Runs {
		s := &p.Live.Sampling
		add(modeName(p.Live.Optimizer)+" the optimizer", "begun %s; memory measured %d times, every %.1f s (at most %.1f s apart), %.0f ms each; the machine kept %.2f cores busy, with everything on it",
			p.Live.Begun.UTC().Format(time.RFC3339), s.Count, s.MeanPause, s.MaxPause, s.MeanTook, s.BusyCores)
	}
	if src.Command != "" {
		add("command", "%s", src.Command)
	}
	return t
}

// WriteText writes what a terminal shows.
func (r *Result) WriteText(w io.Writer) error {
	tables := []report.Table{r.Table(), r.answersTable()}
	if t := r.buildsTable(); len(t.Rows) > 0 {
		tables = append(tables, t)
	}
	for i := range tables {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if tables[i].Caption != "" {
			fmt.Fprintln(w, tables[i].Caption)
		}
		if err := tables[i].WriteText(w); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[string]int64) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func number(v float64, decimals int) string { return strconv.FormatFloat(v, 'f', decimals, 64) }

func share(v float64) string { return number(100*v, 1) + " %" }

func signed(v float64) string { return fmt.Sprintf("%+.1f %%", 100*v) }
