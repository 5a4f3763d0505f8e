// Package experiment runs measurements and simulations and writes what they say: tables,
// plots, series and a report. It knows the results of internal/sim, and decides nothing.
package experiment

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/parquet-go/parquet-go"

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
	Policy             string    `parquet:"policy,dict"`
	Second             int32     `parquet:"second,delta"`
	ActiveOptimized    int32     `parquet:"active_functions_optimized"`
	ActiveOther        int32     `parquet:"active_functions_other"`
	RunningOptimized   int32     `parquet:"running_functions_optimized"`
	RunningOther       int32     `parquet:"running_functions_other"`
	Invocations        int32     `parquet:"running_invocations"`
	Resident           int32     `parquet:"resident_workers"`
	ResidentNative     int32     `parquet:"resident_workers_native"`
	RunningMB          float64   `parquet:"running_mb"`
	ResidentMB         float64   `parquet:"resident_mb"`
	ColdOptimized      int32     `parquet:"cold_starts_optimized"`
	ColdOther          int32     `parquet:"cold_starts_other"`
	Builds             int32     `parquet:"builds_running"`
	BuildsQueued       int32     `parquet:"builds_queued"`
	OptimizedFunctions int32     `parquet:"optimized_functions"`
	ArtifactMB         float64   `parquet:"artifact_mb"`
	Rungs              []RungRow `parquet:"rungs,list"`
}

// RungRow is what a second has of one rung.
type RungRow struct {
	Rung       string `parquet:"rung,dict"`
	Resident   int32  `parquet:"resident_workers"`
	ColdStarts int32  `parquet:"cold_starts"`
}

func seriesRow(run *sim.Outcome, i int) SeriesRow {
	s := &run.Series
	row := SeriesRow{
		run.Policy, int32(i), s.ActiveOptimized[i], s.ActiveOther[i], s.RunningOptimized[i], s.RunningOther[i], s.Invocations[i],
		s.Resident[i], s.ResidentNative[i], s.RunningMB[i], s.ResidentMB[i], s.ColdOptimized[i], s.ColdOther[i], s.Builds[i],
		s.BuildsQueued[i], s.OptimizedFunctions[i], 0, nil,
	}
	if len(s.ArtifactMB) > i { // a live run's series has none
		row.ArtifactMB = s.ArtifactMB[i]
	}
	for j := range s.Rungs {
		x := &s.Rungs[j]
		row.Rungs = append(row.Rungs, RungRow{string(x.Rung), x.Resident[i], x.Cold[i]})
	}
	return row
}

// WriteSeries writes a run's seconds as CSV.
func WriteSeries(w io.Writer, run *sim.Outcome) error {
	out := csv.NewWriter(w)
	head := []string{
		"second", "active_functions_optimized", "active_functions_other", "running_functions_optimized", "running_functions_other",
		"running_invocations", "resident_workers", "resident_workers_native", "running_mb", "resident_mb", "cold_starts_optimized",
		"cold_starts_other", "builds_running", "builds_queued", "optimized_functions", "artifact_mb",
	}
	for i := range run.Series.Rungs {
		name := string(run.Series.Rungs[i].Rung)
		head = append(head, "resident_workers:"+name, "cold_starts:"+name)
	}
	out.Write(head)
	whole := func(v int32) string { return strconv.Itoa(int(v)) }
	for i := range run.Series.Len() {
		r := seriesRow(run, i)
		cells := []string{
			whole(r.Second), whole(r.ActiveOptimized), whole(r.ActiveOther), whole(r.RunningOptimized), whole(r.RunningOther),
			whole(r.Invocations), whole(r.Resident), whole(r.ResidentNative), decimals(r.RunningMB, 3), decimals(r.ResidentMB, 3),
			whole(r.ColdOptimized), whole(r.ColdOther), whole(r.Builds), whole(r.BuildsQueued), whole(r.OptimizedFunctions),
			decimals(r.ArtifactMB, 3),
		}
		for _, x := range r.Rungs {
			cells = append(cells, whole(x.Resident), whole(x.ColdStarts))
		}
		out.Write(cells)
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
