package engine

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func drawConfig(t *rapid.T) NodeConfig {
	return NodeConfig{
		MemoryMiB:   rapid.SampledFrom([]int64{0, 0, 500, 1000, 3000}).Draw(t, "budget"),
		Starts:      rapid.SampledFrom([]int32{0, 1, 4}).Draw(t, "starts"),
		Concurrency: rapid.SampledFrom([]int32{0, 20}).Draw(t, "concurrency"),
		QueueLimit:  rapid.SampledFrom([]int32{0, 10}).Draw(t, "queue limit"),
		Builders:    rapid.Int32Range(1, 2).Draw(t, "builders"),
		TraceLimit:  rapid.Int32Range(1, 5).Draw(t, "trace limit"),
		ArtifactMB:  rapid.SampledFrom([]int64{0, 15}).Draw(t, "artifacts"),
	}
}

// TestProperties drives the engine through anything that can happen, in any order: workers that
// come, fail and crash, deoptimizations, builds, changes and removals. When all is answered
// nothing waits; after a drain nothing is left.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { play(t) })
}

func play(t *rapid.T) *shell {
	config := drawConfig(t)
	s := newShell(t, config)
	for i := range rapid.IntRange(1, 3).Draw(t, "functions") {
		s.setFunction(FunctionID(i))
		s.addRevision(FunctionID(i))
	}
	for range rapid.IntRange(1, 150).Draw(t, "events") {
		s.act(false)
	}
	s.quiet()
	if len(s.inv) > 0 {
		t.Fatalf("%d invocations wait for nothing: %+v", len(s.inv), s.e.Counts())
	}
	for _, r := range s.revs {
		if r.removed && len(s.workers) == 0 {
			t.Fatalf("a removed revision is not gone")
		}
	}
	for range rapid.IntRange(0, 20).Draw(t, "more") {
		s.act(false)
	}
	s.step(Event{Kind: EventDrain})
	for range rapid.IntRange(0, 20).Draw(t, "while draining") {
		s.act(true)
	}
	s.quiet()
	if !s.drained || len(s.workers) > 0 || len(s.inv) > 0 || len(s.builds) > 0 {
		t.Fatalf("drained %v; %d workers, %d invocations, %d builds are left", s.drained, len(s.workers), len(s.inv), len(s.builds))
	}
	return s
}

// TestDeterministic: the same events give the same actions.
func TestDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := play(t)
		e := New(s.first, tested(s.which))
		for i, ev := range s.events {
			if got := e.Step(s.times[i], ev, nil); fmt.Sprint(got) != fmt.Sprint(s.actions[i]) {
				t.Fatalf("event %d %v: got %v, want %v", i, ev.Kind, got, s.actions[i])
			}
		}
	})
}
