package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
)

// TestLeastWorthForItsDiskGoesFirst: when snapshots take more disk than they may, the policy's reckoning says which go: first that of
// a function that is seldom started, then a large one of a function that is started as often as the one which stays.
func TestLeastWorthForItsDiskGoesFirst(t *testing.T) {
	p, err := policy.New("ladder")
	if err != nil {
		t.Fatal(err)
	}
	const memory = 128
	l := ladder.Of(function.KindPython)
	e := New(NodeConfig{}, p)
	functions := []struct {
		name   string
		diskMB float64
		gap    time.Duration
	}{{"large", 80, 11 * time.Minute}, {"seldom", 40, 3 * time.Hour}, {"small", 40, 11 * time.Minute}}
	for i, f := range functions {
		e.Step(0, Event{Kind: EventFunctionSet, Function: FunctionID(i), FunctionConfig: &FunctionConfig{Reserved: -1,
			Params: policy.Params{KeepAlive: int64(time.Minute)}}}, nil)
		e.Step(0, Event{Kind: EventRevisionAdded, Revision: RevisionID(i), RevisionConfig: &RevisionConfig{Function: FunctionID(i), Ladder: l,
			MemoryMiB: []int32{memory, memory, memory}, Restored: pipeline.Saved{Rungs: []pipeline.Rung{
				{Name: ladder.Interpreter}, {Name: ladder.Snapshot, Phase: pipeline.PhaseReady, DiskMB: f.diskMB}}}}}, nil)
	}

	var dropped []string
	at := make([]int64, len(functions)) // of the next invocation
	for i, f := range functions {
		at[i] = int64(f.gap)
	}
	now, wake := int64(0), int64(0)
	step := func(ev Event) {
		t.Helper()
		for events := []Event{ev}; len(events) > 0; events = events[1:] {
			if events[0].Kind == EventWorkerReady {
				now += int64(50 * time.Millisecond)
			}
			for _, a := range e.Step(now, events[0], nil) {
				switch a.Kind {
				case ActionStart:
					events = append(events, Event{Kind: EventWorkerReady, Revision: a.Revision, Worker: a.Worker})
				case ActionAssign:
					events = append(events, Event{Kind: EventFinished, Revision: a.Revision, Invocation: a.Invocation, Worker: a.Worker, Outcome: function.OutcomeOK})
				case ActionStop:
					events = append(events, Event{Kind: EventWorkerExited, Revision: a.Revision, Worker: a.Worker})
				case ActionWake:
					wake = a.At
				case ActionDrop:
					if a.Reason != ReasonDisk {
						t.Errorf("%s was dropped: %v", functions[a.Revision].name, a.Reason)
					}
					dropped = append(dropped, functions[a.Revision].name)
				case ActionIllegal:
					t.Fatalf("%+v: %+v", events[0], a)
				}
			}
		}
	}
	for invocation := InvocationID(0); now < int64(12*time.Hour); invocation++ {
		next := 0
		for i := range at {
			if at[i] < at[next] {
				next = i
			}
		}
		for wake > 0 && wake < at[next] {
			now, wake = max(now, wake), 0
			step(Event{Kind: EventWoke})
		}
		now = at[next]
		at[next] += int64(functions[next].gap)
		step(Event{Kind: EventArrived, Revision: RevisionID(next), Invocation: invocation})
	}
	for _, test := range []struct {
		budgetMB int64
		want     []string
	}{{160, nil}, {159, []string{"seldom"}}, {119, []string{"seldom", "large"}}, {40, []string{"seldom", "large"}}, {39, []string{"seldom", "large", "small"}}} {
		step(Event{Kind: EventConfigured, NodeConfig: &NodeConfig{ArtifactMB: test.budgetMB}})
		if !slices.Equal(dropped, test.want) {
			t.Errorf("with %d MB: %v were dropped, want %v", test.budgetMB, dropped, test.want)
		}
	}
}
