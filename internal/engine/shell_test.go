package engine

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
)

// shell is the least that a shell can be: it knows what it was asked to do, answers in any
// order that a real one might, and checks every action against what must always hold.
type shell struct {
	t       *rapid.T
	e       *Engine
	now     int64
	wake    int64
	which   string     // the policy
	first   NodeConfig // at the start
	config  NodeConfig
	workers map[WorkerID]*testWorker
	inv     map[InvocationID]*testInvocation
	nextInv InvocationID
	revs    map[RevisionID]*testRevision
	fns     map[FunctionID]*FunctionConfig
	builds  map[int32]bool // running, by buildKey: cancelled?
	arrived int
	ended   int
	drained bool
	events  []Event
	times   []int64
	actions [][]Action
}

type testWorker struct {
	rev            RevisionID
	rung           ladder.ID
	recording      ladder.Recording
	ready, stopped bool
	check          bool
	lane           lane // of a check
	running        []InvocationID
	slots          int
	mib            int64
}

type testInvocation struct {
	rev    RevisionID
	worker WorkerID // -1: waits
}

type testRevision struct {
	fn       FunctionID
	config   RevisionConfig
	removed  bool
	versions [ladder.RecordingCount]uint32
	samples  uint32
}

// tested are the policies that the engine is driven with.
func tested(which string) policy.Policy {
	if which == "eager" {
		return &eager{}
	}
	if p, err := policy.New(which); err == nil && which != "paper" {
		return p
	}
	return &policy.Paper{HotInvocations: 4}
}

func newShell(t *rapid.T, config NodeConfig) *shell {
	which := rapid.SampledFrom([]string{"paper", "eager", policy.Names()[len(policy.Names())-1]}).Draw(t, "policy")
	return &shell{
		t: t, e: New(config, tested(which)), which: which, now: 1, wake: -1, first: config, config: config,
		workers: map[WorkerID]*testWorker{}, inv: map[InvocationID]*testInvocation{},
		revs: map[RevisionID]*testRevision{}, fns: map[FunctionID]*FunctionConfig{}, builds: map[int32]bool{},
	}
}

// step gives the engine a legal event and carries the actions out.
func (s *shell) step(ev Event) {
	s.events, s.times = append(s.events, ev), append(s.times, s.now)
	acts := s.e.Step(s.now, ev, nil)
	s.actions = append(s.actions, acts)
	retried := false
	for _, a := range acts {
		if a.Kind == ActionRetry && a.Invocation == ev.Invocation && ev.Kind == EventFinished {
			retried = true
		}
	}
	if ev.Kind == EventFinished && !retried && !slices.ContainsFunc(acts, func(a Action) bool {
		return a.Kind == ActionFail && a.Invocation == ev.Invocation
	}) {
		s.end(ev.Invocation)
	}
	for _, a := range acts {
		s.do(a)
	}
	s.check()
}

func (s *shell) end(id InvocationID) {
	if s.inv[id] == nil {
		s.t.Fatalf("invocation %d ended twice", id)
	}
	delete(s.inv, id)
	s.ended++
}

