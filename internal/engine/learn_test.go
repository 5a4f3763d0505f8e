package engine

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/pool"
)

// TestFirstInvocationsAreMeasured: what a worker's first invocation takes longer than later ones is part of what a cold start
// costs.
func TestFirstInvocationsAreMeasured(t *testing.T) {
	const start, later = 100 * time.Millisecond, 20 * time.Millisecond
	for _, extra := range []time.Duration{0, start} {
		e := New(NodeConfig{}, &policy.Paper{})
		now, next := int64(0), InvocationID(0)
		var worker WorkerID
		step := func(ev Event) {
			for _, a := range e.Step(now, ev, nil) {
				if a.Kind == ActionStart {
					worker = a.Worker
				}
			}
		}
		invoke := func(took time.Duration) {
			now += int64(took)
			step(Event{Kind: EventFinished, Invocation: next, Worker: worker, Outcome: function.OutcomeOK})
			next++
		}
		fc := FunctionConfig{Reserved: -1, Params: policy.DefaultParams()}
		step(Event{Kind: EventFunctionSet, FunctionConfig: &fc})
		step(Event{Kind: EventRevisionAdded, RevisionConfig: &RevisionConfig{Ladder: direct, MemoryMiB: []int32{1}}})
		for range 12 {
			step(Event{Kind: EventArrived, Invocation: next})
			now += int64(start)
			step(Event{Kind: EventWorkerReady, Worker: worker})
			invoke(later + extra)
			for range 5 {
				step(Event{Kind: EventArrived, Invocation: next})
				invoke(later)
			}
			now += fc.Params.KeepAlive + 1
			step(Event{Kind: EventWoke})
			step(Event{Kind: EventWorkerExited, Worker: worker})
		}
		got := e.revisions[0].views[0].Warming
		if want := float64(extra) / float64(start); got > want || got < 0.7*want {
			t.Errorf("first invocations that take %v longer: warming %.2f, want %.2f, or somewhat less after ten workers", extra, got, want)
		}
	}
}

// engineWith is an engine with one revision, of which nothing was measured.
func engineWith(l *ladder.Ladder) (*Engine, *revision) {
	e := New(NodeConfig{}, &policy.Paper{})
	e.Step(0, Event{Kind: EventFunctionSet, FunctionConfig: &FunctionConfig{Reserved: -1, Params: policy.DefaultParams()}}, nil)
	e.Step(0, Event{Kind: EventRevisionAdded, RevisionConfig: &RevisionConfig{Ladder: l, MemoryMiB: make([]int32, len(l.Rungs))}}, nil)
	return e, &e.revisions[0]
}

// TestFirstInvocationsOfOtherRungs: what was measured of a rung is expected of those below it, and in the ladder's proportion of those with
// the same kind of artifact; of others above it is not.
func TestFirstInvocationsOfOtherRungs(t *testing.T) {
	const ms = int64(time.Millisecond)
	handlers := ladder.Of(function.KindHandler)
	e, r := engineWith(handlers)
	rung, _ := handlers.Find(ladder.SnapshotDeploy)
	for id := range r.views {
		r.views[id].Start = 100 * ms
	}
	r.views[rung].Start = 20 * ms
	for range 200 {
		for n := range int32(10) {
			took := 10 * ms
			if n == 0 {
				took = 30 * ms
			}
			e.learnWarming(r, &pool.Worker{Rung: rung, Served: n + 1}, took)
		}
	}
	for id := range r.views {
		want := 0.0
		switch id := ladder.ID(id); {
		case id == rung:
			want = 1
		case id < rung:
			want = 0.2 // 20 of 100 ms
		case handlers.Rungs[id].Artifact == ladder.ArtifactSnapshot:
			want = 0.2 * handlers.Rungs[id].First / handlers.Rungs[rung].First
		}
		if got := r.views[id].Warming; got < 0.9*want || got > want+1e-9 {
			t.Errorf("%s: warming %.3f, want %.3f", handlers.Rungs[id].Name, got, want)
		}
	}
}

