package engine

import (
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/pool"
)

// move is the one place that writes a pipeline's state. At is when it may go on, 0 if it does not wait.
func (e *Engine) move(rev RevisionID, cause pipeline.Event, why Reason, at int64) bool {
	r := &e.revisions[rev]
	from := r.saved.State
	to, err := from.Next(cause)
	if err != nil {
		e.emit(Action{Kind: ActionIllegal, Revision: rev, From: from, Cause: cause, Reason: ReasonWrongState})
		return false
	}
	r.saved.State = to
	e.emit(Action{Kind: ActionRecord, Revision: rev, From: from, To: to, Cause: cause, Reason: why,
		Level: r.saved.Wanted, Version: r.saved.Version, At: at})
	return true
}

// note records something that did not move the state.
func (e *Engine) note(rev RevisionID, why Reason, at int64) {
	s := e.revisions[rev].saved
	e.emit(Action{Kind: ActionRecord, Revision: rev, From: s.State, To: s.State, Reason: why, Level: s.Wanted, Version: s.Version, At: at})
}

// native reports whether new workers of a revision run its binary.
func (e *Engine) native(r *revision) bool { return r.saved.State.Stage == pipeline.StageNative }

// mayTrace reports whether a tracing worker may start or go on, if there is no other.
func (e *Engine) mayTrace(r *revision) bool {
	return r.saved.State.Stage == pipeline.StageTrace &&
		!r.removed && !e.functions[r.fn].config.NoOptimize &&
		e.now >= r.traceNotBefore && r.traced < e.config.TraceLimit &&
		e.pool.FitsEver(r.mem[function.TierHotSpotAgent])
}

// metadata notes a new version, which may let a build start.
func (e *Engine) metadata(ev Event) {
	r := e.revision(ev.Revision)
	switch {
	case r == nil:
		e.illegal(ev, ReasonUnknownRevision)
		return
	case r.direct:
		e.illegal(ev, ReasonWrongState)
		return
	case ev.Version < r.saved.Version || ev.Version == 0:
		e.illegal(ev, ReasonMalformed)
		return
	}
	r.saved.Version = ev.Version
	if ev.Complete && !r.saved.Complete {
		e.complete(ev.Revision, ReasonImported)
	}
	e.admit(ev.Revision)
}

// traceEnded is the end of the tracing worker, with all its metadata merged.
func (e *Engine) traceEnded(rev RevisionID) {
	r := &e.revisions[rev]
	switch {
	case r.saved.Complete || r.removed:
	case r.traceServed == 0 && r.traced < e.config.TraceLimit:
		// It died before it served: the next worker traces again.
	case r.saved.Version == 0:
		e.tracerFailed(rev)
	default:
		e.complete(rev, ReasonTraced)
		e.admit(rev)
	}
}

// complete ends the first stage. If tracing learned nothing new after a deoptimization, there is
// nothing more to learn.
func (e *Engine) complete(rev RevisionID, why Reason) {
	r := &e.revisions[rev]
	r.saved.Complete = true
	r.traceFailures = 0
	r.leastVersion = min(r.leastVersion, r.saved.Version)
	e.move(rev, pipeline.EventTraced, why, 0)
}

// tracerFailed lets plain HotSpot serve for a while.
func (e *Engine) tracerFailed(rev RevisionID) {
	r := &e.revisions[rev]
	r.traceFailures++
	r.traced, r.traceServed = 0, 0
	r.traceNotBefore = e.now + e.policy.BuildBackoff(r.traceFailures)
	e.note(rev, ReasonTracerFailed, r.traceNotBefore)
}

// viewOf is what the policy sees of a revision, until the next call.
func (e *Engine) viewOf(rev RevisionID) *policy.View {
	r := &e.revisions[rev]
	f := &e.functions[r.fn]
	v := &e.view
	v.Function, v.Revision, v.Params = r.fn, rev, f.config.Params
	v.Tier, v.Level = function.TierUnknown, r.saved.Level
	v.MemoryMiB, v.Recent = &r.mem, &f.recent
	v.Invocations, v.ColdStarts, v.NativeInvocations = r.invocations, r.colds, r.natives
	v.Busy, v.Added = r.busy, r.added
	v.BuildFailures, v.Deopts = r.saved.BuildFailures, r.saved.Deopts
	return v
}

