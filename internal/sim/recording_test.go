package sim

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/engine"
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/trace"
)

// thin is a quarter of an hour of 400 functions, a twentieth of their invocations.
func thin(t *testing.T) trace.Trace {
	t.Helper()
	g, err := trace.Generate{Functions: 400, Minutes: 15, StartMinute: 480, Seed: 2}.New()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := trace.Scale(context.Background(), g, trace.ScaleThin, 0.05, 1)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// recordRun simulates, and reads the engine's log as a live platform's.
func recordRun(t *testing.T, tr trace.Trace, o Options) (Summary, *Recording) {
	t.Helper()
	var log bytes.Buffer
	w, err := engine.NewLogWriter(&log)
	if err != nil {
		t.Fatal(err)
	}
	o.Sequential, o.Record = true, w.Record
	live, err := Run(context.Background(), tr, o)
	if err != nil {
		t.Fatal(err)
	}
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
	l, err := engine.NewLogReader(&log)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := FromLog(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rec.Trace.Close() })
	return live.Runs[0].Summary, rec
}

// TestRecordingPredictsItsOwnColdStarts records an engine's log, reads durations, starts and
// builds from it as from a live platform's, and simulates them: the cold starts are the same.
func TestRecordingPredictsItsOwnColdStarts(t *testing.T) {
	o := DefaultOptions()
	o.Policies = []string{"paper"}
	o.Params.Threshold = 1
	o.Params.KeepAlive = int64(2 * time.Minute)
	o.Model.BuildTimes = []time.Duration{30 * time.Second, time.Minute}
	o.Model.Builders = 1
	s, rec := recordRun(t, thin(t), o)
	if rec.Live.ColdStarts != int(s.ColdStarts) || rec.Live.ColdStartsNative != int(s.ColdStartsNative) || rec.Live.Builds != s.Builds || s.Builds == 0 {
		t.Errorf("the log counts %+v: the run has %d cold starts, %d native, %d builds", rec.Live, s.ColdStarts, s.ColdStartsNative, s.Builds)
	}
	rec.Options.Policies = []string{"paper"}
	again, err := Run(context.Background(), rec.Trace, rec.Options)
	if err != nil {
		t.Fatal(err)
	}
	// Invocations that had not ended with the log are missing: they may have started a worker each.
	got, want := again.Runs[0].Summary, s
	if d := int(want.ColdStarts) - int(got.ColdStarts); d < 0 || d > rec.Live.Skipped {
		t.Errorf("simulated %d cold starts: the run had %d, with %d invocations that had not ended", got.ColdStarts, want.ColdStarts, rec.Live.Skipped)
	}
	if got.ColdStartsNative != want.ColdStartsNative || got.Builds != want.Builds {
		t.Errorf("simulated %d native cold starts and %d builds: the run had %d and %d", got.ColdStartsNative, got.Builds, want.ColdStartsNative, want.Builds)
	}
	if rec.Options.Functions[0].Function.Params != (policy.Params{KeepAlive: int64(2 * time.Minute), Threshold: 1, Window: int64(time.Minute)}) {
		t.Errorf("parameters %+v", rec.Options.Functions[0].Function.Params)
	}
}

// TestRecordingKnowsEveryRung records a run in which all functions were prepared at their deployment: the
// light rung's starts, builds and recorders are measured as well, and the simulation has the same.
func TestRecordingKnowsEveryRung(t *testing.T) {
	tr := thin(t)
	o := DefaultOptions()
	o.Policies = []string{"paper"}
	o.Ladder, _ = NamedLadder("measured")
	o.Params.Threshold = 1
	o.Params.KeepAlive = int64(time.Minute)
	o.Params.Prepare = policy.PrepareDeploy
	o.Model.BuildTimes, o.Model.Builders, o.Model.LightBuilders = nil, 1, 2
	o.Model.RecordEnd = 1700 * time.Millisecond
	o.Functions = make([]FunctionOptions, len(tr.Functions()))
	for i := range o.Functions {
		own := &o.Functions[i]
		own.Function = engine.FunctionConfig{Reserved: -1, Params: o.Params}
		own.Builds = map[function.Rung]ladder.Cost{ladder.AOTCache: {Wall: time.Duration(500+i) * time.Millisecond, DiskMB: float64(i)}}
	}
	want, rec := recordRun(t, tr, o)
	if rec.Options.Model.RecordEnd != o.Model.RecordEnd {
		t.Errorf("recorders end within %v: want %v", rec.Options.Model.RecordEnd, o.Model.RecordEnd)
	}
	own := &rec.Options.Functions[7]
	if b := own.Builds[ladder.AOTCache]; b.Wall != 507*time.Millisecond || b.DiskMB != 7 {
		t.Errorf("the build of function 7 cost %+v: want 507 ms and 7 MB", b)
	}
	if way := (Way{ladder.HotSpot, ladder.RecordingClasses}); len(own.Starts[way]) != 1 {
		t.Errorf("recorders of function 7 started %v: want one", own.Starts[way])
	}
	rec.Options.Policies = []string{"paper"}
	again, err := Run(context.Background(), rec.Trace, rec.Options)
	if err != nil {
		t.Fatal(err)
	}
	got := again.Runs[0].Summary
	for i, w := range want.Rungs {
		g := got.Rungs[i]
		// Invocations that had not ended with the log are missing: they may have started a worker each.
		if d := int(w.ColdStarts) - int(g.ColdStarts); g.Rung != w.Rung || g.Builds != w.Builds || d < 0 || d > rec.Live.Skipped || rec.Live.ColdByRung[w.Rung] != int(w.ColdStarts) {
			t.Errorf("%s: simulated %d cold starts and %d builds: the run had %d, by its log %d, and %d", w.Rung, g.ColdStarts, g.Builds, w.ColdStarts, rec.Live.ColdByRung[w.Rung], w.Builds)
		}
	}
	early, _ := o.Ladder.Find(ladder.SnapshotDeploy)
	if n := len(tr.Functions()); want.Rungs[1].Builds != n || want.Rungs[early].Builds != n || want.Rungs[early].ColdStarts == 0 {
		t.Errorf("the trace tests little: %+v", want.Rungs)
	}
}

