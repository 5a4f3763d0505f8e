package experiment

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/cloudjit/cloudjit/internal/sim"
	"github.com/cloudjit/cloudjit/internal/trace"
)

func small(t testing.TB) (trace.Trace, sim.Options) {
	t.Helper()
	g, err := trace.Generate{Functions: 120, Minutes: 3, StartMinute: 480, Seed: 1}.New()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := trace.Scale(context.Background(), g, trace.ScaleThin, 0.02, 1)
	if err != nil {
		t.Fatal(err)
	}
	o := sim.DefaultOptions()
	o.Policies = []string{"none", "paper", "adaptive"}
	o.Params.Threshold = 0
	o.Params.KeepAlive = int64(10 * time.Second)
	o.Model.BuildTimes = []time.Duration{10 * time.Second}
	return tr, o
}

func TestWriteSimulationLeavesEverythingInTheFolder(t *testing.T) {
	tr, o := small(t)
	r, err := sim.Run(context.Background(), tr, o)
	if err != nil {
		t.Fatal(err)
	}
	r.Problems = []trace.Problem{{Kind: trace.MalformedRow, Count: 2, Policy: "left out", Examples: []trace.Place{{File: "<b>.csv", Line: 7, What: "x"}}}}
	dir := filepath.Join(t.TempDir(), "out")
	if err := WriteSimulation(dir, r, Source{Name: "small", Kind: "generated", Command: "cloudjit simulate"}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Fig. 4.a", "Fig. 4.b", "Fig. 4.c", "&lt;b&gt;.csv:7", "functions with a binary", "<svg", "keep-alive; threshold; window", "Ladder paper", "starts ahead"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, never := range []string{"<script", "http://www.", "src="} {
		if bytes.Contains(bytes.ReplaceAll(page, []byte("http://www.w3.org"), nil), []byte(never)) {
			t.Errorf("the report has %q: it must load nothing", never)
		}
	}
	for _, name := range []string{"4a-running", "4b-memory", "4c-cold", "resident", "builds", "rungs", "artifacts"} {
		svg, err := os.ReadFile(filepath.Join(dir, "figure-"+name+".svg"))
		if err != nil {
			t.Error(err)
			continue
		}
		d := xml.NewDecoder(bytes.NewReader(svg))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Errorf("figure %s: %v", name, err)
				break
			}
		}
	}
	f, err := os.Open(filepath.Join(dir, "series-paper.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 1+180 {
		t.Errorf("%d rows, %v: want a head and 180 seconds", len(rows), err)
	}
	series, err := parquet.ReadFile[SeriesRow](filepath.Join(dir, "series.parquet"))
	if err != nil || len(series) != 3*180 {
		t.Errorf("%d rows of Parquet, %v: want 540", len(series), err)
	}
	var back struct {
		Runs []struct {
			Policy  string
			Summary map[string]any
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &back); err != nil || len(back.Runs) != 3 || back.Runs[1].Summary["coldStarts"] == nil {
		t.Errorf("result.json: %v, %+v", err, back)
	}
}

func TestSweepHasACellForEachPair(t *testing.T) {
	tr, o := small(t)
	o.Policies = []string{"none", "paper"}
	axes := []Axis{
		{Parameter: "threshold", Names: []string{"0", "100"}, Values: []func(*sim.Options){
			func(o *sim.Options) { o.Params.Threshold = 0 }, func(o *sim.Options) { o.Params.Threshold = 100 },
		}},
		{Parameter: "window", Names: []string{"1s", "1m", "3m"}, Values: []func(*sim.Options){
			func(o *sim.Options) { o.Params.Window = int64(time.Second) },
			func(o *sim.Options) { o.Params.Window = int64(time.Minute) },
			func(o *sim.Options) { o.Params.Window = int64(3 * time.Minute) },
		}},
	}
	done := 0
	s, err := RunSweep(context.Background(), tr, o, axes, "builds", func() { done++ })
	if err != nil {
		t.Fatal(err)
	}
	if done != 6 || len(s.Cells) != 2 || len(s.Cells[0]) != 3 {
		t.Fatalf("%d simulated, cells %v: want 6 in 2 rows", done, s.Cells)
	}
	if s.Cells[0][0] == 0 || s.Cells[1][2] != 0 {
		t.Errorf("builds %v: want some at a threshold of 0 and none at 100", s.Cells)
	}
	dir := t.TempDir()
	if err := WriteSweep(dir, s, Source{Name: "small"}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "sweep.html"))
	if err != nil || strings.Count(string(page), "<rect") != 7 {
		t.Errorf("%v: want a rectangle for each cell and one behind them in the page", err)
	}
	if _, err := RunSweep(context.Background(), tr, o, axes, "beauty", func() {}); err == nil {
		t.Error("an unknown value was taken")
	}
}
