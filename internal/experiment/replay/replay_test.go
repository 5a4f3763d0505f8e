package replay

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/experiment"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
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
	tr, err := plan.trace(0, plan.Length)
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
	o.Ladder = ladder.Of(function.KindHandler).Clone()
	o.Params.Threshold, o.Params.Window, o.Params.KeepAlive = 0, int64(10*time.Minute), int64(time.Minute)
	o.Model.Builders, o.Model.BuildTimes, o.Model.Stop = 2, []time.Duration{20 * time.Second}, 50*time.Millisecond
	plain, traced := sim.Way{Rung: ladder.HotSpot}, sim.Way{Rung: ladder.HotSpot, Recording: ladder.RecordingMetadata}
	native := sim.Way{Rung: ladder.Native}
	o.Model.Overhead = map[sim.Way]time.Duration{plain: 2 * time.Millisecond, traced: 2 * time.Millisecond}
	o.Model.FirstOverhead = map[sim.Way]time.Duration{plain: 30 * time.Millisecond, traced: 30 * time.Millisecond}
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
	if got.optimized != want.Summary.Optimized || got.optimized == 0 {
		t.Errorf("got %d functions optimized, want %d", got.optimized, want.Summary.Optimized)
	}
	for _, r := range want.Summary.Rungs {
		if r.Rung == ladder.HotSpot {
			r.Functions = 0 // it has no artifact
		}
		if got.onRung[r.Rung] != r.Functions || got.builds[r.Rung] != r.Builds || got.colds[r.Rung] != int(r.ColdStarts) {
			t.Errorf("%s: got %d functions, %d builds and %d cold starts, want %+v", r.Rung, got.onRung[r.Rung], got.builds[r.Rung], got.colds[r.Rung], r)
		}
	}
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-6 {
			t.Errorf("%s: got %g s, want %g s", what, got, want)
		}
	}
	near("build", got.costs[ladder.Native].mean().Wall.Seconds(), 20)
	near("stop", got.stop.mean(), 0.05)
	near("findings of the tracer", got.tracing.mean(), 1)
	near("start on HotSpot", math.Exp(got.starts[plain].mean()), 1.1)
	near("overhead", got.overhead[plain].mean(), 0.002)
	near("overhead of the first", got.first[plain].mean(), 0.03)
	near("overhead of native workers", got.overhead[native].mean(), 0)
	var colds []time.Duration
	for _, c := range got.waited {
		if c.rung == ladder.HotSpot {
			colds = append(colds, c.took)
		}
	}
	near("cold start on HotSpot", median(colds).Seconds(), 1.13)
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

// observed runs a simulation, and watches it as a live run is watched.
func observed(t *testing.T, tr trace.Trace, o sim.Options, watch *observer) (sim.Series, *observation) {
	t.Helper()
	o.Record = watch.step
	run, err := sim.Run(context.Background(), tr, o)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := watch.finish()
	if err != nil {
		t.Fatal(err)
	}
	return run.Runs[0].Series, seen
}