// consider asks the policy whether a build is worth it.
func (e *Engine) consider(rev RevisionID) {
	r := &e.revisions[rev]
	if r.direct || r.removed || e.drain || e.functions[r.fn].config.NoOptimize {
		return
	}
	v := e.viewOf(rev)
	v.Tier = e.tier(r)
	e.decide(rev, e.policy.Promote(e.now, v), ReasonPolicy)
}

// decide marks a revision for a build of a level, which starts as soon as it can.
func (e *Engine) decide(rev RevisionID, level function.Level, why Reason) {
	r := &e.revisions[rev]
	if level <= r.saved.Level || level <= r.mark {
		return
	}
	r.mark, r.markReason = level, why
	e.admit(rev)
}

// admit queues the build that a revision is marked for, if nothing stands against it.
func (e *Engine) admit(rev RevisionID) {
	r := &e.revisions[rev]
	switch {
	case r.mark <= r.saved.Level, r.saved.State.Phase != pipeline.PhaseIdle,
		r.removed, e.drain, e.config.Builders < 0, e.functions[r.fn].config.NoOptimize:
		return
	case r.saved.Version == 0, r.saved.Version < r.leastVersion, r.saved.Version == r.saved.FailedVersion:
		return // until there is other metadata
	case r.saved.NotBefore > e.now:
		if r.toldBackoff != r.saved.NotBefore {
			r.toldBackoff = r.saved.NotBefore
			e.timers.push(r.saved.NotBefore, rev)
			e.note(rev, ReasonBackoff, r.saved.NotBefore)
		}
		return
	}
	r.saved.Wanted = r.mark
	if e.move(rev, pipeline.EventPromoted, r.markReason, 0) {
		e.builds = append(e.builds, rev)
		e.startBuilds()
	}
}

// startBuilds gives free builders the queued revisions that the policy puts first.
func (e *Engine) startBuilds() {
	for !e.drain && e.building < e.config.Builders {
		best, score := -1, 0.0
		for i, rev := range e.builds {
			r := &e.revisions[rev]
			if r.building {
				continue // its cancelled build has not ended yet
			}
			v := e.viewOf(rev)
			v.Tier = e.tier(r)
			if s := e.policy.Priority(e.now, v); best < 0 || s > score {
				best, score = i, s
			}
		}
		if best < 0 {
			return
		}
		rev := e.builds[best]
		e.builds = append(e.builds[:best], e.builds[best+1:]...)
		r := &e.revisions[rev]
		if !e.move(rev, pipeline.EventBuildStarted, ReasonTurn, 0) {
			continue
		}
		r.building, r.interrupted, r.version = true, false, r.saved.Version
		e.building++
		e.emit(Action{Kind: ActionBuild, Revision: rev, Level: r.saved.Wanted, Version: r.version})
	}
}

// builderFree takes the end of a build, wanted or not; false if there was none.
func (e *Engine) builderFree(ev Event) bool {
	r := e.revision(ev.Revision)
	if r == nil {
		e.illegal(ev, ReasonUnknownRevision)
		return false
	}
	if !r.building {
		e.illegal(ev, ReasonWrongState)
		return false
	}
	r.building = false
	e.building--
	return true
}

// buildDone starts a worker of the new binary: only if it comes up does the binary serve.
func (e *Engine) buildDone(ev Event) {
	if !e.builderFree(ev) {
		return
	}
	r := &e.revisions[ev.Revision]
	if r.saved.State.Phase == pipeline.PhaseBuilding && !e.drain {
		e.move(ev.Revision, pipeline.EventBuilt, ReasonBuilt, 0)
		r.checkTries = 0
		if e.pool.FitsEver(r.mem[function.TierNative]) {
			r.checkWanted = true
		} else {
			e.checkFailed(ev.Revision, FailureInit)
		}
	}
	e.startBuilds()
	e.settle(ev.Revision)
}

