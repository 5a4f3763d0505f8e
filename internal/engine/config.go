package engine

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/pool"
)

// DefaultTraceLimit is the paper's (4.1).
const DefaultTraceLimit = 1000

// configure takes the limits, with the defaults in the place of zeros.
func (e *Engine) configure(c NodeConfig) {
	if c.Builders == 0 {
		c.Builders = 1
	}
	if c.TraceLimit == 0 {
		c.TraceLimit = DefaultTraceLimit
	}
	if c.Patience == 0 {
		c.Patience = int64(time.Second)
	}
	e.config = c
	e.pool.SetBudget(max(c.MemoryMiB, 0))
}

// reconfigured gives up idle workers over a smaller budget, and invocations that no longer fit
// at all; a larger budget lets others start.
func (e *Engine) reconfigured() {
	for !e.pool.FitsSoon(0) && e.pool.Oldest() != pool.None {
		e.stop(e.pool.Oldest(), ReasonEvicted)
	}
	for id := range e.revisions {
		r := &e.revisions[id]
		if !r.used {
			continue
		}
		if r.checkWanted && !e.pool.FitsEver(r.mem[function.TierNative]) {
			r.checkWanted = false
			e.checkFailed(RevisionID(id), FailureInit)
		}
		e.admit(RevisionID(id))
		e.settle(RevisionID(id))
	}
	e.room()
	e.startBuilds()
}

// functionSet adds or changes a function.
func (e *Engine) functionSet(ev Event) {
	if ev.Function < 0 || ev.FunctionConfig == nil {
		e.illegal(ev, ReasonMalformed)
		return
	}
	for int(ev.Function) >= len(e.functions) {
		e.functions = append(e.functions, fn{})
	}
	f := &e.functions[ev.Function]
	if f.removed {
		e.illegal(ev, ReasonTaken)
		return
	}
	if !f.used {
		*f = fn{used: true, revs: noRevision}
	}
	f.config = *ev.FunctionConfig
	for id := f.revs; id != noRevision; {
		rev := id
		id = e.revisions[id].sibling
		if f.config.NoOptimize {
			e.turnOff(rev)
		} else {
			e.admit(rev)
		}
	}
}

// turnOff brings a revision back to plain HotSpot, with what was learned.
func (e *Engine) turnOff(rev RevisionID) {
	r := &e.revisions[rev]
	e.cancelBuild(rev, ReasonNoOptimize)
	r.mark, r.saved.Wanted = function.LevelNone, function.LevelNone
	if e.native(r) {
		r.saved.Level, r.saved.Complete = function.LevelNone, true
		e.move(rev, pipeline.EventUnusable, ReasonNoOptimize, 0)
		e.dropNatives(rev, ReasonNoOptimize)
	} else if r.saved.State.Phase != pipeline.PhaseIdle {
		e.move(rev, pipeline.EventCancelled, ReasonNoOptimize, 0)
	}
	e.settle(rev)
}

// functionRemoved ends everything of a function but what runs.
func (e *Engine) functionRemoved(ev Event) {
	if uint(ev.Function) >= uint(len(e.functions)) || !e.functions[ev.Function].used {
		e.illegal(ev, ReasonUnknownFunction)
		return
	}
	f := &e.functions[ev.Function]
	if f.revs == noRevision {
		*f = fn{}
		return
	}
	f.removed = true
	for id := f.revs; id != noRevision; {
		rev := id
		id = e.revisions[id].sibling
		e.rejectAll(rev, ReasonRevisionGone)
		e.retire(rev)
	}
}

func (e *Engine) rejectAll(rev RevisionID, why Reason) {
	r := &e.revisions[rev]
	for r.queue.n > 0 {
		e.rejectWaiting(r.queue.head, why)
	}
	for r.retries.n > 0 {
		e.rejectWaiting(r.retries.head, why)
	}
}

// revisionAdded adds a revision, new or from before a restart.
func (e *Engine) revisionAdded(ev Event) {
	c := ev.RevisionConfig
	if ev.Revision < 0 || c == nil || !legalSaved(&c.Restored) {
		e.illegal(ev, ReasonMalformed)
		return
	}
	if uint(c.Function) >= uint(len(e.functions)) || !e.functions[c.Function].used || e.functions[c.Function].removed {
		e.illegal(ev, ReasonUnknownFunction)
		return
	}
	for int(ev.Revision) >= len(e.revisions) {
		e.revisions = append(e.revisions, revision{})
	}
	if e.revisions[ev.Revision].used {
		e.illegal(ev, ReasonTaken)
		return
	}
	e.pool.Grow(pool.GroupID(ev.Revision))
	f := &e.functions[c.Function]
	r := &e.revisions[ev.Revision]
	*r = revision{
		id: ev.Revision, fn: c.Function, used: true, direct: c.Direct, slots: max(c.Slots, 1), mem: c.MemoryMiB,
		tracer: pool.None, checker: pool.None, saved: c.Restored, added: e.now,
		sibling: f.revs, starvedPrev: noRevision, starvedNx: noRevision,
	}
	f.revs = ev.Revision
	s := &r.saved
	if c.Direct {
		*s = pipeline.Saved{State: pipeline.State{Stage: pipeline.StageDirect}}
		return
	}
	if s.State.Phase != pipeline.PhaseIdle { // a restart cut the build off
		r.mark, r.markReason = s.Wanted, ReasonRestarted
		s.State.Phase, s.Wanted = pipeline.PhaseIdle, function.LevelNone
	}
	if !s.Complete && s.State.Stage == pipeline.StageTrace && s.Deopts > 0 {
		r.leastVersion = s.BuiltVersion + 1
	}
	if f.config.NoOptimize {
		e.turnOff(ev.Revision)
	}
	e.admit(ev.Revision)
}

