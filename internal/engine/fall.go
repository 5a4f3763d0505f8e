package engine

import (
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/pool"
)

// rungFailed is a worker of a rung above the first that did not start, or crashed, though one
// had come up before.
func (e *Engine) rungFailed(rev RevisionID, rung ladder.ID, failure Failure, why Reason) {
	r := &e.revisions[rev]
	a := &r.rungs[rung]
	if a.Phase != pipeline.PhaseReady {
		return
	}
	switch failure {
	case FailureMetadata:
		e.deoptimize(rev, rung, why)
		return
	case FailureNever:
		e.giveUp(rev, rung)
		return
	case FailureStale:
		e.stale(rev, rung)
		return
	}
	if a.failures++; a.failures < rungAttempts {
		return
	}
	a.failures = 0
	a.Falls++
	a.FailedVersion = a.Built
	e.backOff(rev, rung, pipeline.EventUnusable, why)
	a.wanted = false // the policy decides again
	e.recordAgain(rev, rung)
}

// stale is an artifact that does not fit this machine any more, as after an update of the JDK: the
// rung below serves, and it is made again. Nobody is at fault, so the first time nothing waits.
func (e *Engine) stale(rev RevisionID, rung ladder.ID) {
	a := &e.revisions[rev].rungs[rung]
	if a.Phase != pipeline.PhaseReady {
		return
	}
	a.Falls++
	a.FailedVersion = 0
	if a.Falls > 1 {
		a.NotBefore = e.now + e.policy.FallBackoff(a.Falls-1)
	}
	e.move(rev, rung, pipeline.EventUnusable, ReasonStale, a.NotBefore)
	e.recordAgain(rev, rung)
	e.consider(rev)
	a.wanted, a.why = true, ReasonStale
	e.admit(rev, rung)
}

// foundStale takes the word of the shell that an artifact is stale.
func (e *Engine) foundStale(ev Event) {
	r := e.revision(ev.Revision)
	if r == nil {
		e.illegal(ev, ReasonUnknownRevision)
		return
	}
	if ev.Rung == ladder.First || int(ev.Rung) >= len(r.rungs) {
		e.illegal(ev, ReasonMalformed)
		return
	}
	e.stale(ev.Revision, ev.Rung)
	e.settle(ev.Revision)
}

// deoptimize leaves a rung whose recording was not enough, and all others that are made from the same
// one. What was recorded is kept; the next build waits for more of it, and longer after each fall.
func (e *Engine) deoptimize(rev RevisionID, rung ladder.ID, why Reason) {
	r := &e.revisions[rev]
	x := r.ladder.Rungs[rung].From
	rec := &r.recordings[x]
	a := &r.rungs[rung]
	switch {
	case a.Phase == pipeline.PhaseReady:
		a.Falls++
		rec.Least = a.Built + 1
	case a.Phase == pipeline.PhaseChecking:
		a.Falls++
		rec.Least = a.version + 1
	case why == ReasonDeoptimized:
		return // a worker that was busy at the deoptimization met another element: recording goes on
	default:
		rec.Least = max(rec.Least, a.Built+1)
	}
	notBefore := e.now + e.policy.FallBackoff(max(a.Falls, 1))
	for id := 1; id < len(r.rungs); id++ {
		b := &r.rungs[id]
		if r.ladder.Rungs[id].From != x {
			continue
		}
		e.cancelBuild(rev, ladder.ID(id), why)
		b.wanted = false
		b.NotBefore = max(b.NotBefore, notBefore)
		if b.Phase.Making() || b.Phase == pipeline.PhaseReady {
			e.move(rev, ladder.ID(id), pipeline.EventDeoptimized, why, b.NotBefore)
		}
	}
	rec.taken, rec.served, rec.notBefore = 0, 0, 0
	rec.forced = true
	r.climbed()
	if rec.Phase != pipeline.PhaseRecording {
		e.moveRecording(rev, x, pipeline.EventRecord, why)
	}
}

// giveUp leaves a rung, and all others with an artifact of its kind, for good: the function needs what none of them can
// do. What is made of other kinds stays.
func (e *Engine) giveUp(rev RevisionID, rung ladder.ID) {
	r := &e.revisions[rev]
	kind := r.ladder.Rungs[rung].Artifact
	r.rungs[rung].Falls++
	for id := 1; id < len(r.rungs); id++ {
		b := &r.rungs[id]
		if r.ladder.Rungs[id].Artifact != kind || b.Never {
			continue
		}
		e.cancelBuild(rev, ladder.ID(id), ReasonNever)
		b.Never, b.wanted, r.views[id].Barred = true, false, true
		if b.Phase.Making() || b.Phase == pipeline.PhaseReady {
			e.move(rev, ladder.ID(id), pipeline.EventDeoptimized, ReasonNever, 0)
		} else {
			e.note(rev, ladder.ID(id), r.ladder.Rungs[id].From, ReasonNever, 0)
		}
		e.preparedRung(rev, ladder.ID(id), ReasonNever)
	}
	for x := range r.recordings {
		if !r.useful(ladder.Recording(x)) {
			r.recordings[x].wanted, r.recordings[x].forced = false, false
		}
	}
	r.climbed()
	e.consider(rev)
}

// useful reports whether a recording may become an artifact.
func (r *revision) useful(x ladder.Recording) bool {
	for id := 1; id < len(r.rungs); id++ {
		if r.ladder.Rungs[id].Needs(x) && !r.rungs[id].Never {
			return true
		}
	}
	return false
}

