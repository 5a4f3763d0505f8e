// Package experiment runs measurements and simulations and writes what they say: tables,
// plots, series and a report. It knows the results of internal/sim, and decides nothing.
package experiment

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/cloudjit/cloudjit/internal/experiment/report"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/sim"
)

// Source says where a simulated trace came from, for the report.
type Source struct {
	// Name is the paths or the generator's parameters.
	Name string
	// Kind is "recorded", "counts per minute" or "generated".
	Kind string
	// Command reproduces the report.
	Command string
}

// WriteSimulation writes a folder: report.html, figure-*.svg, series-POLICY.csv,
// series.parquet, result.json.
func WriteSimulation(dir string, r *sim.Result, src Source) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	page, figures, err := simulationPage(r, src)
	if err != nil {
		return err
	}
	for name, svg := range figures {
		if err := os.WriteFile(filepath.Join(dir, "figure-"+name+".svg"), svg, 0o644); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	if err := write(filepath.Join(dir, "report.html"), page.WriteHTML); err != nil {
		return err
	}
	if err := write(filepath.Join(dir, "result.json"), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}); err != nil {
		return err
	}
	for i := range r.Runs {
		run := &r.Runs[i]
		if err := write(filepath.Join(dir, "series-"+run.Policy+".csv"), func(w io.Writer) error { return WriteSeries(w, run) }); err != nil {
			return err
		}
	}
	return write(filepath.Join(dir, "series.parquet"), func(w io.Writer) error { return writeParquet(w, r) })
}