// legalSaved reports whether a restored state can have been saved.
func legalSaved(s *pipeline.Saved) bool {
	return s.State.Stage <= pipeline.StageNative && s.State.Phase <= pipeline.PhaseChecking &&
		s.Level <= function.LevelOptimized && s.Wanted <= function.LevelOptimized &&
		(s.State.Stage == pipeline.StageNative) == (s.Level != function.LevelNone) &&
		(s.State.Stage != pipeline.StageHotSpot || s.Version > 0)
}

// revisionRemoved lets a revision run out.
func (e *Engine) revisionRemoved(ev Event) {
	if e.revision(ev.Revision) == nil {
		e.illegal(ev, ReasonUnknownRevision)
		return
	}
	e.retire(ev.Revision)
}

// retire stops what is not needed for the invocations that a revision still has.
func (e *Engine) retire(rev RevisionID) {
	r := &e.revisions[rev]
	r.removed = true
	e.cancelBuild(rev, ReasonRevisionGone)
	if r.saved.State.Phase != pipeline.PhaseIdle {
		e.move(rev, pipeline.EventCancelled, ReasonRevisionGone, 0)
	}
	e.stopIdle(rev, ReasonRevisionGone)
	e.settle(rev)
}

// maybeGone forgets a removed revision when nothing is left of it, and its function with the last.
func (e *Engine) maybeGone(rev RevisionID) {
	r := e.revision(rev)
	if r == nil || !r.removed || r.queue.n+r.retries.n > 0 || r.building || e.pool.Live(e.group(r)) > 0 {
		return
	}
	e.unstarve(rev)
	f := &e.functions[r.fn]
	if f.revs == rev {
		f.revs = r.sibling
	} else {
		for id := f.revs; id != noRevision; id = e.revisions[id].sibling {
			if e.revisions[id].sibling == rev {
				e.revisions[id].sibling = r.sibling
				break
			}
		}
	}
	if f.removed && f.revs == noRevision {
		*f = fn{}
	}
	*r = revision{}
	e.emit(Action{Kind: ActionGone, Revision: rev})
}

// Saved is the pipeline state of a revision to persist; false if there is no such revision.
func (e *Engine) Saved(rev RevisionID) (pipeline.Saved, bool) {
	if r := e.revision(rev); r != nil {
		return r.saved, true
	}
	return pipeline.Saved{}, false
}

// ColdStarts is how many of the last cold starts of a function were inside its window, up to
// one more than its threshold.
func (e *Engine) ColdStarts(now int64, f FunctionID) int {
	if uint(f) >= uint(len(e.functions)) {
		return 0
	}
	fn := &e.functions[f]
	return fn.recent.Count(now, fn.config.Params.Window)
}

// Counts is what a node has now.
type Counts struct {
	Waiting, Running            int32 // invocations
	Workers, Starting           int
	ReservedMiB, BudgetMiB      int64
	BuildsRunning, BuildsQueued int
}

// Counts returns the engine's present numbers.
func (e *Engine) Counts() Counts {
	return Counts{
		Waiting: e.waiting, Running: e.inflight - e.waiting,
		Workers: e.pool.Workers(), Starting: e.pool.Starting(),
		ReservedMiB: e.pool.Reserved(), BudgetMiB: e.pool.Budget(),
		BuildsRunning: int(e.building), BuildsQueued: len(e.builds),
	}
}

// RevisionCounts is what a revision has now.
type RevisionCounts struct {
	// Tier is how a worker that starts now runs.
	Tier                             function.Tier
	Waiting, Idle, Starting, Workers int32
	Invocations, ColdStarts          uint64
	Traced                           int32
}

// RevisionCounts returns the present numbers of a revision; zero if there is none.
func (e *Engine) RevisionCounts(rev RevisionID) RevisionCounts {
	r := e.revision(rev)
	if r == nil {
		return RevisionCounts{}
	}
	g := e.group(r)
	return RevisionCounts{
		Tier:    e.tier(r),
		Waiting: r.queue.n + r.retries.n, Idle: e.pool.Idles(g), Starting: e.pool.InStart(g), Workers: e.pool.Live(g),
		Invocations: r.invocations, ColdStarts: r.colds, Traced: r.traced,
	}
}