// buildFailed backs off; what serves goes on serving.
func (e *Engine) buildFailed(ev Event) {
	if !e.builderFree(ev) {
		return
	}
	r := &e.revisions[ev.Revision]
	if r.saved.State.Phase == pipeline.PhaseBuilding && !e.drain {
		why := ReasonBuildFailed
		if ev.Failure == FailureInputs {
			why = ReasonInputsFailed
			r.saved.FailedVersion = r.version
		}
		e.backOff(ev.Revision, pipeline.EventBuildFailed, why)
	}
	e.admit(ev.Revision)
	e.startBuilds()
	e.maybeGone(ev.Revision)
}

// backOff moves a revision back from its build; the next try waits.
func (e *Engine) backOff(rev RevisionID, cause pipeline.Event, why Reason) {
	r := &e.revisions[rev]
	r.saved.BuildFailures++
	r.saved.NotBefore = e.now + e.policy.BuildBackoff(r.saved.BuildFailures)
	r.saved.Wanted = function.LevelNone
	if e.move(rev, cause, why, r.saved.NotBefore) {
		r.toldBackoff = r.saved.NotBefore
		e.timers.push(r.saved.NotBefore, rev)
	}
}

// checked makes the new binary the one that serves.
func (e *Engine) checked(rev RevisionID) {
	r := &e.revisions[rev]
	if !e.move(rev, pipeline.EventChecked, ReasonChecked, 0) {
		return
	}
	r.saved.Level, r.saved.BuiltVersion, r.saved.Wanted = r.saved.Wanted, r.version, function.LevelNone
	r.saved.BuildFailures, r.nativeFailures, r.natives = 0, 0, 0
	if r.mark <= r.saved.Level {
		r.mark = function.LevelNone
	}
}

// checkFailed leaves what served before. A binary that meets a missing element while it starts
// needs more metadata, unless an older binary serves.
func (e *Engine) checkFailed(rev RevisionID, why Failure) {
	r := &e.revisions[rev]
	switch {
	case r.saved.State.Phase != pipeline.PhaseChecking: // cancelled meanwhile
	case why == FailureSandbox && r.checkTries < startAttempts:
		r.checkTries++
		r.checkWanted = true
	case why == FailureMetadata && !e.native(r):
		e.deoptimize(rev, ReasonCheckFailed)
	default:
		e.backOff(rev, pipeline.EventCheckFailed, ReasonCheckFailed)
	}
}

// nativeFailed is a binary that had come up and did not this time, or that crashed.
func (e *Engine) nativeFailed(rev RevisionID, failure Failure, why Reason) {
	r := &e.revisions[rev]
	if !e.native(r) {
		return
	}
	if failure == FailureMetadata {
		e.deoptimize(rev, why)
		return
	}
	if r.nativeFailures++; r.nativeFailures < nativeAttempts {
		return
	}
	e.cancelBuild(rev, why)
	r.saved.Level, r.saved.Complete, r.mark = function.LevelNone, true, function.LevelNone
	e.backOff(rev, pipeline.EventUnusable, why)
	e.dropNatives(rev, why)
}