// TestASimulationIsSimulated takes a simulation for a live run: what is read from its log, simulated again,
// must come near to it, and be reported.
func TestASimulationIsSimulated(t *testing.T) {
	plan, err := NewPlan(context.Background(), generated(t, 2000, 12), trace.Options{Seed: 1}, paper(trace.ScaleStratified, 150, 20))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := plan.trace(0, plan.Length)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	o := Options{Plan: plan, Policy: "paper", Modes: []bool{true, false}, Params: policy.Params{Window: int64(10 * time.Minute), KeepAlive: int64(time.Minute)}}
	r := &Result{Plan: plan, Policy: o.Policy, Params: o.Params}
	for _, optimizer := range o.Modes {
		watch := newObserver(0, plan.Length, plan.durations(plan.Length))
		s := o.model(&Live{Optimizer: optimizer})
		for i := range s.Functions {
			s.Functions[i].Builds = map[function.Rung]ladder.Cost{ladder.Native: {Wall: 20 * time.Second}}
		}
		series, seen := observed(t, tr, s, watch)
		l := &Live{Optimizer: optimizer, Measured: measure(seen, &sampler{}), Series: series, Figures: figures(&series, seen)}
		again, err := o.simulate(context.Background(), l)
		if err != nil {
			t.Fatal(err)
		}
		r.Runs = append(r.Runs, Pair{Live: l, Simulated: again, Errors: compare(&l.Figures, &again.Figures)})
		for what, off := range map[string]float64{
			"cold starts": r.Runs[len(r.Runs)-1].Errors.ColdStarts, "workers": r.Runs[len(r.Runs)-1].Errors.Workers,
			"native functions": r.Runs[len(r.Runs)-1].Errors.Functions[ladder.Native],
		} {
			if math.Abs(off) > 0.05 {
				t.Errorf("optimizer %t, %s: off by %.3f, want 0.05 at most", optimizer, what, off)
			}
		}
	}
	r.finish()
	if s := r.Saved; s.ColdBelowHalf <= 0 || math.Abs(s.ColdBelowHalf-s.ColdBelowHalfSimulated) > 0.05 || math.Abs(s.ColdSeconds-s.ColdSecondsSimulated) > 0.05 {
		t.Errorf("got %+v: want some cold starts below half, and the simulation near it", s)
	}
	dir := t.TempDir()
	if err := Write(dir, r, experiment.Source{Name: "a trace"}); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"functions with native ", "cold start on hotspot, p50, ms", "took less than half"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &text)
		}
	}
}

// TestDeploymentIsSimulated: what is made before the first invocation is made in the simulation, too, at its time, and the engine learns from
// it what starts and builds take.
func TestDeploymentIsSimulated(t *testing.T) {
	const before = 100 * time.Second
	plan, err := NewPlan(context.Background(), generated(t, 500, 10), trace.Options{Seed: 1}, paper(trace.ScaleStratified, 20, 5))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := plan.trace(before, plan.Length)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	o := Options{Plan: plan, Policy: "ladder", Params: policy.Params{Window: int64(10 * time.Minute), KeepAlive: int64(10 * time.Minute), Prepare: policy.PrepareDeploy}}
	s := o.model(&Live{Optimizer: true})
	watch := newObserver(int64(before), plan.Length, plan.durations(plan.Length))
	for i := range s.Functions {
		f := &s.Functions[i]
		f.Ahead, f.Added = false, time.Duration(i)*2*time.Second
		f.Builds = map[function.Rung]ladder.Cost{ladder.AOTCache: {Wall: time.Second, CPU: time.Second}}
		f.Starts = map[sim.Way][]sim.MeasuredStart{
			{Rung: ladder.HotSpot}: {{Took: 200 * time.Millisecond}}, {Rung: ladder.HotSpot, Recording: ladder.RecordingClasses}: {{Took: 200 * time.Millisecond}},
			{Rung: ladder.SnapshotDeploy}: {{Took: 20 * time.Millisecond}, {At: before + plan.Length/2, Took: 40 * time.Millisecond}},
		}
	}
	series, seen := observed(t, tr, s, watch)
	series = series.From(int(before / time.Second))
	l := &Live{Optimizer: true, Measured: measure(seen, &sampler{}), Series: series, Figures: figures(&series, seen)}
	for i := range s.Functions {
		l.Measured.memory = append(l.Measured.memory, s.Functions[i].MemoryMB)
	}
	if n := l.Figures.Rung(ladder.SnapshotDeploy).Functions; n != len(plan.Functions) {
		t.Fatalf("%d functions have an early snapshot, want all %d", n, len(plan.Functions))
	}
	if first := seen.functions[0].Added; first != -before {
		t.Errorf("the first function was added %v before the trace, want %v", -first, before)
	}
	again, err := o.simulate(context.Background(), l)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.Series.Len(), l.Series.Len(); got != want {
		t.Errorf("the simulation has %d seconds, want %d", got, want)
	}
	e := compare(&l.Figures, &again.Figures)
	for what, off := range map[string]float64{"cold starts": e.ColdStarts, "memory": e.Memory, "early snapshots": e.Functions[ladder.SnapshotDeploy], "binaries": e.Functions[ladder.Native]} {
		if math.Abs(off) > 0.02 {
			t.Errorf("%s: off by %.3f, want 0.02 at most", what, off)
		}
	}
	if got := again.Figures.Rung(ladder.SnapshotDeploy).ColdP50; got < 20 || got > 60 {
		t.Errorf("copies start in %.0f ms by the median: want what was measured", got)
	}
}

