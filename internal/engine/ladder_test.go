package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/policy"
)

// TestNewRung adds a rung to a ladder: its row is all that the core needs to record for it, build it,
// check it, serve with it and leave it again.
func TestNewRung(t *testing.T) {
	l := whole.Clone()
	l.Rungs = append(l.Rungs, ladder.Rung{
		Name: "warp", Artifact: ladder.ArtifactBinary, From: ladder.RecordingClasses, Builder: "warp-drive", Back: 2,
		Start: 0.01, First: 1, Speed: 0.1, Memory: 0.1,
	})
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	warp, _ := l.Find("warp")
	e := New(NodeConfig{}, &eager{})
	now, version := int64(0), uint32(0)
	events := []Event{
		{Kind: EventFunctionSet, FunctionConfig: &FunctionConfig{Reserved: -1}},
		{Kind: EventRevisionAdded, RevisionConfig: &RevisionConfig{Ladder: l, MemoryMiB: []int32{64, 64, 32, 8}}},
	}
	var served []function.Rung
	kept := map[WorkerID]Action{}
	for invocation := InvocationID(0); len(served) == 0 || served[len(served)-1] != "warp"; invocation++ {
		if invocation > 20 {
			t.Fatalf("after %d invocations served by %v", invocation, served)
		}
		events = append(events, Event{Kind: EventArrived, Invocation: invocation})
		for ; len(events) > 0; events = events[1:] {
			now += int64(time.Second)
			for _, a := range e.Step(now, events[0], nil) {
				switch a.Kind {
				case ActionStart:
					kept[a.Worker] = a
					events = append(events, Event{Kind: EventWorkerReady, Worker: a.Worker})
				case ActionAssign:
					served = append(served, l.RungName(a.Rung))
					events = append(events, Event{Kind: EventFinished, Invocation: a.Invocation, Worker: a.Worker, Outcome: function.OutcomeOK})
				case ActionStop:
					if a.Recording != ladder.RecordingNone {
						version++
						events = append(events, Event{Kind: EventRecording, Recording: a.Recording, Version: version})
					}
					events = append(events, Event{Kind: EventWorkerExited, Worker: a.Worker})
				case ActionBuild:
					events = append(events, Event{Kind: EventBuildDone, Rung: a.Rung})
				case ActionIllegal:
					t.Fatalf("%v: %+v", events[0].Kind, a)
				}
			}
		}
	}
	if served[0] != "hotspot" {
		t.Errorf("first served by %s, want the first rung", served[0])
	}
	// What it assumed turns out wrong: the rung below serves.
	for _, ev := range []Event{
		{Kind: EventArrived, Invocation: 99},
		{Kind: EventDeoptimize},
	} {
		now += int64(time.Second)
		e.Step(now, ev, nil)
	}
	if c := e.RevisionCounts(0); c.Rung == warp {
		t.Errorf("after it was left, new workers are still of rung %d", c.Rung)
	}
}

// TestWishBehindARecorder: an operator's wish that needs another recording than the one under way gets its recorder when
// that one has ended, without an invocation.
func TestWishBehindARecorder(t *testing.T) {
	e := New(NodeConfig{}, &eager{})
	native, _ := whole.Find(ladder.Native)
	now := int64(0)
	var recorders []ladder.Recording
	events := []Event{
		{Kind: EventFunctionSet, FunctionConfig: &FunctionConfig{Reserved: -1}},
		{Kind: EventRevisionAdded, RevisionConfig: &RevisionConfig{Ladder: whole, MemoryMiB: reserves(whole, 64, 32)}},
		{Kind: EventArrived},
	}
	step := func(ev Event) {
		now += int64(time.Millisecond)
		for _, a := range e.Step(now, ev, nil) {
			switch a.Kind {
			case ActionStart:
				if a.Recording != ladder.RecordingNone {
					recorders = append(recorders, a.Recording)
				}
				events = append(events, Event{Kind: EventWorkerReady, Worker: a.Worker})
			case ActionAssign:
				events = append(events, Event{Kind: EventOptimize, Rung: native}) // while the first recorder works
				events = append(events, Event{Kind: EventFinished, Worker: a.Worker, Outcome: function.OutcomeOK})
			case ActionStop:
				events = append(events, Event{Kind: EventRecording, Recording: a.Recording, Version: 1}, Event{Kind: EventWorkerExited, Worker: a.Worker})
			case ActionIllegal:
				t.Fatalf("%v: %+v", ev.Kind, a)
			}
		}
	}
	for turns := 0; turns < 10_000; turns++ {
		if len(events) == 0 {
			step(Event{Kind: EventWoke})
			continue
		}
		ev := events[0]
		events = events[1:]
		step(ev)
	}
	if len(recorders) != 2 || recorders[0] != ladder.RecordingClasses || recorders[1] != ladder.RecordingMetadata {
		t.Errorf("recorders of %v, want classes and metadata", recorders)
	}
}