func (s *shell) do(a Action) {
	switch a.Kind {
	case ActionStart:
		if s.workers[a.Worker] != nil {
			s.t.Fatalf("worker %d started twice", a.Worker)
		}
		r := s.revs[a.Revision]
		s.workers[a.Worker] = &testWorker{
			rev: a.Revision, rung: a.Rung, recording: a.Recording, slots: max(int(r.config.Slots), 1), mib: int64(r.config.MemoryMiB[a.Rung]),
		}
		if a.Recording != ladder.RecordingNone {
			s.workers[a.Worker].mib += int64(a.Recording.MiB())
			if a.Rung != r.config.Ladder.Recorder(a.Recording) {
				s.t.Fatalf("a recorder of %v on rung %d", a.Recording, a.Rung)
			}
		}
		if w := s.workers[a.Worker]; a.Check {
			w.check, w.mib = true, max(w.mib, int64(r.config.MemoryMiB[0]))
			w.lane = s.e.revisions[a.Revision].rungs[a.Rung].lane
		}
		s.checkLimits(a.Check)
	case ActionAssign:
		w, inv := s.workers[a.Worker], s.inv[a.Invocation]
		if inv == nil || inv.worker >= 0 {
			s.t.Fatalf("assigned invocation %d, which does not wait", a.Invocation)
		}
		if w == nil || !w.ready || w.stopped || len(w.running) >= w.slots || w.rev != inv.rev {
			s.t.Fatalf("assigned to worker %d: %+v", a.Worker, w)
		}
		if !s.revs[w.rev].config.Ladder.Rungs[w.rung].Serves() && w.recording == ladder.RecordingNone {
			s.t.Fatalf("worker %d serves and does not record: %+v", a.Worker, w)
		}
		w.running = append(w.running, a.Invocation)
		inv.worker = a.Worker
	case ActionStop:
		w := s.workers[a.Worker]
		if w == nil || w.stopped || len(w.running) > 0 {
			s.t.Fatalf("stopped worker %d: %+v", a.Worker, w)
		}
		w.stopped = true
	case ActionReject:
		if s.inv[a.Invocation].worker >= 0 {
			s.t.Fatalf("rejected invocation %d, which runs", a.Invocation)
		}
		s.end(a.Invocation)
	case ActionFail:
		s.end(a.Invocation)
	case ActionRetry:
	case ActionBuild:
		if _, running := s.builds[buildKey(a.Revision, a.Rung)]; running {
			s.t.Fatalf("two builds of rung %d of revision %d", a.Rung, a.Revision)
		}
		if a.Version == 0 || a.Rung == ladder.First {
			s.t.Fatalf("build without a recording or a rung: %+v", a)
		}
		s.builds[buildKey(a.Revision, a.Rung)] = false
	case ActionCancelBuild:
		if _, running := s.builds[buildKey(a.Revision, a.Rung)]; !running {
			s.t.Fatalf("cancelled no build of rung %d of revision %d", a.Rung, a.Revision)
		}
		s.builds[buildKey(a.Revision, a.Rung)] = true
	case ActionDrop, ActionPrepared:
	case ActionRecord:
		if a.Cause != pipeline.EventNone {
			if to, err := a.From.Next(a.Cause); err != nil || to != a.To {
				s.t.Fatalf("recorded %v -%v-> %v: %v", a.From, a.Cause, a.To, err)
			}
		}
	case ActionWake:
		s.wake = a.At
	case ActionGone:
		if !s.revs[a.Revision].removed {
			s.t.Fatalf("revision %d is gone, but was not removed", a.Revision)
		}
		delete(s.revs, a.Revision)
	case ActionDrained:
		s.drained = true
	default:
		s.t.Fatalf("action %v: %+v", a.Kind, a)
	}
}

// checkLimits holds whenever a worker starts.
func (s *shell) checkLimits(check bool) {
	var mib int64
	starting, checking := 0, [lanes]int{}
	for _, w := range s.workers {
		mib += w.mib
		if !w.ready && !w.stopped && !w.check {
			starting++
		}
		if !w.ready && !w.stopped && w.check {
			checking[w.lane]++
		}
	}
	if s.config.MemoryMiB > 0 && mib > s.config.MemoryMiB {
		s.t.Fatalf("workers reserve %d MiB of %d", mib, s.config.MemoryMiB)
	}
	starting -= min(s.e.pool.LateStarts(), lateStarts*int(s.config.Starts))
	if !check && s.config.Starts > 0 && starting > int(s.config.Starts) {
		s.t.Fatalf("%d workers start at once, limit %d", starting, s.config.Starts)
	}
	if check && slices.Max(checking[:]) > int(max(s.config.LightBuilders, 1)) {
		s.t.Fatalf("%d checks at once, by lane", checking)
	}
}

// check holds after every event.
func (s *shell) check() {
	var mib int64
	recorders := map[RevisionID]int{}
	for _, w := range s.workers {
		mib += w.mib
		if w.recording != ladder.RecordingNone {
			recorders[w.rev]++
		}
	}
	for rev, n := range recorders {
		if n > 1 {
			s.t.Fatalf("%d recorders of revision %d", n, rev)
		}
	}
	if len(s.builds) > int(max(s.config.Builders, 1)+max(s.config.LightBuilders, 1)) {
		s.t.Fatalf("%d builds at once", len(s.builds))
	}
	waiting := 0
	for _, inv := range s.inv {
		if inv.worker < 0 {
			waiting++
		}
	}
	c := s.e.Counts()
	if int(c.Waiting) != waiting || int(c.Running) != len(s.inv)-waiting || c.Workers != len(s.workers) || c.ReservedMiB != mib {
		s.t.Fatalf("counts %+v; want %d waiting, %d running, %d workers, %d MiB", c, waiting, len(s.inv)-waiting, len(s.workers), mib)
	}
	if s.arrived-s.ended != len(s.inv) {
		s.t.Fatalf("%d arrived, %d ended, %d are left", s.arrived, s.ended, len(s.inv))
	}
}

