package engine

import (
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/policy"
)

// warmed is an engine with n functions of one revision, each with one warm worker.
func warmed(tb testing.TB, n int, config NodeConfig) *Engine {
	e := New(config, &policy.Paper{})
	var acts []Action
	step := func(ev Event) {
		acts = e.Step(0, ev, acts[:0])
		for _, a := range acts {
			if a.Kind == ActionIllegal || a.Kind == ActionReject {
				tb.Fatalf("%v: %+v", ev.Kind, a)
			}
		}
	}
	fc := FunctionConfig{Reserved: -1, Params: policy.DefaultParams()}
	for i := range n {
		rc := RevisionConfig{Function: FunctionID(i), Ladder: climbing, MemoryMiB: reserves(climbing, 512, 192)}
		step(Event{Kind: EventFunctionSet, Function: FunctionID(i), FunctionConfig: &fc})
		step(Event{Kind: EventRevisionAdded, Revision: RevisionID(i), RevisionConfig: &rc})
		step(Event{Kind: EventArrived, Revision: RevisionID(i), Invocation: 0})
		var w WorkerID
		for _, a := range acts {
			if a.Kind == ActionStart {
				w = a.Worker
			}
		}
		step(Event{Kind: EventWorkerReady, Worker: w})
		step(Event{Kind: EventFinished, Invocation: 0, Worker: w, Outcome: function.OutcomeOK})
	}
	return e
}

// BenchmarkWarm is the warm path of a node with one function: an arrival and its end.
func BenchmarkWarm(b *testing.B) { benchmarkWarm(b, 1, NodeConfig{}) }

// BenchmarkWarmCluster is the same over 46,000 functions, the size of the Azure trace, with and
// without a memory budget.
func BenchmarkWarmCluster(b *testing.B) {
	b.Run("unlimited", func(b *testing.B) { benchmarkWarm(b, 46000, NodeConfig{}) })
	b.Run("budget", func(b *testing.B) { benchmarkWarm(b, 46000, NodeConfig{MemoryMiB: 46000 * 1024}) })
}

func benchmarkWarm(b *testing.B, n int, config NodeConfig) {
	e := warmed(b, n, config)
	acts := make([]Action, 0, 16)
	now, rev := int64(0), uint32(1)
	events := 0
	b.ReportAllocs()
	for b.Loop() {
		now += int64(time.Microsecond)
		rev = rev*1664525 + 1013904223
		acts = e.Step(now, Event{Kind: EventArrived, Revision: RevisionID(rev >> 8 % uint32(n)), Invocation: 0}, acts[:0])
		w := acts[0].Worker
		acts = e.Step(now, Event{Kind: EventFinished, Invocation: 0, Worker: w, Outcome: function.OutcomeOK}, acts[:0])
		events += 2
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds()/1e6, "Mevents/s")
}

// BenchmarkCold is the dearest ordinary case: every invocation starts a worker and stops it.
func BenchmarkCold(b *testing.B) {
	e := warmed(b, 1000, NodeConfig{})
	fc := FunctionConfig{Reserved: -1, Params: policy.Params{Threshold: 1 << 20, Window: 1}}
	fc.Params.Threshold = 10
	var acts []Action
	for i := range 1000 {
		acts = e.Step(0, Event{Kind: EventFunctionSet, Function: FunctionID(i), FunctionConfig: &fc}, acts[:0])
	}
	now, rev, events := int64(time.Hour), uint32(1), 0
	acts = e.Step(now, Event{Kind: EventWoke}, nil)
	for _, a := range append([]Action(nil), acts...) {
		if a.Kind == ActionStop {
			acts = e.Step(now, Event{Kind: EventWorkerExited, Worker: a.Worker}, acts[:0])
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		now += int64(time.Millisecond)
		rev = rev*1664525 + 1013904223
		acts = e.Step(now, Event{Kind: EventArrived, Revision: RevisionID(rev >> 8 % 1000), Invocation: 0}, acts[:0])
		w := acts[0].Worker
		acts = e.Step(now, Event{Kind: EventWorkerReady, Worker: w}, acts[:0])
		acts = e.Step(now, Event{Kind: EventFinished, Invocation: 0, Worker: w, Outcome: function.OutcomeOK}, acts[:0])
		acts = e.Step(now, Event{Kind: EventWorkerExited, Worker: w}, acts[:0])
		events += 4
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds()/1e6, "Mevents/s")
}