// TestFirstInvocationsThatVary: where invocations vary by seconds, first ones that took longer say nothing of a start of hundredths.
func TestFirstInvocationsThatVary(t *testing.T) {
	const ms = int64(time.Millisecond)
	handlers := ladder.Of(function.KindHandler)
	rung, _ := handlers.Find(ladder.SnapshotDeploy)
	for _, tt := range []struct {
		name  string
		later [2]int64 // in turn
		seen  bool
	}{
		{"by less than a start", [2]int64{1000 * ms, 1010 * ms}, true},
		{"by seconds", [2]int64{1000 * ms, 9000 * ms}, false},
	} {
		e, r := engineWith(handlers)
		r.views[rung].Start = 40 * ms
		for range 10 {
			for n := range int32(10) {
				e.learnWarming(r, &pool.Worker{Rung: rung, Served: n + 2}, tt.later[n%2])
			}
			e.learnWarming(r, &pool.Worker{Rung: rung, Served: 1}, 10_000*ms)
		}
		if got := r.views[rung].Warming; (got > 0) != tt.seen {
			t.Errorf("%s: warming %.2f", tt.name, got)
		}
	}
}

// TestStartsOfRungsBelow: a rung that was never measured is not expected to start sooner because what is above it was measured on a busy
// machine; but not to start later without end, either.
func TestStartsOfRungsBelow(t *testing.T) {
	const ms = int64(time.Millisecond)
	handlers := ladder.Of(function.KindHandler)
	cache, _ := handlers.Find(ladder.AOTCache)
	saved, _ := handlers.Find(ladder.SnapshotDeploy)
	binary, _ := handlers.Find(ladder.Native)
	for _, test := range []struct {
		name  string
		times int64 // how many times longer than by the table a copy takes, after HotSpot took as long as in the table
		want  float64
	}{{"as in the table", 1, 1}, {"busy", 3, startDoubt}, {"bad for the function", 100, startDoubt}} {
		e, r := engineWith(handlers)
		start := func(rung ladder.ID, took int64) {
			w := &pool.Worker{Rung: rung, Since: e.now}
			e.now += took
			e.started(r, w)
		}
		start(ladder.First, 1000*ms)
		of := func(rung ladder.ID) int64 {
			return int64(1000 * float64(ms) * handlers.Rungs[rung].Start / handlers.Rungs[ladder.First].Start)
		}
		for range 5 {
			start(saved, test.times*of(saved))
		}
		if got := float64(r.views[cache].Start) / float64(of(cache)); got < 0.99*test.want || got > 1.01*test.want {
			t.Errorf("%s: the cache is expected to take %.2f of what the table says, want %.2f", test.name, got, test.want)
		}
		if got := r.views[binary].Start; got != of(binary) {
			t.Errorf("%s: the binary is expected to take %v, want %v", test.name, got, of(binary))
		}
		if r.views[ladder.First].Start != 1000*ms {
			t.Errorf("%s: what was measured has changed", test.name)
		}
	}
}

// TestOddStarts: one start, or one burst of them, that took very long changes little, and three in a row are the rule.
func TestOddStarts(t *testing.T) {
	const ms = int64(time.Millisecond)
	const one = 30 + learning*60 // after one that counts as three times as long
	const two = one + learning*2*one
	for _, test := range []struct {
		name   string
		starts [][2]int64 // when each begins and what it takes, ms
		want   float64    // ms
	}{
		{"none", [][2]int64{{1000, 30}, {2000, 40}}, 33},
		{"one", [][2]int64{{1000, 30}, {2000, 2000}}, one},
		{"the first of all", [][2]int64{{1000, 2000}}, 2000}, // nothing else is known
		{"a burst", [][2]int64{{1000, 30}, {2000, 2000}, {2001, 2000}, {2002, 2000}}, one},
		{"two", [][2]int64{{1000, 30}, {2000, 2000}, {5000, 2000}}, two},
		{"one, and another one after an ordinary one", [][2]int64{{1000, 30}, {2000, 2000}, {5000, 48}, {6000, 2000}}, one + learning*2*one},
		{"three in a row", [][2]int64{{1000, 30}, {2000, 2000}, {5000, 2000}, {8000, 2000}}, two + learning*(2000-two)},
	} {
		e, r := engineWith(direct)
		for _, s := range test.starts {
			w := &pool.Worker{Since: s[0] * ms}
			e.now = (s[0] + s[1]) * ms
			e.started(r, w)
		}
		if got := float64(r.views[0].Start) / float64(ms); math.Abs(got-test.want) > 0.01 {
			t.Errorf("%s: a start is expected to take %.2f ms, want %.2f", test.name, got, test.want)
		}
	}
}