// TestRecordingKnowsWhatComputes: the log of a run says which share of their invocations' time functions compute, and a simulation of it
// tells its engine of as much CPU time.
func TestRecordingKnowsWhatComputes(t *testing.T) {
	tr := thin(t)
	o := DefaultOptions()
	o.Policies = []string{"paper"}
	o.Functions = make([]FunctionOptions, len(tr.Functions()))
	for i := range o.Functions {
		o.Functions[i].Function = engine.FunctionConfig{Reserved: -1, Params: o.Params}
		o.Functions[i].Computes = 0.1 * float64(i%8)
	}
	_, rec := recordRun(t, tr, o)
	known := 0
	for i := range rec.Options.Functions {
		want, got := o.Functions[i].Computes, rec.Options.Functions[i].Computes
		if got == 0 { // no worker of it was warm
			continue
		}
		known++
		if math.Abs(got-want) > 0.01 {
			t.Errorf("function %d computes for %.3f of its invocations' time: want %.3f", i, got, want)
		}
	}
	if known == 0 {
		t.Error("nothing is known of any function")
	}
	rec.Options.Policies = []string{"paper"}
	told := int64(0)
	rec.Options.Sequential = true
	rec.Options.Record = func(_ int64, ev engine.Event, _ []engine.Action) { told += ev.CPU }
	if _, err := Run(context.Background(), rec.Trace, rec.Options); err != nil {
		t.Fatal(err)
	}
	if told == 0 {
		t.Error("the engine is told of no CPU time")
	}
}

// TestSpeedCountsForWhatComputes: a rung that is ten times as slow makes an invocation that computes half of the time 5.5 times as long.
func TestSpeedCountsForWhatComputes(t *testing.T) {
	for _, test := range []struct{ computes, want float64 }{{0, 10}, {0.5, 5.5}, {1, 10}, {3, 10}} {
		f := fnState{computes: test.computes}
		if got := f.speed(10); got != test.want {
			t.Errorf("a function that computes for %g of the time takes %g times as long, want %g", test.computes, got, test.want)
		}
	}
}