// deoptimize sends a revision back to the first stage. Its metadata is kept; the next build
// waits for more of it, and longer after each deoptimization.
func (e *Engine) deoptimize(rev RevisionID, why Reason) {
	r := &e.revisions[rev]
	state := r.saved.State
	if state.Stage == pipeline.StageTrace && state.Phase != pipeline.PhaseChecking && why == ReasonDeoptimized {
		return // a worker that was busy at the deoptimization met another element: tracing goes on
	}
	e.cancelBuild(rev, why)
	if state.Stage == pipeline.StageNative || state.Phase == pipeline.PhaseChecking {
		r.saved.Deopts++
	}
	r.leastVersion = r.saved.BuiltVersion + 1
	if state.Phase == pipeline.PhaseChecking {
		r.leastVersion = r.version + 1
	}
	r.saved.Complete, r.saved.Level, r.saved.Wanted = false, function.LevelNone, function.LevelNone
	r.mark, r.natives = function.LevelNone, 0
	r.traced, r.traceServed, r.traceNotBefore = 0, 0, 0
	r.saved.NotBefore = max(r.saved.NotBefore, e.now+e.policy.DeoptBackoff(max(r.saved.Deopts, 1)))
	e.move(rev, pipeline.EventDeoptimized, why, r.saved.NotBefore)
	e.dropNatives(rev, why)
}

// dropNatives stops native workers that are idle, and lets busy ones take nothing more.
func (e *Engine) dropNatives(rev RevisionID, why Reason) {
	g := pool.GroupID(rev)
	for w := e.pool.FirstIdle(g); w != pool.None; {
		id := w
		w = e.pool.NextIdle(w)
		if e.pool.Get(id).Tier == function.TierNative {
			e.stop(id, why)
		}
	}
	for w := e.pool.FirstPartial(g); w != pool.None; {
		id := w
		w = e.pool.NextPartial(w)
		if e.pool.Get(id).Tier == function.TierNative {
			e.drainWorker(id, why)
		}
	}
}

// cancelBuild forgets the build of a revision, wherever it stands; the caller moves the state.
func (e *Engine) cancelBuild(rev RevisionID, why Reason) {
	r := &e.revisions[rev]
	switch r.saved.State.Phase {
	case pipeline.PhaseQueued:
		for i, id := range e.builds {
			if id == rev {
				e.builds = append(e.builds[:i], e.builds[i+1:]...)
				break
			}
		}
	case pipeline.PhaseBuilding:
		e.interrupt(rev, why)
	case pipeline.PhaseChecking:
		r.checkWanted, r.checker = false, pool.None // when it is ready, it is stopped
	}
}

// interrupt cancels a build that runs, once.
func (e *Engine) interrupt(rev RevisionID, why Reason) {
	r := &e.revisions[rev]
	if r.building && !r.interrupted {
		r.interrupted = true
		e.emit(Action{Kind: ActionCancelBuild, Revision: rev, Reason: why})
	}
}

// operatorOptimize builds past policy and back-off; without metadata, as soon as there is some, and
// tracing may be tried again at once for it. Asking again changes nothing.
func (e *Engine) operatorOptimize(ev Event) {
	r := e.revision(ev.Revision)
	switch {
	case r == nil:
		e.illegal(ev, ReasonUnknownRevision)
		return
	case r.direct, r.removed, e.functions[r.fn].config.NoOptimize:
		e.illegal(ev, ReasonWrongState)
		return
	case ev.Level == function.LevelNone:
		e.illegal(ev, ReasonMalformed)
		return
	}
	r.saved.NotBefore, r.saved.FailedVersion = 0, 0
	r.leastVersion = min(r.leastVersion, r.saved.Version)
	if ev.Level > r.mark {
		r.mark, r.markReason = ev.Level, ReasonOperator
		if r.saved.Version == 0 {
			e.note(ev.Revision, ReasonOperator, 0)
		}
	}
	if r.saved.Version == 0 {
		r.traceNotBefore = 0
	}
	e.admit(ev.Revision)
}

// operatorDeoptimize goes back to tracing, as a deoptimization does.
func (e *Engine) operatorDeoptimize(ev Event) {
	r := e.revision(ev.Revision)
	switch {
	case r == nil:
		e.illegal(ev, ReasonUnknownRevision)
		return
	case r.direct, r.removed:
		e.illegal(ev, ReasonWrongState)
		return
	}
	e.deoptimize(ev.Revision, ReasonOperator)
	r.leastVersion = r.saved.Version + 1
	e.settle(ev.Revision)
}