// dropFallen stops the idle workers of rungs that are not ready any more, and lets busy ones take
// nothing more.
func (e *Engine) dropFallen(rev RevisionID) {
	r := &e.revisions[rev]
	r.fallen = false
	g := pool.GroupID(rev)
	for w := e.pool.FirstIdle(g); w != pool.None; {
		id := w
		w = e.pool.NextIdle(w)
		if rung := e.pool.Get(id).Rung; !e.usable(r, rung) {
			e.stop(id, r.rungs[rung].fell)
		}
	}
	for w := e.pool.FirstPartial(g); w != pool.None; {
		id := w
		w = e.pool.NextPartial(w)
		if rung := e.pool.Get(id).Rung; !e.usable(r, rung) {
			e.drainWorker(id, r.rungs[rung].fell)
		}
	}
}

// turnOff brings a revision back to its first rung, with what was learned.
func (e *Engine) turnOff(rev RevisionID) {
	r := &e.revisions[rev]
	for id := 1; id < len(r.rungs); id++ {
		a := &r.rungs[id]
		rung := ladder.ID(id)
		e.cancelBuild(rev, rung, ReasonNoOptimize)
		a.wanted = false
		switch {
		case a.Phase.Making():
			e.move(rev, rung, pipeline.EventCancelled, ReasonNoOptimize, 0)
		case a.Phase == pipeline.PhaseReady:
			e.move(rev, rung, pipeline.EventUnusable, ReasonNoOptimize, 0)
		}
	}
	for x := range r.recordings {
		r.recordings[x].wanted, r.recordings[x].forced = false, false
	}
	r.aside = ladder.RecordingNone
	r.climbed()
	e.prepared(rev, ReasonNoOptimize)
	e.settle(rev)
}

// operatorOptimize builds past policy and back-off; without a recording, as soon as there is one, and
// a worker is started to take it. Asking again changes nothing.
func (e *Engine) operatorOptimize(ev Event) {
	r := e.revision(ev.Revision)
	switch {
	case r == nil:
		e.illegal(ev, ReasonUnknownRevision)
		return
	case r.removed, e.functions[r.fn].config.NoOptimize:
		e.illegal(ev, ReasonWrongState)
		return
	case ev.Rung == ladder.First || int(ev.Rung) >= len(r.rungs) || !r.ladder.Rungs[ev.Rung].Serves():
		e.illegal(ev, ReasonMalformed)
		return
	case r.rungs[ev.Rung].Never:
		e.illegal(ev, ReasonNever)
		return
	}
	a := &r.rungs[ev.Rung]
	row := &r.ladder.Rungs[ev.Rung]
	a.NotBefore, a.FailedVersion, a.Differed = 0, 0, 0
	e.bar(r)
	for _, x := range [...]ladder.Recording{row.From, row.Also} {
		rec := &r.recordings[x]
		rec.Least = min(rec.Least, rec.Version)
	}
	if !a.wanted && a.Phase != pipeline.PhaseReady && !a.Phase.Making() {
		a.wanted, a.why = true, ReasonOperator
		e.note(ev.Revision, ev.Rung, row.From, ReasonOperator, 0)
	}
	if a.wanted {
		e.forceRecording(ev.Revision, row.From)
		e.forceRecording(ev.Revision, row.Also)
	}
	e.admit(ev.Revision, ev.Rung)
	e.settle(ev.Revision)
}

// forceRecording takes a recording that an operator's wish needs, whatever the policy says and without back-off.
func (e *Engine) forceRecording(rev RevisionID, x ladder.Recording) {
	r := &e.revisions[rev]
	rec := &r.recordings[x]
	if x == ladder.RecordingNone || rec.Phase == pipeline.PhaseRecorded {
		return
	}
	if rung := r.ladder.Recorder(x); rung != ladder.First {
		r.rungs[rung].NotBefore, r.rungs[rung].FailedVersion, r.rungs[rung].Differed = 0, 0, 0
		e.bar(r)
	}
	rec.forced = true
	r.climbed()
	if rec.Version == 0 || x.AtEnd() {
		rec.notBefore = 0
	}
	e.wantRecording(rev, x, ReasonOperator)
	if rec.Version == 0 || x.AtEnd() {
		e.recordAside(r, x)
	}
	if rung := r.ladder.Recorder(x); rung != ladder.First {
		e.admit(rev, rung)
	}
}

// operatorDeoptimize leaves the highest rung that is ready or on its way, as a deoptimization does.
func (e *Engine) operatorDeoptimize(ev Event) {
	r := e.revision(ev.Revision)
	if r == nil {
		e.illegal(ev, ReasonUnknownRevision)
		return
	}
	if r.removed || len(r.rungs) < 2 {
		e.illegal(ev, ReasonWrongState)
		return
	}
	rung := ladder.ID(len(r.rungs) - 1)
	for id := len(r.rungs) - 1; id > 0; id-- {
		if p := r.rungs[id].Phase; p == pipeline.PhaseReady || p.Making() {
			rung = ladder.ID(id)
			break
		}
	}
	e.deoptimize(ev.Revision, rung, ReasonOperator)
	rec := &r.recordings[r.ladder.Rungs[rung].From]
	rec.Least = rec.Version + 1
	e.settle(ev.Revision)
}