// TestWarmWorkersStay: workers whose code is warm go on beside those with a cache, which only start sooner; a binary, which
// needs less memory, takes their place.
func TestWarmWorkersStay(t *testing.T) {
	s := newStage(t)
	stopped := func(script string) int {
		s.out.Reset()
		s.perform(script)
		return strings.Count(s.out.String(), "replaced")
	}
	s.perform(`
> policy eager
> function f optimize=off
> revision f/1 ladder=whole` + strings.Repeat("\n> arrive f/1 n=3\n> run 700ms", learnAfter))
	// The worker of the check takes the place of one.
	if n := stopped("> function f\n> arrive f/1 n=4\n> run 10s"); n != 1 {
		t.Errorf("%d workers were replaced by one with the cache, want 1:\n%s", n, &s.out)
	}
	if n := stopped("> arrive f/1 n=3\n> run 1s"); n != 0 {
		t.Errorf("%d warm workers were replaced:\n%s", n, &s.out)
	}
	if n := stopped("> run 1m\n> arrive f/1 n=3\n> run 10s"); n < 3 {
		t.Errorf("%d workers were replaced where there is a binary:\n%s", n, &s.out)
	}
}

// beside is a policy that lets invocations wait, and records beside the workers that serve as soon as it is told to.
type beside struct {
	policy.Paper
	record bool
}

func (*beside) Start(int64, *policy.View) bool { return false }

func (p *beside) Decide(int64, *policy.View) policy.Decision {
	if !p.record {
		return policy.Decision{}
	}
	return policy.Decision{Record: ladder.RecordingMetadata, Beside: true}
}

// TestRecorderBesideIsTheOnlyStart: where a recorder is started beside those that serve, it is no reason to start others for invocations that
// are to wait for a busy worker.
func TestRecorderBesideIsTheOnlyStart(t *testing.T) {
	p := &beside{}
	e := New(NodeConfig{TraceLimit: 100}, p)
	now := int64(0)
	var starts []Action
	step := func(ev Event) {
		now += int64(time.Second)
		for _, a := range e.Step(now, ev, nil) {
			switch a.Kind {
			case ActionStart:
				starts = append(starts, a)
			case ActionIllegal:
				t.Fatalf("%v: %+v", ev.Kind, a)
			}
		}
	}
	set := Event{Kind: EventFunctionSet, FunctionConfig: &FunctionConfig{Reserved: -1, Params: policy.DefaultParams()}}
	step(set)
	step(Event{Kind: EventRevisionAdded, RevisionConfig: &RevisionConfig{Ladder: climbing, MemoryMiB: reserves(climbing, 64, 32)}})
	for id := range InvocationID(8) {
		step(Event{Kind: EventArrived, Invocation: id})
	}
	step(Event{Kind: EventWorkerReady, Worker: starts[0].Worker})
	p.record = true
	step(set) // the policy is asked
	if len(starts) != 2 || starts[1].Recording != ladder.RecordingMetadata {
		t.Errorf("%d workers were started: want one that serves and one that records: %+v", len(starts), starts)
	}
}