// TestLeftRungIsTriedAgain: what a rung's starts took that was left is forgotten after an hour, when it costs nothing to try it, and after two
// when it was as slow again.
func TestLeftRungIsTriedAgain(t *testing.T) {
	handlers := ladder.Of(function.KindHandler)
	cache, _ := handlers.Find(ladder.AOTCache)
	snapshot, _ := handlers.Find(ladder.Snapshot)
	e, r := engineWith(handlers)
	start := func(rung ladder.ID, after, took time.Duration) time.Duration {
		w := &pool.Worker{Rung: rung, Since: e.now + int64(after)}
		e.now = w.Since + int64(took)
		e.started(r, w)
		return time.Duration(r.views[snapshot].Start)
	}
	start(ladder.First, time.Second, 300*time.Millisecond)
	start(cache, time.Second, 100*time.Millisecond)
	start(snapshot, time.Second, 75*time.Millisecond)
	expected := func() time.Duration {
		return time.Duration(float64(r.views[cache].Start) * handlers.Rungs[snapshot].Start / handlers.Rungs[cache].Start)
	}
	for hours := 1; hours <= 4; hours *= 2 {
		for _, ready := range []bool{false, true} {
			if r.rungs[snapshot].Phase = pipeline.PhaseAbsent; ready {
				r.rungs[snapshot].Phase = pipeline.PhaseReady
			}
			if got := start(cache, time.Duration(hours)*time.Hour/2-time.Minute, 100*time.Millisecond); got != 75*time.Millisecond {
				t.Errorf("before %d hours have gone: a start is expected to take %s", hours, got)
			}
		}
		r.rungs[snapshot].Phase = pipeline.PhaseAbsent
		if got := start(cache, 2*time.Minute, 100*time.Millisecond); got != 75*time.Millisecond {
			t.Errorf("without its artifact: a start is expected to take %s", got)
		}
		r.rungs[snapshot].Phase = pipeline.PhaseReady
		if got := start(cache, time.Second, 100*time.Millisecond); got != expected() {
			t.Errorf("after %d hours: a start is expected to take %s, want %s", hours, got, expected())
		}
		start(snapshot, time.Second, 75*time.Millisecond)
	}
}

// TestSpeedsOfSameCode: what was measured of one rung holds for those whose workers run the same code; binaries and other compilers are
// expected as the table says, until they are measured. A few slow invocations at the end say little.
func TestSpeedsOfSameCode(t *testing.T) {
	handlers := ladder.Of(function.KindHandler)
	id := func(name function.Rung) ladder.ID {
		rung, ok := handlers.Find(name)
		if !ok {
			t.Fatalf("there is no rung %s", name)
		}
		return rung
	}
	e, r := engineWith(handlers)
	serve := func(rung ladder.ID, n int, took time.Duration) {
		w := &pool.Worker{Rung: rung, Served: learnAfter}
		for range n {
			e.learnSpeed(r, w, int64(took))
		}
		e.figure(r)
	}
	near := func(name function.Rung, speed float64, timed bool) {
		t.Helper()
		v := &r.views[id(name)]
		if v.Timed != timed || v.Speed < 0.98*speed || v.Speed > 1.02*speed {
			t.Errorf("%s: a speed of %.2f, measured: %t; want %.2f, %t", name, v.Speed, v.Timed, speed, timed)
		}
	}
	serve(id(ladder.SnapshotDeploy), 1000, 10*time.Millisecond)
	serve(id(ladder.Native), 1000, 12*time.Millisecond)
	near(ladder.HotSpot, 1, true)
	near(ladder.AOTCache, 1, true)
	near(ladder.Native, 1.2, true)
	near(ladder.AOTCacheC2, handlers.Rungs[id(ladder.AOTCacheC2)].Speed, false)
	near(ladder.NativeOptimized, handlers.Rungs[id(ladder.NativeOptimized)].Speed, false)
	// The snapshot takes longer by what it is asked: all of its kind are expected to.
	serve(id(ladder.Snapshot), 1000, 14*time.Millisecond)
	near(ladder.AOTCache, 1, true)
	near(ladder.Snapshot, 1, true)
	near(ladder.Native, 1, true)
	serve(id(ladder.Native), 8, 100*time.Millisecond)
	near(ladder.Native, 1.06, true)
	serve(id(ladder.SnapshotC2), 63, time.Millisecond)
	near(ladder.AOTCacheC2, handlers.Rungs[id(ladder.AOTCacheC2)].Speed, false)
	serve(id(ladder.SnapshotC2), 937, 6*time.Millisecond)
	near(ladder.AOTCacheC2, 0.475, true)
}

