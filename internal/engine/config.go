package engine

import (
	"slices"
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/pool"
)

// DefaultTraceLimit is the paper's (4.1).
const DefaultTraceLimit = 1000

// configure takes the limits, with the defaults in the place of zeros.
func (e *Engine) configure(c NodeConfig) {
	if c.Builders == 0 {
		c.Builders = 1
	}
	if c.LightBuilders == 0 {
		c.LightBuilders = 1
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
		if rung := r.nextCheck(); rung != ladder.First && !e.pool.FitsEver(r.checkMiB(rung)) {
			e.checkFailed(RevisionID(id), rung, Event{Failure: FailureInit})
		}
		e.admitAll(RevisionID(id))
		e.settle(RevisionID(id))
	}
	e.room()
	e.startBuilds()
	e.spareDisk()
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
			e.bar(&e.revisions[rev])
			e.consider(rev)
			e.admitAll(rev)
			e.settle(rev)
		}
	}
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
	if ev.Revision < 0 || c == nil || !c.Restored.Legal() || c.Ladder == nil || c.Ladder.Check() != nil || len(c.MemoryMiB) != len(c.Ladder.Rungs) {
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
	rungs := len(c.Ladder.Rungs)
	*r = revision{
		id: ev.Revision, fn: c.Function, used: true, slots: max(c.Slots, 1), recorder: pool.None,
		ladder: e.ladder(c.Ladder), code: c.Ladder.Codes(), views: make([]policy.RungView, rungs), added: e.now,
		climb: &climb{
			rungs: make([]artifact, rungs), serve: ladder.ID(rungs - 1),
			memory: slices.Clone(c.MemoryMiB), workerMB: c.WorkerMB,
		},
		follows:   c.Follows,
		initLimit: c.InitLimit, initMost: max(c.InitMost, c.InitLimit), wait: c.Wait,
		sibling: f.revs, starvedPrev: noRevision, starvedNx: noRevision,
	}
	if r.workerMB <= 0 {
		r.workerMB = float64(r.memory[0]) * (1 << 20) / 1e6
	}
	f.revs = ev.Revision
	e.restore(r, c)
	e.estimate(r)
	if f.config.NoOptimize {
		e.turnOff(ev.Revision)
		return
	}
	e.consider(ev.Revision)
	e.admitAll(ev.Revision)
	if f.config.Params.Prepare == policy.PrepareDeploy && !r.follows && (len(c.Restored.Rungs) == 0 || c.Restored.Preparing) && !c.Parked {
		e.prepare(ev.Revision)
		e.settle(ev.Revision)
	}
}

// restore takes the state from before a restart, by the names of the rungs: a ladder may have changed.
func (e *Engine) restore(r *revision, c *RevisionConfig) {
	s := &c.Restored
	why := ReasonRestarted
	if c.Inherited {
		why = ReasonInherited
	}
	for x := range r.recordings {
		r.recordings[x].Recording = s.Recordings[x]
		if s.Recordings[x].Phase != pipeline.PhaseAbsent && !r.ladder.Records(ladder.Recording(x)) {
			r.recordings[x].Recording = pipeline.Recording{}
		}
		r.recordings[x].forced = s.Recordings[x].Least > s.Recordings[x].Version
	}
	for id := range r.rungs {
		a := &r.rungs[id]
		a.checker = pool.None
		name := r.ladder.Rungs[id].Name
		if saved := s.Rung(name); saved != nil && id > 0 {
			a.Rung = *saved
		}
		a.Name = name
		if a.Phase.Making() { // a restart cut the build off, or the revision before had it
			a.Phase, a.wanted, a.why = pipeline.PhaseAbsent, true, why
		}
		r.views[id].Ready = id == 0 || a.Phase == pipeline.PhaseReady
		r.views[id].Failures, r.views[id].Falls = a.Failures, a.Falls
		if a.Phase == pipeline.PhaseReady {
			e.disk += a.DiskMB
		}
	}
	r.samples = s.Samples
	r.resume(why)
	e.bar(r)
	r.climbed()
}

// resume goes on with recordings that no worker takes which is started for an invocation: who wanted them still does.
func (r *revision) resume(why Reason) {
	for id := 1; id < len(r.rungs); id++ {
		a, row := &r.rungs[id], &r.ladder.Rungs[id]
		if row.Also != ladder.RecordingNone && a.Phase == pipeline.PhaseAbsent && r.recordings[row.Also].Phase == pipeline.PhaseRecording {
			a.wanted, a.why = true, why
			if r.ladder.Recorder(row.Also) == ladder.First {
				r.recordings[row.Also].forced, r.aside = true, row.Also
			}
		}
		if x := row.Recorder; x != ladder.RecordingNone && r.recordings[x].Phase == pipeline.PhaseRecording {
			r.recordings[x].forced = true
			if a.Phase == pipeline.PhaseReady {
				r.aside = x
			} else if !a.wanted {
				a.wanted, a.why = true, why
			}
		}
	}
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
	for id := 1; id < len(r.rungs); id++ {
		rung := ladder.ID(id)
		e.cancelBuild(rev, rung, ReasonRevisionGone)
		e.endCheck(rev, rung, ReasonRevisionGone)
		if r.rungs[id].Phase.Making() {
			e.move(rev, rung, pipeline.EventCancelled, ReasonRevisionGone, 0)
		}
	}
	r.aside, r.again = ladder.RecordingNone, 0
	e.prepared(rev, ReasonRevisionGone)
	e.stopIdle(rev, ReasonRevisionGone)
	e.settle(rev)
}

// maybeGone forgets a removed revision when nothing is left of it, and its function with the last.
func (e *Engine) maybeGone(rev RevisionID) {
	r := e.revision(rev)
	if r == nil || !r.removed || r.queue.n+r.retries.n > 0 || r.building() || e.pool.Live(e.group(r)) > 0 {
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
	for id := range r.rungs {
		if r.rungs[id].Phase == pipeline.PhaseReady {
			e.disk -= r.rungs[id].DiskMB
		}
	}
	*r = revision{}
	e.emit(Action{Kind: ActionGone, Revision: rev})
}

// building reports whether a builder works on one of its artifacts.
func (r *revision) building() bool {
	for id := range r.rungs {
		if r.rungs[id].building {
			return true
		}
	}
	return false
}
