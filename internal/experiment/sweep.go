package experiment

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cloudjit/cloudjit/internal/experiment/report"
	"github.com/cloudjit/cloudjit/internal/sim"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// Axis is a parameter and the values that a sweep gives it.
type Axis struct {
	Parameter string               `json:"parameter"`
	Names     []string             `json:"values"`
	Values    []func(*sim.Options) `json:"-"`
}

// Sweep is a value of the second policy's summary over one or two parameters.
type Sweep struct {
	Policy string `json:"policy"`
	Value  string `json:"value"`
	// Rows is the first axis, Columns the second, with one place if there is none.
	Rows    Axis `json:"rows"`
	Columns Axis `json:"columns"`
	// Cells by row and column.
	Cells     [][]float64     `json:"cells"`
	Summaries [][]sim.Summary `json:"summaries"`
}

// values are what a sweep can show; shares are in percent.
var values = map[string]struct {
	of     func(*sim.Summary) float64
	format string
}{
	"saved-running":  {func(s *sim.Summary) float64 { return 100 * s.SavedRunning }, "%.1f %%"},
	"saved-resident": {func(s *sim.Summary) float64 { return 100 * s.SavedResident }, "%.1f %%"},
	"optimized":      {func(s *sim.Summary) float64 { return float64(s.Optimized) }, "%.0f"},
	"native-cold":    {func(s *sim.Summary) float64 { return 100 * s.NativeColdShare }, "%.1f %%"},
	"cold":           {func(s *sim.Summary) float64 { return float64(s.ColdStarts) }, "%.0f"},
	"builds":         {func(s *sim.Summary) float64 { return float64(s.Builds) }, "%.0f"},
	"waited":         {func(s *sim.Summary) float64 { return s.WaitedSeconds }, "%.0f s"},
	"build-cpu":      {func(s *sim.Summary) float64 { return s.BuildCPUSeconds / 3600 }, "%.1f core h"},
	"disk":           {func(s *sim.Summary) float64 { return s.PeakArtifactMB / 1000 }, "%.1f GB"},
}

// RunSweep simulates the options' two policies for each pair of values; done is called after each.
func RunSweep(ctx context.Context, t trace.Trace, o sim.Options, axes []Axis, value string, done func()) (*Sweep, error) {
	v, ok := values[value]
	if !ok {
		return nil, fmt.Errorf("sweep: unknown value %q: want saved-running, saved-resident, optimized, native-cold, cold, builds, waited, build-cpu or disk", value)
	}
	s := &Sweep{Policy: o.Policies[1], Value: value, Rows: axes[0]}
	s.Columns = Axis{Names: []string{""}, Values: []func(*sim.Options){func(*sim.Options) {}}}
	if len(axes) > 1 {
		s.Columns = axes[1]
	}
	for _, row := range s.Rows.Values {
		var cells []float64
		var summaries []sim.Summary
		for _, column := range s.Columns.Values {
			changed := o
			row(&changed)
			column(&changed)
			r, err := sim.Run(ctx, t, changed)
			if err != nil {
				return nil, err
			}
			summary := r.Runs[1].Summary
			cells, summaries = append(cells, v.of(&summary)), append(summaries, summary)
			done()
		}
		s.Cells, s.Summaries = append(s.Cells, cells), append(s.Summaries, summaries)
	}
	return s, nil
}

func (s *Sweep) format(v float64) string { return fmt.Sprintf(values[s.Value].format, v) }

// Table is the map for a terminal.
func (s *Sweep) Table() report.Table {
	t := report.Table{Head: append([]string{s.Rows.Parameter + " \\ " + s.Columns.Parameter}, s.Columns.Names...)}
	for i, name := range s.Rows.Names {
		row := []string{name}
		for _, v := range s.Cells[i] {
			row = append(row, s.format(v))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// WriteSweep writes sweep.html and sweep.svg.
func WriteSweep(dir string, s *Sweep, src Source) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	h := report.Heatmap{
		Title: s.Value + " of policy " + s.Policy, X: s.Columns.Parameter, Y: s.Rows.Parameter,
		Columns: s.Columns.Names, Rows: s.Rows.Names, Values: s.Cells, Format: s.format,
	}
	svg := h.SVG()
	if err := os.WriteFile(filepath.Join(dir, "sweep.svg"), svg, 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	page := report.Page{
		Title: "CloudJIT simulation: sweep", Lead: fmt.Sprintf("%s (%s)", src.Name, src.Kind),
		Sections: []report.Section{{Heading: h.Title, Text: []string{src.Command}, Figures: []report.Figure{{SVG: svg}}, Tables: []report.Table{s.Table()}}},
	}
	return write(filepath.Join(dir, "sweep.html"), page.WriteHTML)
}
