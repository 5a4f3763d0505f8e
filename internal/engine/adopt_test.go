package engine

import (
	"testing"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
)

// nodeOf is an engine with one revision, whose pipeline another node owns or this one.
func nodeOf(t *testing.T, follows bool, restored pipeline.Saved) (*Engine, *ladder.Ladder, func(Event) []Action) {
	t.Helper()
	e := New(NodeConfig{Builders: 1, LightBuilders: 1}, &policy.Paper{})
	now := int64(1e9)
	step := func(ev Event) []Action {
		now += 1e6
		out := e.Step(now, ev, nil)
		for _, a := range out {
			if a.Kind == ActionIllegal {
				t.Errorf("%v is illegal: %v", ev.Kind, a.Reason)
			}
		}
		return out
	}
	l := ladder.Of(function.KindHandler)
	memory := make([]int32, len(l.Rungs))
	step(Event{Kind: EventFunctionSet, FunctionConfig: &FunctionConfig{Reserved: -1, Params: policy.DefaultParams()}})
	step(Event{Kind: EventRevisionAdded, RevisionConfig: &RevisionConfig{Ladder: l, MemoryMiB: memory, Follows: follows, Restored: restored}})
	return e, l, step
}

func count(actions []Action, kind ActionKind) (n int) {
	for _, a := range actions {
		if a.Kind == kind {
			n++
		}
	}
	return n
}

// readyNative is a pipeline whose binary serves, made from the first version of the metadata.
func readyNative() pipeline.Saved {
	s := pipeline.Saved{Rungs: []pipeline.Rung{{Name: ladder.Native, Phase: pipeline.PhaseReady, Built: 1, DiskMB: 10}}}
	s.Recordings[ladder.RecordingMetadata] = pipeline.Recording{Phase: pipeline.PhaseRecorded, Version: 1}
	return s
}

// TestFollowersMakeNothing: cold starts that ask an owner for a build leave a follower alone, which takes what the owner
// made, falls with it, and goes on where the owner stopped when it owns the pipeline itself.
func TestFollowersMakeNothing(t *testing.T) {
	e, l, step := nodeOf(t, true, pipeline.Saved{})
	native, _ := l.Find(ladder.Native)
	made := 0
	for range 40 {
		out := step(Event{Kind: EventElsewhere, Invocations: 1, ColdStarts: 1})
		made += count(out, ActionBuild) + count(out, ActionRecord)
	}
	if made > 0 {
		t.Errorf("a follower moved a pipeline that is another node's, %d times", made)
	}
	if e.revisions[0].best != ladder.First {
		t.Error("there is nothing but the first rung")
	}
	step(Event{Kind: EventAdopted, RevisionConfig: &RevisionConfig{Ladder: l, Follows: true, Restored: readyNative()}})
	if e.revisions[0].best != native || e.disk != 10 {
		t.Errorf("the rung is %d, with %v MB on disk, after the owner made the binary", e.revisions[0].best, e.disk)
	}
	step(Event{Kind: EventAdopted, RevisionConfig: &RevisionConfig{Ladder: l, Follows: true, Restored: readyNative()}})
	if e.disk != 10 {
		t.Errorf("%v MB on disk after it was told again", e.disk)
	}
	fallen := readyNative()
	fallen.Rungs[0].Phase, fallen.Rungs[0].Falls = pipeline.PhaseFailed, 1
	step(Event{Kind: EventAdopted, RevisionConfig: &RevisionConfig{Ladder: l, Follows: true, Restored: fallen}})
	if e.revisions[0].best == native || e.disk != 0 {
		t.Errorf("the rung is %d, with %v MB on disk, after the owner left the binary", e.revisions[0].best, e.disk)
	}
	// The owner died while it built: who owns the pipeline then builds.
	building := readyNative()
	building.Rungs[0].Phase, building.Rungs[0].Built = pipeline.PhaseBuilding, 0
	out := step(Event{Kind: EventAdopted, RevisionConfig: &RevisionConfig{Ladder: l, Restored: building}})
	if count(out, ActionBuild) != 1 {
		t.Errorf("the new owner does not go on with the build: %v", out)
	}
}

// TestOwnersCountAllNodes: cold starts count wherever they were, and what fell on one node falls for all, once.
func TestOwnersCountAllNodes(t *testing.T) {
	e, l, step := nodeOf(t, false, pipeline.Saved{})
	native, _ := l.Find(ladder.Native)
	step(Event{Kind: EventElsewhere, Invocations: 30, ColdStarts: 30})
	if r := &e.revisions[0]; r.invocations != 30 || r.colds != 30 {
		t.Errorf("%d invocations and %d cold starts are known", r.invocations, r.colds)
	}
	if e.revisions[0].recordings[ladder.RecordingMetadata].Phase != pipeline.PhaseRecording {
		t.Error("cold starts on other nodes ask for nothing")
	}
	e, l, step = nodeOf(t, false, readyNative())
	step(Event{Kind: EventFell, Rung: native, Failure: FailureMetadata, Version: 7}) // of another artifact
	if e.revisions[0].best != native {
		t.Error("an artifact fell because of another one")
	}
	for range 2 { // it is told more than once
		step(Event{Kind: EventFell, Rung: native, Failure: FailureMetadata, Version: 1})
	}
	if a := &e.revisions[0].rungs[native]; a.Phase == pipeline.PhaseReady || a.Falls != 1 {
		t.Errorf("the binary is %v after %d falls, though another node lacked metadata", a.Phase, a.Falls)
	}
	_ = l
}