// TestWhatAFunctionsOwnInvocationsTake: a function's overheads stand for it in the place of the model's.
func TestWhatAFunctionsOwnInvocationsTake(t *testing.T) {
	const ms = time.Millisecond
	var inv []trace.Invocation
	for i := range 10 {
		for f := range int32(2) {
			inv = append(inv, trace.Invocation{Function: f, At: time.Duration(i) * time.Second, Duration: 100 * ms})
		}
	}
	tr, err := trace.NewRecorded([]trace.Function{{Name: "a", MemoryMB: 100}, {Name: "b", MemoryMB: 100}}, inv, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.Policies, o.Model.SandboxMB = []string{"none"}, 0
	way := Way{Rung: o.Ladder.Rungs[0].Name}
	o.Model.Overhead, o.Model.FirstOverhead = map[Way]time.Duration{way: 5 * ms}, map[Way]time.Duration{way: 40 * ms}
	o.Functions = make([]FunctionOptions, 2)
	for i := range o.Functions {
		o.Functions[i].Function = engine.FunctionConfig{Reserved: -1, Params: o.Params}
	}
	o.Functions[1].Overhead = map[Way]time.Duration{way: 20 * ms}
	o.Functions[1].FirstOverhead = map[Way]time.Duration{way: 90 * ms}
	took := map[engine.RevisionID][]time.Duration{}
	began, of := map[engine.InvocationID]int64{}, map[engine.InvocationID]engine.RevisionID{}
	o.Sequential = true
	o.Record = func(now int64, ev engine.Event, actions []engine.Action) {
		switch ev.Kind {
		case engine.EventArrived:
			of[ev.Invocation] = ev.Revision
		case engine.EventFinished:
			r := of[ev.Invocation]
			took[r] = append(took[r], time.Duration(now-began[ev.Invocation]))
		}
		for _, a := range actions {
			if a.Kind == engine.ActionAssign {
				began[a.Invocation] = now
			}
		}
	}
	if _, err := Run(context.Background(), tr, o); err != nil {
		t.Fatal(err)
	}
	for r, want := range map[engine.RevisionID][2]time.Duration{0: {140 * ms, 105 * ms}, 1: {190 * ms, 120 * ms}} {
		first, last := took[r][0], took[r][len(took[r])-1]
		if first != want[0] || last != want[1] {
			t.Errorf("function %d: its first invocation took %v and its last %v: want %v", r, first, last, want)
		}
	}
}

// TestWhatWasPreparedIsCompared once the function has answered: before, there was nothing to ask it.
func TestWhatWasPreparedIsCompared(t *testing.T) {
	tr, err := trace.NewRecorded([]trace.Function{{Name: "asked", MemoryMB: 100}, {Name: "never", MemoryMB: 100}},
		[]trace.Invocation{{At: time.Minute, Duration: time.Second}}, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.Policies, o.Sequential, o.Params.Prepare = []string{"ladder"}, true, policy.PrepareDeploy
	o.Ladder, _ = NamedLadder("measured")
	var compared []string
	o.Record = func(now int64, ev engine.Event, actions []engine.Action) {
		for _, a := range actions {
			if a.Kind == engine.ActionStart && a.Check {
				compared = append(compared, fmt.Sprintf("%d %s", a.Revision, o.Ladder.RungName(a.Rung)))
				if at := time.Duration(now); at < time.Minute+sampleSettle {
					t.Errorf("%s is compared after %v", o.Ladder.RungName(a.Rung), at)
				}
			}
		}
	}
	r, err := Run(context.Background(), tr, o)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(compared)
	if want := []string{"0 aot-cache", "0 snapshot-deploy"}; !slices.Equal(compared, want) || r.Runs[0].Summary.Checks != 2 {
		t.Errorf("compared were %q, and %d checks counted: want %q", compared, r.Runs[0].Summary.Checks, want)
	}
}

// TestWhatTheEngineIsToldOfMemory: of workers that were idle for a moment, and of those that end, what was measured of one that had served as
// much, and of these what was nearest in time; else what workers use.
func TestWhatTheEngineIsToldOfMemory(t *testing.T) {
	var inv []trace.Invocation
	at := func(fn int32, times ...time.Duration) {
		for _, d := range times {
			inv = append(inv, trace.Invocation{Function: fn, At: d, Duration: 500 * time.Millisecond})
		}
	}
	// A second one waits for the first, after which its worker is measured; a third comes too soon after that for it to be measured, and a
	// fourth does not.
	at(0, 0, 2*time.Second, 2550*time.Millisecond, 4*time.Second)
	at(1, 0)
	at(0, 5*time.Minute, 5*time.Minute+2*time.Second)
	tr, err := trace.NewRecorded([]trace.Function{{Name: "told", MemoryMB: 100}, {Name: "not", MemoryMB: 100}}, inv, 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.Policies, o.Sequential, o.Params.KeepAlive = []string{"none"}, true, int64(time.Minute)
	o.Functions = make([]FunctionOptions, 2)
	for i := range o.Functions {
		o.Functions[i].Function = engine.FunctionConfig{Reserved: -1, Params: o.Params}
	}
	o.Functions[0].Told = map[Way][]MeasuredMemory{{Rung: o.Ladder.Rungs[0].Name}: {
		{At: 0, Served: 1, MB: 30}, {At: 0, Served: 7, MB: 80}, {At: 5 * time.Minute, Served: 1, MB: 40}, {At: 5 * time.Minute, Served: 3, MB: 60},
	}}
	of := map[engine.WorkerID]engine.RevisionID{}
	told := map[engine.RevisionID][]float64{}
	o.Record = func(_ int64, ev engine.Event, actions []engine.Action) {
		if ev.Kind == engine.EventWorkerExited || ev.Kind == engine.EventFinished {
			told[of[ev.Worker]] = append(told[of[ev.Worker]], ev.MemoryMB)
		}
		for _, a := range actions {
			if a.Kind == engine.ActionStart {
				of[a.Worker] = a.Revision
			}
		}
	}
	if _, err := Run(context.Background(), tr, o); err != nil {
		t.Fatal(err)
	}
	if want := []float64{0, 30, 0, 60, 80, 0, 40, 60}; !slices.Equal(told[0], want) || !slices.Equal(told[1], []float64{0, 100}) {
		t.Errorf("the engine is told of %v MB, want %v, and 0 and 100", told, want)
	}
}