// pick is one key of a map, in an order that a seed repeats.
func pick[K ~int32, V any](s *shell, m map[K]V, ok func(K, V) bool) (K, bool) {
	var keys []K
	for k, v := range m {
		if ok(k, v) {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return 0, false
	}
	slices.Sort(keys)
	return rapid.SampledFrom(keys).Draw(s.t, "key"), true
}

func (s *shell) setFunction(id FunctionID) {
	t := s.t
	c := &FunctionConfig{
		Reserved:   rapid.SampledFrom([]int32{-1, -1, 0, 1, 5}).Draw(t, "reserved"),
		QueueLimit: rapid.SampledFrom([]int32{0, 0, 3}).Draw(t, "queue"),
		NoOptimize: rapid.IntRange(0, 9).Draw(t, "off") == 0,
		NoCheck:    rapid.IntRange(0, 3).Draw(t, "unchecked") == 0,
		Deopt:      rapid.SampledFrom([]function.DeoptMode{function.DeoptReexecute, function.DeoptError}).Draw(t, "deopt"),
		Params: policy.Params{
			KeepAlive: rapid.SampledFrom([]int64{0, int64(time.Second), int64(time.Minute)}).Draw(t, "keep"),
			Threshold: rapid.Int32Range(0, 2).Draw(t, "threshold"), Window: int64(time.Minute),
			Prepare: rapid.SampledFrom([]policy.Prepare{policy.PrepareFirstUse, policy.PrepareDeploy, policy.PrepareNever}).Draw(t, "prepare"),
		},
	}
	s.fns[id] = c
	s.step(Event{Kind: EventFunctionSet, Function: id, FunctionConfig: c})
}

func (s *shell) addRevision(fn FunctionID) {
	t := s.t
	id := RevisionID(0)
	for s.revs[id] != nil {
		id++
	}
	big := rapid.SampledFrom([]int32{100, 300, 900}).Draw(t, "MiB")
	c := RevisionConfig{
		Function: fn, Ladder: rapid.SampledFrom([]*ladder.Ladder{climbing, whole, direct, profiled}).Draw(t, "ladder"),
		Slots:     rapid.SampledFrom([]int32{0, 1, 3}).Draw(t, "slots"),
		InitLimit: int64(10 * time.Second), InitMost: int64(time.Minute),
		Wait: rapid.SampledFrom([]int64{0, int64(2 * time.Second)}).Draw(t, "wait"),
	}
	c.MemoryMiB = reserves(c.Ladder, big, big/3)
	s.revs[id] = &testRevision{fn: fn, config: c}
	s.step(Event{Kind: EventRevisionAdded, Revision: id, RevisionConfig: &c})
}

func (s *shell) removeRevisions(fn FunctionID) {
	for _, r := range s.revs {
		if r.fn == fn {
			r.removed = true
		}
	}
}

// act does one thing that may happen.
func (s *shell) act(draining bool) bool {
	t := s.t
	any := func(RevisionID, *testRevision) bool { return true }
	live := func(_ RevisionID, r *testRevision) bool { return !r.removed }
	kind := rapid.SampledFrom([]string{
		"arrive", "arrive", "arrive", "finish", "finish", "finish", "ready", "ready", "ready", "exit", "exit", "start-fails",
		"crash", "cancel", "wake", "metadata", "samples", "build", "config", "operator", "revise", "remove", "configure",
	}).Draw(t, "kind")
	s.now += rapid.SampledFrom([]int64{0, 1, int64(time.Millisecond), int64(time.Second), int64(time.Minute)}).Draw(t, "later")
	if s.wake >= 0 && s.now > s.wake && rapid.Bool().Draw(t, "on time") {
		s.now = max(s.wake, s.times[len(s.times)-1])
		kind = "wake"
	}
	switch kind {
	case "arrive":
		rev, ok := pick(s, s.revs, any)
		if !ok || draining {
			return false
		}
		for range rapid.SampledFrom([]int{1, 1, 4}).Draw(t, "burst") {
			if s.revs[rev] == nil {
				break
			}
			s.inv[s.nextInv] = &testInvocation{rev: rev, worker: -1}
			s.arrived++
			s.step(Event{Kind: EventArrived, Revision: rev, Invocation: s.nextInv})
			s.nextInv++
		}
	case "finish":
		id, ok := pick(s, s.inv, func(_ InvocationID, i *testInvocation) bool { return i.worker >= 0 })
		if !ok {
			return false
		}
		out := rapid.SampledFrom([]function.Outcome{
			function.OutcomeOK, function.OutcomeOK, function.OutcomeOK, function.OutcomeHandlerError,
			function.OutcomeTimeout, function.OutcomeCrashed, function.OutcomeDeoptimized, function.OutcomeUnknown,
		}).Draw(t, "outcome")
		s.finish(id, out)
	case "ready":
		id, ok := pick(s, s.workers, func(_ WorkerID, w *testWorker) bool { return !w.ready && !w.stopped })
		if !ok {
			return false
		}
		s.workers[id].ready = true
		s.step(Event{Kind: EventWorkerReady, Worker: id})
	case "exit":
		id, ok := pick(s, s.workers, func(_ WorkerID, w *testWorker) bool { return w.stopped })
		if !ok {
			return false
		}
		s.exit(id)
	case "start-fails":
		id, ok := pick(s, s.workers, func(_ WorkerID, w *testWorker) bool { return !w.ready })
		if !ok {
			return false
		}
		delete(s.workers, id)
		s.step(Event{Kind: EventWorkerFailed, Worker: id, Failure: rapid.SampledFrom([]Failure{
			FailureSandbox, FailureInit, FailureSlow, FailureMetadata, FailureStale, FailureDiffers, FailureRemembers,
		}).Draw(t, "failure"), Version: uint32(rapid.IntRange(0, 2).Draw(t, "samples")), Cost: ladder.Cost{Wall: time.Second}})
	case "crash":
		id, ok := pick(s, s.workers, func(_ WorkerID, w *testWorker) bool { return w.ready && !w.stopped })
		if !ok {
			return false
		}
		s.exit(id)
	case "cancel":
		id, ok := pick(s, s.inv, func(InvocationID, *testInvocation) bool { return true })
		if !ok {
			return false
		}
		s.step(Event{Kind: EventCancelled, Invocation: id})
	case "wake":
		if s.wake < 0 {
			return false
		}
		s.now = max(s.now, s.wake)
		s.wake = -1
		s.step(Event{Kind: EventWoke})
	case "metadata":
		rev, ok := pick(s, s.revs, func(_ RevisionID, r *testRevision) bool { return r.config.Ladder != direct })
		if !ok {
			return false
		}
		x := ladder.RecordingMetadata
		if s.revs[rev].config.Ladder == whole && rapid.Bool().Draw(t, "classes") {
			x = ladder.RecordingClasses
		}
		if s.revs[rev].config.Ladder == profiled && rapid.Bool().Draw(t, "profile") {
			x = ladder.RecordingProfile
		}
		version := &s.revs[rev].versions[x]
		*version += uint32(rapid.IntRange(0, 1).Draw(t, "new"))
		if *version > 0 {
			s.step(Event{Kind: EventRecording, Revision: rev, Recording: x, Version: *version, Complete: rapid.IntRange(0, 4).Draw(t, "complete") == 0})
		}
	case "samples":
		rev, ok := pick(s, s.revs, any)
		if !ok {
			return false
		}
		s.revs[rev].samples++
		s.step(Event{Kind: EventSamples, Revision: rev, Version: s.revs[rev].samples, Complete: rapid.Bool().Draw(t, "complete")})
	case "build":
		rev, ok := pick(s, s.builds, func(int32, bool) bool { return true })
		if !ok {
			return false
		}
		s.endBuild(rev, rapid.SampledFrom([]Failure{FailureNone, FailureNone, FailureBuild, FailureInputs}).Draw(t, "build"))
	case "config":
		id, ok := pick(s, s.fns, func(FunctionID, *FunctionConfig) bool { return true })
		if !ok {
			return false
		}
		s.setFunction(id)
	case "configure":
		c := drawConfig(t)
		c.Builders = s.config.Builders
		s.config = c
		s.step(Event{Kind: EventConfigured, NodeConfig: &c})
	case "operator":
		rev, ok := pick(s, s.revs, func(_ RevisionID, r *testRevision) bool {
			return !r.removed && r.config.Ladder != direct && !s.fns[r.fn].NoOptimize
		})
		if !ok {
			return false
		}
		if rapid.Bool().Draw(t, "deoptimize") {
			s.step(Event{Kind: EventDeoptimize, Revision: rev})
		} else if rapid.IntRange(0, 3).Draw(t, "stale") == 0 {
			s.step(Event{Kind: EventStale, Revision: rev, Rung: ladder.ID(rapid.IntRange(1, 2).Draw(t, "rung"))})
		} else {
			rung := ladder.ID(rapid.IntRange(1, 2).Draw(t, "rung"))
			if s.revs[rev].config.Ladder == profiled && rapid.Bool().Draw(t, "with a profile") {
				rung = 4
			}
			s.step(Event{Kind: EventOptimize, Revision: rev, Rung: rung})
		}
	case "revise":
		fn, ok := pick(s, s.fns, func(FunctionID, *FunctionConfig) bool { return true })
		if !ok || draining {
			return false
		}
		if old, ok := pick(s, s.revs, live); ok {
			s.revs[old].removed = true
			s.step(Event{Kind: EventRevisionRemoved, Revision: old})
		}
		s.addRevision(fn)
	case "remove":
		if draining || rapid.IntRange(0, 4).Draw(t, "really") > 0 {
			return false
		}
		fn, ok := pick(s, s.fns, func(FunctionID, *FunctionConfig) bool { return true })
		if !ok {
			return false
		}
		delete(s.fns, fn)
		s.removeRevisions(fn)
		s.step(Event{Kind: EventFunctionRemoved, Function: fn})
		fresh := FunctionID(len(s.events)) // an identifier that nobody has
		s.setFunction(fresh)
		s.addRevision(fresh)
	}
	return true
}

func (s *shell) finish(id InvocationID, out function.Outcome) {
	w := s.inv[id].worker
	wk := s.workers[w]
	wk.running = slices.DeleteFunc(wk.running, func(i InvocationID) bool { return i == id })
	s.inv[id].worker = -1
	s.step(Event{Kind: EventFinished, Invocation: id, Worker: w, Outcome: out})
}

// exit ends a worker; what it still ran is lost with it.
func (s *shell) exit(id WorkerID) {
	for _, i := range s.workers[id].running {
		s.inv[i].worker = -1
	}
	delete(s.workers, id)
	s.step(Event{Kind: EventWorkerExited, Worker: id})
}

// buildKey is a build's: a revision has one for each rung at most.
func buildKey(rev RevisionID, rung ladder.ID) int32 { return int32(rev)*ladder.Max + int32(rung) }

func (s *shell) endBuild(key int32, failure Failure) {
	delete(s.builds, key)
	rev, rung := RevisionID(key/ladder.Max), ladder.ID(key%ladder.Max)
	if failure == FailureNone {
		s.step(Event{Kind: EventBuildDone, Revision: rev, Rung: rung, Cost: ladder.Cost{Wall: time.Second, DiskMB: 10}})
	} else {
		s.step(Event{Kind: EventBuildFailed, Revision: rev, Rung: rung, Failure: failure})
	}
}

// quiet answers everything that is outstanding, well, until nothing is.
func (s *shell) quiet() {
	for range 100000 {
		if id, ok := first(s.inv, func(i *testInvocation) bool { return i.worker >= 0 }); ok {
			s.finish(id, function.OutcomeOK)
		} else if id, ok := first(s.workers, func(w *testWorker) bool { return w.stopped }); ok {
			s.exit(id)
		} else if id, ok := first(s.workers, func(w *testWorker) bool { return !w.ready }); ok {
			s.workers[id].ready = true
			s.step(Event{Kind: EventWorkerReady, Worker: id})
		} else if rev, ok := first(s.builds, func(bool) bool { return true }); ok {
			s.endBuild(rev, FailureNone)
		} else if s.wake >= 0 && len(s.inv) > 0 {
			s.now = max(s.now, s.wake)
			s.wake = -1
			s.step(Event{Kind: EventWoke})
		} else {
			return
		}
	}
	s.t.Fatal("does not come to rest")
}

func first[K ~int32, V any](m map[K]V, ok func(V) bool) (K, bool) {
	best, found := K(0), false
	for k, v := range m {
		if ok(v) && (!found || k < best) {
			best, found = k, true
		}
	}
	return best, found
}
