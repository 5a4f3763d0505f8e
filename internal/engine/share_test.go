package engine

import (
	"slices"
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
)

// TestConcurrencyIsShared: one function gets 900 of 1000 invocations, the next 90, then 9, so that there is room
// for a new one; reserved concurrency is not asked.
func TestConcurrencyIsShared(t *testing.T) {
	e := New(NodeConfig{Concurrency: 1000}, &policy.Paper{})
	var next InvocationID
	flood := func(f FunctionID, reserved int32) (taken int) {
		fc := FunctionConfig{Reserved: reserved, Params: policy.DefaultParams()}
		e.Step(0, Event{Kind: EventFunctionSet, Function: f, FunctionConfig: &fc}, nil)
		e.Step(0, Event{Kind: EventRevisionAdded, Revision: RevisionID(f), RevisionConfig: &RevisionConfig{Function: f, Ladder: direct, MemoryMiB: []int32{1}}}, nil)
		for range 2000 {
			rejected := slices.ContainsFunc(e.Step(0, Event{Kind: EventArrived, Revision: RevisionID(f), Invocation: next}, nil),
				func(a Action) bool { return a.Kind == ActionReject && a.Reason == ReasonNodeThrottled })
			if rejected {
				return taken
			}
			next++
			taken++
		}
		return taken
	}
	for i, want := range []int{900, 90, 9, 1} {
		if got := flood(FunctionID(i), -1); got != want {
			t.Errorf("function %d: %d in flight, want %d", i, got, want)
		}
	}
	if got := flood(9, 500); got != 0 {
		t.Errorf("%d more than the node's limit", got)
	}
}

// TestBuildersTakeTurns: a function with five revisions to build holds up no other's first build.
func TestBuildersTakeTurns(t *testing.T) {
	e := New(NodeConfig{Builders: 1}, &eager{})
	var order []RevisionID
	step := func(ev Event) {
		for _, a := range e.Step(0, ev, nil) {
			if a.Kind == ActionBuild {
				order = append(order, a.Revision)
			}
		}
	}
	fc := FunctionConfig{Reserved: -1, Params: policy.DefaultParams()}
	for f := range FunctionID(3) {
		step(Event{Kind: EventFunctionSet, Function: f, FunctionConfig: &fc})
	}
	for rev, f := range []FunctionID{0, 0, 0, 0, 0, 1, 2} {
		step(Event{Kind: EventRevisionAdded, Revision: RevisionID(rev), RevisionConfig: &RevisionConfig{Function: f, Ladder: climbing, MemoryMiB: reserves(climbing, 512, 192)}})
		step(Event{Kind: EventRecording, Revision: RevisionID(rev), Recording: ladder.RecordingMetadata, Version: 1, Complete: true})
	}
	for len(order) < 7 {
		n := len(order)
		if n == 0 {
			t.Fatal("nothing is built")
		}
		step(Event{Kind: EventBuildFailed, Revision: order[n-1], Rung: 1, Failure: FailureInputs})
		if len(order) == n {
			t.Fatalf("built %v, and then nothing", order)
		}
	}
	if want := []RevisionID{0, 5, 1, 6, 2, 3, 4}; !slices.Equal(order, want) {
		t.Errorf("built in the order %v, want %v", order, want)
	}
}

// fewer is a policy that starts four workers, and for which more than two are too many.
type fewer struct{ policy.Paper }

func (*fewer) Start(_ int64, v *policy.View) bool { return v.Working+v.Starting < 4 }

func (*fewer) Surplus(_ int64, v *policy.View) bool { return v.Working >= 2 }

// TestSurplusWorkersEndWhereTheMachineIsFull, though invocations wait: the others take them.
func TestSurplusWorkersEndWhereTheMachineIsFull(t *testing.T) {
	const invocations, workers = 40, 4
	for _, full := range []bool{false, true} {
		e := New(NodeConfig{}, &fewer{})
		running := map[InvocationID]WorkerID{}
		var started []WorkerID
		stopped, ended := 0, 0
		step := func(ev Event) {
			for _, a := range e.Step(0, ev, nil) {
				switch a.Kind {
				case ActionStart:
					started = append(started, a.Worker)
				case ActionAssign:
					running[a.Invocation] = a.Worker
				case ActionStop:
					if a.Reason == ReasonSurplus {
						stopped++
					}
				}
			}
		}
		fc := FunctionConfig{Reserved: -1, Params: policy.DefaultParams()}
		step(Event{Kind: EventFunctionSet, FunctionConfig: &fc})
		step(Event{Kind: EventRevisionAdded, RevisionConfig: &RevisionConfig{Ladder: direct, MemoryMiB: []int32{1}}})
		for i := range InvocationID(invocations) {
			step(Event{Kind: EventArrived, Invocation: i})
			if i < workers {
				step(Event{Kind: EventWorkerReady, Worker: started[i]})
			}
		}
		for len(running) > 0 {
			for i, w := range running {
				delete(running, i)
				ended++
				step(Event{Kind: EventFinished, Invocation: i, Worker: w, Outcome: function.OutcomeOK, CPU: 1, Full: full})
				break
			}
		}
		want := 0
		if full {
			want = workers - 2
		}
		if stopped != want || ended != invocations {
			t.Errorf("full %v: %d workers were stopped as too many, want %d; %d invocations ended", full, stopped, want, ended)
		}
	}
}