// TestDoubt: what is measured of a rung's speed may be off by what functions take longer at some times than at others, and the more
// invocations there were, the less so. Rungs that run the same code are in no doubt of each other.
func TestDoubt(t *testing.T) {
	handlers := ladder.Of(function.KindHandler)
	deploy, _ := handlers.Find(ladder.SnapshotDeploy)
	binary, _ := handlers.Find(ladder.Native)
	for _, n := range []int{100, 1600} {
		e, r := engineWith(handlers)
		for _, rung := range []ladder.ID{deploy, binary} {
			w := &pool.Worker{Rung: rung, Served: learnAfter}
			for i := range n { // 5 and 15 ms in turn: they are off by a half
				e.learnSpeed(r, w, int64(time.Duration(5+10*(i%2))*time.Millisecond))
			}
		}
		e.figure(r)
		want := math.Sqrt2 * 0.5 / math.Sqrt(float64(n))
		if v := r.views[binary]; math.Abs(v.Speed-1) > 1e-9 || math.Abs(v.Doubt-want) > 1e-9 {
			t.Errorf("after %d invocations each: a binary takes %.3f of the time, give or take %.4f; want 1 and %.4f", n, v.Speed, v.Doubt, want)
		}
		if v := r.views[deploy]; v.Speed != 1 || v.Doubt != 0 {
			t.Errorf("a snapshot takes %.3f of the time, give or take %.4f; want exactly 1", v.Speed, v.Doubt)
		}
	}
}

// TestMemoryOfRunningWorkers: an engine knows what a function's workers use before the first of them ends.
func TestMemoryOfRunningWorkers(t *testing.T) {
	e, r := engineWith(direct)
	var w WorkerID
	for i, used := range []float64{0, 80, 0} {
		for _, a := range e.Step(0, Event{Kind: EventArrived, Invocation: InvocationID(i)}, nil) {
			if a.Kind == ActionStart {
				w = a.Worker
				e.Step(0, Event{Kind: EventWorkerReady, Worker: w}, nil)
			}
		}
		e.Step(0, Event{Kind: EventFinished, Invocation: InvocationID(i), Worker: w, Outcome: function.OutcomeOK, MemoryMB: used}, nil)
		if got := r.views[0].MemoryMB; (got == 80) != (i > 0) {
			t.Errorf("after %d invocations: %v MB", i+1, got)
		}
	}
}

// TestScale: a worker's memory is measured when it is idle, and has served twice as much as when it was before.
func TestScale(t *testing.T) {
	var s Scale
	if s.Idle() {
		t.Error("a worker is measured that has not served")
	}
	var due []int
	for served := 1; served <= 20; served++ {
		s.Ended()
		if served == 4 {
			continue // the next one came at once
		}
		if s.Idle() {
			due = append(due, served)
		}
		if s.Idle() {
			t.Errorf("measured twice after %d invocations", served)
		}
	}
	if want := []int{1, 2, 5, 10, 20}; !slices.Equal(due, want) {
		t.Errorf("measured after %v invocations, want %v", due, want)
	}
}
