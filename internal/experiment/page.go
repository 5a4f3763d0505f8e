package experiment

import (
	"fmt"
	"strconv"

	"github.com/cloudjit/cloudjit/internal/experiment/report"
	"github.com/cloudjit/cloudjit/internal/sim"
)

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
	last := &r.Runs[len(r.Runs)-1]
	rungs := report.Plot{Title: "Resident workers by rung, policy " + last.Policy, Y: "workers"}
	for i := range last.Series.Rungs {
		x := &last.Series.Rungs[i]
		rungs.Lines = append(rungs.Lines, report.Line{Name: string(x.Rung), Values: report.Floats(x.Resident)})
	}
	if len(rungs.Lines) > 1 {
		plots = append(plots, struct {
			name, caption string
			plot          report.Plot
		}{"rungs", "Workers that are there, by the rung that they run on.", rungs})
	}
	disk := report.Plot{Title: "Disk of all artifacts, by policy", Y: "GB"}
	for i := range r.Runs {
		if x := &r.Runs[i]; x.Summary.PeakArtifactMB > 0 {
			disk.Lines = append(disk.Lines, report.Line{Name: x.Policy, Values: scale(x.Series.ArtifactMB, 1e-3)})
		}
	}
	if len(disk.Lines) > 0 {
		plots = append(plots, struct {
			name, caption string
			plot          report.Plot
		}{"artifacts", "Disk of the artifacts that serve, at the end of each second.", disk})
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
			{Heading: "Policies side by side", Figures: second, Tables: []report.Table{SummaryTable(r), RungTable(r)}},
			{Heading: "Assumptions", Tables: []report.Table{assumptions(r, src), ladderTable(r.Options.Ladder)}},
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