// TestColdStartsBelowHalf compares each with those of its own function.
func TestColdStartsBelowHalf(t *testing.T) {
	of := func(fn int, took ...time.Duration) (colds []coldStart) {
		for _, d := range took {
			colds = append(colds, coldStart{fn: fn, took: d * time.Millisecond})
		}
		return colds
	}
	others := slices.Concat(of(0, 100, 300, 200), of(1, 1000))
	for _, c := range []struct {
		colds []coldStart
		want  float64
	}{
		{nil, 0},
		{of(0, 99, 100, 101), 1. / 3},
		{slices.Concat(of(0, 250), of(1, 250)), 0.5},
		{slices.Concat(of(2, 1), of(1, 1)), 1}, // of function 2 nothing is known
	} {
		if got := belowHalf(c.colds, others); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: got %g, want %g", c.colds, got, c.want)
		}
	}
}

// TestWhatWasNotMeasuredFollowsFromTheLadder, and from workers that recorded, if there were no others.
func TestWhatWasNotMeasuredFollowsFromTheLadder(t *testing.T) {
	recording := sim.Way{Rung: ladder.HotSpot, Recording: ladder.RecordingClasses}
	x := Measured{Ways: []WayMeasured{
		{Rung: recording.Rung, Recording: recording.Recording, Start: 1030, Starts: 1, FirstOverhead: 40, First: 1},
		{Rung: ladder.AOTCache, Start: 300, Starts: 2},
	}}
	m := sim.DefaultOptions().Model
	x.times(&m)
	for way, want := range map[sim.Way]time.Duration{
		recording: 1030 * time.Millisecond, {Rung: ladder.HotSpot}: time.Second, {Rung: ladder.AOTCache}: 300 * time.Millisecond,
		{Rung: ladder.Native}: 32 * time.Millisecond,
	} {
		if got := m.Starts[way]; (got - want).Abs() > time.Millisecond {
			t.Errorf("%+v: a start of %v, want %v", way, got, want)
		}
	}
	if m.FirstExtra != 40*time.Millisecond {
		t.Errorf("first invocations take %v longer, want 40 ms", m.FirstExtra)
	}
}

// TestDeployedBefore: a simulation that begins when the first function is deployed has all that was measured as much later.
func TestDeployedBefore(t *testing.T) {
	way := sim.Way{Rung: "hotspot"}
	at := func(seconds time.Duration) sim.FunctionOptions {
		return sim.FunctionOptions{
			Added:  (seconds - 3) * time.Second,
			Starts: map[sim.Way][]sim.MeasuredStart{way: {{At: seconds * time.Second, Took: 7}}},
			Told:   map[sim.Way][]sim.MeasuredMemory{way: {{At: seconds * time.Second, MB: 9}}},
		}
	}
	measured := at(1)
	functions := []sim.FunctionOptions{measured}
	if before := deployed(functions); before != 2*time.Second {
		t.Errorf("the trace begins %v after the simulation, want 2s", before)
	}
	if want := at(3); !reflect.DeepEqual(functions[0], want) {
		t.Errorf("got %+v\nwant %+v", functions[0], want)
	}
	if !reflect.DeepEqual(measured, at(1)) {
		t.Errorf("what was measured has changed: %+v", measured)
	}
}
