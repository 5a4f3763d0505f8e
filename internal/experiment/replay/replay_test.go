package replay

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/sim"
	"github.com/cloudjit/cloudjit/internal/trace"
	"github.com/cloudjit/cloudjit/internal/ziptest"
)

func generated(t *testing.T, functions, minutes int) trace.Trace {
	t.Helper()
	tr, err := trace.Generate{Functions: functions, Minutes: minutes, StartMinute: 480, Seed: 3}.New()
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func paper(method trace.Method, functions int, cores float64) Scaling {
	return Scaling{Method: method, Functions: functions, Cores: cores, Memory: 1, Busy: 1, Speed: 1, Seed: 1}
}

// TestSecondsAreTheSimulators reads seconds and durations from the log of an engine whose run the
// simulator has counted itself: both must say the same.
func TestSecondsAreTheSimulators(t *testing.T) {
	plan, err := NewPlan(context.Background(), generated(t, 2000, 12), trace.Options{Seed: 1}, paper(trace.ScaleStratified, 150, 20))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := plan.trace(plan.Length)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	var log bytes.Buffer
	w, err := engine.NewLogWriter(&log)
	if err != nil {
		t.Fatal(err)
	}
	o := sim.DefaultOptions()
	o.Policies, o.Sequential, o.Record = []string{"paper"}, true, w.Record
	o.Params.Threshold, o.Params.Window, o.Params.KeepAlive = 0, int64(10*time.Minute), int64(time.Minute)
	o.Model.Builders, o.Model.BuildTimes, o.Model.Stop = 2, []time.Duration{20 * time.Second}, 50*time.Millisecond
	o.Model.Overhead[1], o.Model.FirstOverhead[1] = 2*time.Millisecond, 30*time.Millisecond
	o.Model.Overhead[2], o.Model.FirstOverhead[2] = 2*time.Millisecond, 30*time.Millisecond
	r, err := sim.Run(context.Background(), tr, o)
	if err != nil {
		t.Fatal(err)
	}
	want := &r.Runs[0]
	l, err := engine.NewLogReader(&log)
	if err != nil {
		t.Fatal(err)
	}
	planned := make([][]time.Duration, len(plan.Functions))
	for _, inv := range plan.Invocations {
		planned[inv.Function] = append(planned[inv.Function], inv.Duration)
	}
	got, err := observe(l, time.Unix(0, 0), plan.Length, planned)
	if err != nil {
		t.Fatal(err)
	}
	got.series.ResidentMB, got.series.RunningMB = want.Series.ResidentMB, want.Series.RunningMB // measured elsewhere
	gotSeries, wantSeries := reflect.ValueOf(got.series), reflect.ValueOf(want.Series)
	for i := range gotSeries.NumField() {
		if g, w := gotSeries.Field(i).Interface(), wantSeries.Field(i).Interface(); !reflect.DeepEqual(g, w) {
			t.Errorf("%s: got %v, want %v", gotSeries.Type().Field(i).Name, g, w)
		}
	}
	if got.optimized != want.Summary.Optimized || got.builds != want.Summary.Builds || got.optimized == 0 {
		t.Errorf("got %d functions optimized and %d builds, want %d and %d", got.optimized, got.builds, want.Summary.Optimized, want.Summary.Builds)
	}
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-6 {
			t.Errorf("%s: got %g s, want %g s", what, got, want)
		}
	}
	near("build", got.build.mean(), 20)
	near("stop", got.stop.mean(), 0.05)
	near("findings of the tracer", got.tracing.mean(), 1)
	near("start on HotSpot", math.Exp(got.starts[2].mean()), 1.1)
	near("overhead", got.overhead[2].mean(), 0.002)
	near("overhead of the first", got.first[2].mean(), 0.03)
	near("overhead of native workers", got.overhead[3].mean(), 0)
}

func TestPlanFits(t *testing.T) {
	tr := generated(t, 3000, 10)
	for _, s := range []Scaling{
		paper(trace.ScaleStratified, 40, 0.6), paper(trace.ScaleApps, 40, 0.6), paper(trace.ScaleThin, 0, 0.6), paper(trace.ScaleThin, 100, 0.6),
		{Method: trace.ScaleStratified, Functions: 40, Cores: 0.6, Memory: 0.5, Busy: 0.1, Speed: 5, Seed: 1},
	} {
		p, err := NewPlan(context.Background(), tr, trace.Options{Seed: 1}, s)
		if err != nil {
			t.Errorf("%+v: %v", s, err)
			continue
		}
		limit := s.Cores
		if s.Method == trace.ScaleThin {
			limit *= 2 // met on average only: a few long invocations decide
		}
		if p.OfferedCores > limit || p.OfferedCores <= 0 {
			t.Errorf("%+v: wants %.3f cores, want at most %.3f", s, p.OfferedCores, limit)
		}
		if s.Method == trace.ScaleStratified && p.FunctionCount > s.Functions+1 {
			t.Errorf("%+v: %d functions", s, p.FunctionCount)
		}
		if want := time.Duration(float64(tr.Length()) / s.Speed); p.Length != want {
			t.Errorf("%+v: %v long, want %v", s, p.Length, want)
		}
		if len(p.Steps) == 0 || len(p.Megabytes) != p.FunctionCount {
			t.Errorf("%+v: steps %+v, memory of %d functions", s, p.Steps, len(p.Megabytes))
		}
	}
	for _, s := range []Scaling{{Method: trace.ScaleThin, Speed: 0, Busy: 1, Memory: 1}, {Method: trace.ScaleThin, Speed: 1, Busy: 0, Memory: 1}, paper("best", 10, 1)} {
		if _, err := NewPlan(context.Background(), tr, trace.Options{}, s); err == nil {
			t.Errorf("%+v was accepted", s)
		}
	}
}

// TestMarkedArchivesDiffer and are otherwise what they were.
func TestMarkedArchivesDiffer(t *testing.T) {
	archive := ziptest.Of(t, "work/Work.class", "class")
	one, err := mark(archive, "one")
	if err != nil {
		t.Fatal(err)
	}
	two, err := mark(archive, "two")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(one, two) {
		t.Error("archives of two functions are equal: they would share a binary")
	}
	r, err := zip.NewReader(bytes.NewReader(two), int64(len(two)))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"work/Work.class": "class", "replay/function": "two"} {
		f, err := r.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
	}
}

// TestMemoryIsALine: what workers have follows from what their functions allocate.
func TestMemoryIsALine(t *testing.T) {
	var f fit
	for x := range 5 {
		f.add(float64(10*x), 60+2*float64(10*x))
	}
	if base, slope := f.line(); math.Abs(base-60) > 1e-9 || math.Abs(slope-2) > 1e-9 {
		t.Errorf("got %g + %g x, want 60 + 2 x", base, slope)
	}
	var same fit
	same.add(8, 70)
	same.add(8, 80)
	if base, slope := same.line(); base != 75 || slope != 0 {
		t.Errorf("got %g + %g x, want 75", base, slope)
	}
}