func write(path string, f func(io.Writer) error) error {
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	b := bufio.NewWriter(out)
	if err := f(b); err != nil {
		out.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := b.Flush(); err != nil {
		out.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return out.Close()
}

// SeriesRow is a second of a policy's run, as series.parquet has it.
type SeriesRow struct {
	Policy             string  `parquet:"policy,dict"`
	Second             int32   `parquet:"second,delta"`
	ActiveOptimized    int32   `parquet:"active_functions_optimized"`
	ActiveOther        int32   `parquet:"active_functions_other"`
	RunningOptimized   int32   `parquet:"running_functions_optimized"`
	RunningOther       int32   `parquet:"running_functions_other"`
	Invocations        int32   `parquet:"running_invocations"`
	Resident           int32   `parquet:"resident_workers"`
	ResidentNative     int32   `parquet:"resident_workers_native"`
	RunningMB          float64 `parquet:"running_mb"`
	ResidentMB         float64 `parquet:"resident_mb"`
	ColdOptimized      int32   `parquet:"cold_starts_optimized"`
	ColdOther          int32   `parquet:"cold_starts_other"`
	Builds             int32   `parquet:"builds_running"`
	BuildsQueued       int32   `parquet:"builds_queued"`
	OptimizedFunctions int32   `parquet:"optimized_functions"`
}

func seriesRow(run *sim.Outcome, i int) SeriesRow {
	s := &run.Series
	return SeriesRow{
		run.Policy, int32(i), s.ActiveOptimized[i], s.ActiveOther[i], s.RunningOptimized[i], s.RunningOther[i], s.Invocations[i],
		s.Resident[i], s.ResidentNative[i], s.RunningMB[i], s.ResidentMB[i], s.ColdOptimized[i], s.ColdOther[i], s.Builds[i],
		s.BuildsQueued[i], s.OptimizedFunctions[i],
	}
}

// WriteSeries writes a run's seconds as CSV.
func WriteSeries(w io.Writer, run *sim.Outcome) error {
	out := csv.NewWriter(w)
	out.Write([]string{
		"second", "active_functions_optimized", "active_functions_other", "running_functions_optimized", "running_functions_other",
		"running_invocations", "resident_workers", "resident_workers_native", "running_mb", "resident_mb", "cold_starts_optimized",
		"cold_starts_other", "builds_running", "builds_queued", "optimized_functions",
	})
	whole := func(v int32) string { return strconv.Itoa(int(v)) }
	for i := range run.Series.Len() {
		r := seriesRow(run, i)
		out.Write([]string{
			whole(r.Second), whole(r.ActiveOptimized), whole(r.ActiveOther), whole(r.RunningOptimized), whole(r.RunningOther),
			whole(r.Invocations), whole(r.Resident), whole(r.ResidentNative), decimals(r.RunningMB, 3), decimals(r.ResidentMB, 3),
			whole(r.ColdOptimized), whole(r.ColdOther), whole(r.Builds), whole(r.BuildsQueued), whole(r.OptimizedFunctions),
		})
	}
	out.Flush()
	return out.Error()
}

func writeParquet(w io.Writer, r *sim.Result) error {
	out := parquet.NewGenericWriter[SeriesRow](w, parquet.Compression(&parquet.Snappy))
	for i := range r.Runs {
		rows := make([]SeriesRow, r.Runs[i].Series.Len())
		for s := range rows {
			rows[s] = seriesRow(&r.Runs[i], s)
		}
		if _, err := out.Write(rows); err != nil {
			return err
		}
	}
	return out.Close()
}

// shown is the run that the three plots of Fig. 4 are drawn of: the paper's policy if it was
// simulated, else the last.
func shown(r *sim.Result) *sim.Outcome {
	if run := r.Find("paper"); run != nil {
		return run
	}
	return &r.Runs[len(r.Runs)-1]
}

func simulationPage(r *sim.Result, src Source) (*report.Page, map[string][]byte, error) {
	run, base := shown(r), &r.Runs[0]
	s := &run.Series
	minutes := 1.0 / 60
	scale := func(v []float64, by float64) []float64 {
		out := make([]float64, len(v))
		for i := range v {
			out[i] = v[i] * by
		}
		return out
	}
	plots := []struct {
		name, caption string
		plot          report.Plot
	}{
		{"4a-running", "Functions that ran an invocation in each second, by whether they were optimized (Fig. 4.a).", report.Plot{
			Title: "Running functions, policy " + run.Policy, Y: "functions", Lines: []report.Line{
				{Name: "optimized", Values: report.Floats(s.ActiveOptimized)},
				{Name: "not optimized", Values: report.Floats(s.ActiveOther)},
			}}},
		{"4b-memory", "Memory of the workers that run an invocation, at the end of each second (Fig. 4.b).", report.Plot{
			Title: "Memory of running functions", Y: "GB", Lines: []report.Line{
				{Name: "with optimization (" + run.Policy + ")", Values: scale(s.RunningMB, 1e-3)},
				{Name: "without (" + base.Policy + ")", Values: scale(base.Series.RunningMB, 1e-3), Dashed: true},
			}}},
		{"4c-cold", "Cold starts in each second, of native workers and of others (Fig. 4.c); logarithmic, seconds without one left out.", report.Plot{
			Title: "Cold starts, policy " + run.Policy, Y: "cold starts a second", Log: true, Lines: []report.Line{
				{Name: "optimized", Values: report.Floats(s.ColdOptimized)},
				{Name: "not optimized", Values: report.Floats(s.ColdOther)},
			}}},
	}
	resident := report.Plot{Title: "Memory of all resident workers, by policy", Y: "GB"}
	builds := report.Plot{Title: "Builds that run, by policy", Y: "builds"}
	for i := range r.Runs {
		x := &r.Runs[i]
		resident.Lines = append(resident.Lines, report.Line{Name: x.Policy, Values: scale(x.Series.ResidentMB, 1e-3), Dashed: i == 0})
		if x.Summary.Builds > 0 {
			builds.Lines = append(builds.Lines, report.Line{Name: x.Policy, Values: report.Floats(x.Series.Builds)})
		}
	}
	plots = append(plots, struct {
		name, caption string
		plot          report.Plot
	}{"resident", "Memory of all workers that are there: starting, busy, idle and stopping.", resident})
	if len(builds.Lines) > 0 {
		plots = append(plots, struct {
			name, caption string
			plot          report.Plot
		}{"builds", "Builds that run at the end of each second.", builds})
	}
	if r.Live != nil {
		plots = append(plots, struct {
			name, caption string
			plot          report.Plot
		}{"live-cold", "Cold starts so far: those that the live platform had while it was recorded, and the simulation of the recording.", report.Plot{
			Title: "Cold starts, live and simulated", Y: "cold starts so far", Lines: []report.Line{
				{Name: "live", Values: soFar(r.Live.ColdBySecond, s.Len())},
				{Name: "simulated (" + run.Policy + ")", Values: soFar(both(s.ColdOptimized, s.ColdOther), s.Len()), Dashed: true},
			}}})
	}
	figures := map[string][]byte{}
	var first, second []report.Figure
	for i := range plots {
		p := &plots[i]
		p.plot.X, p.plot.Step = "minutes", minutes
		svg, err := p.plot.SVG()
		if err != nil {
			return nil, nil, err
		}
		figures[p.name] = svg
		if f := (report.Figure{SVG: svg, Caption: p.caption}); i < 3 {
			first = append(first, f)
		} else {
			second = append(second, f)
		}
	}
	page := &report.Page{
		Title: "CloudJIT simulation",
		Lead: fmt.Sprintf("%s: %s invocations of %s functions (%s invoked) in %v, %s. Every second is simulated by the engine of the live platform.",
			src.Name, grouped(r.Invocations), grouped(uint64(r.Functions)), grouped(uint64(base.Summary.Invoked)), r.Length, src.Kind),
		Sections: []report.Section{
			{Heading: "What the optimizer does (the paper's Figure 4)", Figures: first},
			{Heading: "Policies side by side", Figures: second, Tables: []report.Table{SummaryTable(r)}},
			{Heading: "Assumptions", Tables: []report.Table{assumptions(r, src)}},
		},
	}
	if len(r.Problems) > 0 {
		t := report.Table{Caption: "What was wrong in the trace's files, and what became of it", Head: []string{"problem", "count", "policy", "first places"}}
		for _, p := range r.Problems {
			places := ""
			for i, e := range p.Examples {
				if i == 3 {
					break
				}
				if i > 0 {
					places += "; "
				}
				places += e.String()
			}
			t.Rows = append(t.Rows, []string{string(p.Kind), strconv.Itoa(p.Count), p.Policy, places})
		}
		page.Sections = append(page.Sections, report.Section{Heading: "Problems of the trace", Tables: []report.Table{t}})
	}
	return page, figures, nil
}

// soFar are the running sums of what is counted by second; the last one goes on.
func soFar(counts []int32, seconds int) []float64 {
	out := make([]float64, seconds)
	sum := 0.0
	for i := range out {
		if i < len(counts) {
			sum += float64(counts[i])
		}
		out[i] = sum
	}
	return out
}

func both(a, b []int32) []int32 {
	out := make([]int32, len(a))
	for i := range out {
		out[i] = a[i] + b[i]
	}
	return out
}

// SummaryTable has a column for each policy.
func SummaryTable(r *sim.Result) report.Table {
	t := report.Table{Head: []string{"over the whole trace"}}
	for i := range r.Runs {
		t.Head = append(t.Head, r.Runs[i].Policy)
	}
	row := func(name string, f func(*sim.Summary) string) {
		cells := []string{name}
		for i := range r.Runs {
			cells = append(cells, f(&r.Runs[i].Summary))
		}
		t.Rows = append(t.Rows, cells)
	}
	share := func(v float64) string { return decimals(100*v, 1) + " %" }
	gb := func(mb float64) string { return decimals(mb/1000, 1) }
	row("functions optimized", func(s *sim.Summary) string { return grouped(uint64(s.Optimized)) })
	row("share of invoked functions", func(s *sim.Summary) string { return share(s.OptimizedShare) })
	row("share of invocations they get", func(s *sim.Summary) string { return share(s.OptimizedInvocations) })
	row("cold starts", func(s *sim.Summary) string { return grouped(s.ColdStarts) })
	row("of them on native workers", func(s *sim.Summary) string { return share(s.NativeColdShare) })
	row("the same, last third of the trace", func(s *sim.Summary) string { return share(s.SteadyNativeColdShare) })
	row("waited for workers, s in all", func(s *sim.Summary) string { return grouped(uint64(s.WaitedSeconds)) })
	row("memory of running workers, GB", func(s *sim.Summary) string { return gb(s.RunningMB) })
	row("saved", func(s *sim.Summary) string { return share(s.SavedRunning) })
	row("saved, last third", func(s *sim.Summary) string { return share(s.SteadySavedRunning) })
	row("saved, sandboxes included", func(s *sim.Summary) string { return share(s.SavedRunningSandbox) })
	row("memory of resident workers, GB", func(s *sim.Summary) string { return gb(s.ResidentMB) })
	row("saved", func(s *sim.Summary) string { return share(s.SavedResident) })
	row("saved, last third", func(s *sim.Summary) string { return share(s.SteadySavedResident) })
	row("saved, sandboxes included", func(s *sim.Summary) string { return share(s.SavedResidentSandbox) })
	row("resident workers, mean", func(s *sim.Summary) string { return grouped(uint64(s.MeanResident)) })
	row("builds", func(s *sim.Summary) string { return grouped(uint64(s.Builds)) })
	row("most builds at once", func(s *sim.Summary) string { return grouped(uint64(s.PeakBuilds)) })
	row("build CPU, core h", func(s *sim.Summary) string { return decimals(s.BuildCPUSeconds/3600, 1) })
	row("builders' memory over time, GB h", func(s *sim.Summary) string { return decimals(s.BuildGBSeconds/3600, 1) })
	row("workers' memory over time saved, GB h", func(s *sim.Summary) string { return decimals(s.SavedGBSeconds/3600, 1) })
	row("deoptimizations", func(s *sim.Summary) string { return grouped(s.Deoptimizations) })
	for _, q := range []struct {
		name string
		of   func(*sim.Summary) time.Duration
	}{
		{"response p50", func(s *sim.Summary) time.Duration { return s.Response.P50 }},
		{"response p99", func(s *sim.Summary) time.Duration { return s.Response.P99 }},
		{"response p99.9", func(s *sim.Summary) time.Duration { return s.Response.P999 }},
		{"wait for a worker, mean of those that wait", func(s *sim.Summary) time.Duration { return s.Wait.Mean }},
		{"wait p50", func(s *sim.Summary) time.Duration { return s.Wait.P50 }},
		{"wait p99", func(s *sim.Summary) time.Duration { return s.Wait.P99 }},
	} {
		row(q.name+", ms", func(s *sim.Summary) string { return decimals(float64(q.of(s))/1e6, 1) })
	}
	return t
}

func assumptions(r *sim.Result, src Source) report.Table {
	o, m := &r.Options, &r.Options.Model
	t := report.Table{Head: []string{"what", "value"}}
	add := func(what, format string, args ...any) {
		t.Rows = append(t.Rows, []string{what, fmt.Sprintf(format, args...)})
	}
	add("trace", "%s (%s)", src.Name, src.Kind)
	add("invocations inside a minute", "%s, seed %d", o.Trace.Placement, o.Trace.Seed)
	add("keep-alive; threshold; window", "%v; more than %d cold starts; %v", time.Duration(o.Params.KeepAlive), o.Params.Threshold, time.Duration(o.Params.Window))
	add("start of a worker", "hotspot-agent %v, hotspot %v, native %v; spread (sigma) %g",
		m.ColdStart[function.TierHotSpotAgent], m.ColdStart[function.TierHotSpot], m.ColdStart[function.TierNative], m.ColdSpread)
	add("slowdown of invocations", "hotspot-agent %g, hotspot %g, native %g", m.Slowdown[function.TierHotSpotAgent], m.Slowdown[function.TierHotSpot], m.Slowdown[function.TierNative])
	add("native memory over HotSpot's", "%g", m.NativeMemory)
	add("a sandbox's own memory, where included", "%g MB", m.SandboxMB)
	add("builds", "%v each; %g MB, %g cores; builders at once: %s", m.BuildTimes, m.BuildMB, m.BuildCPUs, limit(m.Builders))
	add("tracing worker", "at most %d invocations, findings after %v", m.TraceLimit, m.TraceDelay)
	add("deoptimization", "probability %g for each native invocation", m.Deoptimize)
	add("memory of the cluster", "%s", limit(int(math.Round(m.MemoryMB))))
	if src.Command != "" {
		add("command", "%s", src.Command)
	}
	return t
}

func limit(n int) string {
	if n == 0 {
		return "no limit"
	}
	return strconv.Itoa(n)
}

func decimals(v float64, n int) string {
	if v == 0 {
		v = 0 // no -0.0
	}
	return strconv.FormatFloat(v, 'f', n, 64)
}

// grouped writes a whole number with thin spaces between thousands.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}
