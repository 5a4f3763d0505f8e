package engine

import (
	"slices"

	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/pool"
)

// The check of an artifact is a worker of its rung that has to become ready. Before it starts, the shell
// compares answers of the artifact with those of the first rung, which takes some seconds, or minutes where invocations are long: so a
// check waits for its turn, and counts as a worker for its memory alone.

// lane is where a check waits for its turn. None waits for those in another lane: an artifact that is checked again may take minutes, while
// another one is not served for as long.
type lane uint8

const (
	// laneNew: it does not serve before.
	laneNew lane = iota
	// laneUnknown: it serves, and was never compared.
	laneUnknown
	// laneAgain: it serves, and was compared.
	laneAgain
	lanes
)

// checks of one lane.
type checks struct {
	waiting []queued // they have not had their turn, oldest first
	running int32
}

// laneOf is where the check of an artifact waits now.
func laneOf(a *artifact) lane {
	switch {
	case a.Phase != pipeline.PhaseReady:
		return laneNew
	case a.Compared == 0:
		return laneUnknown
	}
	return laneAgain
}

// wantCheck lets an artifact wait for its check.
func (e *Engine) wantCheck(rev RevisionID, rung ladder.ID) {
	r := &e.revisions[rev]
	a := &r.rungs[rung]
	a.checkTries = 0
	if !e.pool.FitsEver(r.checkMiB(rung)) {
		e.checkFailed(rev, rung, Event{Failure: FailureInit})
		return
	}
	a.lane = laneOf(a)
	c := &e.checks[a.lane]
	c.waiting = append(c.waiting, queued{rev, rung})
}

// startChecks gives checks their turn, the oldest first. One that waits for memory then lets others past.
func (e *Engine) startChecks() {
	for l := range e.checks {
		c := &e.checks[l]
		for len(c.waiting) > 0 && !e.drain && e.mayCheck(lane(l)) {
			q := c.waiting[0]
			c.waiting = append(c.waiting[:0], c.waiting[1:]...)
			a := &e.revisions[q.rev].rungs[q.rung]
			a.turn, a.checkWanted = true, true
			e.settle(q.rev)
		}
	}
}

// mayCheck reports whether one more check of a lane may run: as many as light builds.
func (e *Engine) mayCheck(l lane) bool { return e.checks[l].running < max(e.config.LightBuilders, 1) }

// checkOver lets another check run.
func (e *Engine) checkOver(a *artifact) {
	if a.checking {
		a.checking = false
		e.checks[a.lane].running--
	}
}

// endCheck ends the check of an artifact, wherever it stands.
func (e *Engine) endCheck(rev RevisionID, rung ladder.ID, why Reason) {
	a := &e.revisions[rev].rungs[rung]
	if !a.turn {
		e.checks[a.lane].unqueue(queued{rev, rung})
	}
	a.turn, a.checkWanted = false, false
	e.checkOver(a)
	if w := a.checker; w != pool.None {
		a.checker = pool.None
		if wk := e.pool.Get(w); wk != nil && wk.State == pool.Checking {
			e.stop(w, why)
		}
	}
}

func (c *checks) unqueue(q queued) {
	if i := slices.Index(c.waiting, q); i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	}
}

// checkMiB is what a check reserves: a worker of the rung, or of the first one, whose answers are the measure.
func (r *revision) checkMiB(rung ladder.ID) int32 {
	return max(r.mib(rung, ladder.RecordingNone), r.mib(ladder.First, ladder.RecordingNone))
}

// nextCheck is a rung whose artifact waits for the worker that checks it; First if there is none.
func (r *revision) nextCheck() ladder.ID {
	for id := 1; id < len(r.rungs); id++ {
		if r.rungs[id].checkWanted {
			return ladder.ID(id)
		}
	}
	return ladder.First
}

// startCheck starts the worker that checks; false if there is no memory now, or if others are checked.
func (e *Engine) startCheck(r *revision, rung ladder.ID) bool {
	a := &r.rungs[rung]
	c := &e.checks[a.lane]
	if !e.mayCheck(a.lane) { // it waited for memory, and others had their turn
		a.turn, a.checkWanted = false, false
		c.waiting = slices.Insert(c.waiting, 0, queued{r.id, rung})
		e.memoryShort = false
		return false
	}
	mib := r.checkMiB(rung)
	if !e.makeRoom(mib, e.beside()) {
		return false
	}
	a.checkWanted, a.checking = false, true
	c.running++
	a.checker = e.beginWith(r, Action{Rung: rung, Check: true, Compare: !e.functions[r.fn].config.NoCheck}, mib)
	return true
}

// checked lets the artifact serve, or go on to.
func (e *Engine) checked(rev RevisionID, rung ladder.ID, ev Event) {
	r := &e.revisions[rev]
	a := &r.rungs[rung]
	e.learnCheck(r.ladder, rung, ev.Cost)
	a.Compared, a.Differed, a.DifferedBuilt = ev.Version, 0, 0
	if a.Phase == pipeline.PhaseReady {
		e.endCheck(rev, rung, ReasonChecked)
		e.note(rev, rung, r.ladder.Rungs[rung].From, ReasonChecked, 0)
		return
	}
	a.Built, a.Failures, a.failures = a.version, 0, 0
	if !e.move(rev, rung, pipeline.EventChecked, ReasonChecked, 0) {
		return
	}
	e.preparedRung(rev, rung, ReasonNone)
	for id := ladder.First + 1; id < rung; id++ {
		// It was for the time until there was a better one of its kind.
		if row := &r.ladder.Rungs[id]; row.Early && row.Artifact == r.ladder.Rungs[rung].Artifact && r.rungs[id].Phase == pipeline.PhaseReady {
			e.drop(rev, id, ReasonReplaced)
		}
	}
	if x := r.ladder.Rungs[rung].Recorder; x != ladder.RecordingNone {
		e.consider(rev)
		e.recordAside(r, x)
		e.spareDisk()
		return
	}
	// Its worker takes the place of one that idles on a lower rung.
	for w := e.pool.FirstIdle(e.group(r)); w != pool.None; w = e.pool.NextIdle(w) {
		if wk := e.pool.Get(w); wk.Rung < rung && wk.Recording == ladder.RecordingNone {
			e.stop(w, ReasonReplaced)
			break
		}
	}
	e.consider(rev)
	e.spareDisk()
}

// checkFailed leaves what served before. A binary that meets a missing element while it starts, or while it
// is asked, needs more metadata, unless an older one serves.
func (e *Engine) checkFailed(rev RevisionID, rung ladder.ID, ev Event) {
	r := &e.revisions[rev]
	a := &r.rungs[rung]
	e.learnCheck(r.ladder, rung, ev.Cost)
	switch {
	case a.Phase != pipeline.PhaseChecking && a.Phase != pipeline.PhaseReady: // cancelled meanwhile
	case ev.Failure == FailureNever:
		e.giveUp(rev, rung)
	case ev.Failure == FailureSandbox && a.turn && a.checkTries < startAttempts:
		a.checkTries++
		a.checkWanted = true
		e.checkOver(a)
	case ev.Failure == FailureDiffers:
		e.differed(rev, rung, ev.Version)
	case ev.Failure == FailureRemembers:
		e.remembers(rev, rung)
	case a.Phase == pipeline.PhaseReady: // it has come up before, and may again
		e.endCheck(rev, rung, ReasonCheckFailed)
		if ev.Failure == FailureMetadata || ev.Failure == FailureStale {
			e.rungFailed(rev, rung, ev.Failure, ReasonCheckFailed)
		}
	case ev.Failure == FailureMetadata && !r.serves(r.ladder.Rungs[rung].From):
		wish := a.why == ReasonOperator
		e.deoptimize(rev, rung, ReasonCheckFailed)
		if wish {
			// What the check found may be all that there is to find: an operator's wish outlives one such check, without back-off.
			a.wanted, a.why, a.NotBefore = true, ReasonCheckFailed, 0
			e.admit(rev, rung)
		}
	default:
		a.FailedVersion = a.version
		e.backOff(rev, rung, pipeline.EventCheckFailed, ReasonCheckFailed)
		e.recordAgain(rev, rung)
	}
}

// differed keeps an artifact from serving that answers otherwise than the first rung. It is checked again only
// with other samples, or if it is made from another recording. The rungs above may be tried.
func (e *Engine) differed(rev RevisionID, rung ladder.ID, samples uint32) {
	r := &e.revisions[rev]
	a := &r.rungs[rung]
	a.Differed, a.DifferedBuilt = max(samples, 1), a.version
	if a.Phase == pipeline.PhaseReady {
		a.Falls++
		a.DifferedBuilt = a.Built
	}
	e.backOff(rev, rung, pipeline.EventDiffered, ReasonDiffered)
	e.consider(rev)
}

// remembers makes a snapshot again, in another way: no fault is counted, and nothing waits.
func (e *Engine) remembers(rev RevisionID, rung ladder.ID) {
	a := &e.revisions[rev].rungs[rung]
	if a.Phase == pipeline.PhaseReady {
		a.Falls++
	}
	if e.move(rev, rung, pipeline.EventDiffered, ReasonRemembers, 0) {
		a.wanted, a.why, a.NotBefore = true, ReasonRemembers, 0
		e.consider(rev)
		e.admit(rev, rung)
	}
}

// barred reports whether an artifact would only be found to answer otherwise again, or its function needs what none
// of its kind can do.
func (e *Engine) barred(r *revision, rung ladder.ID) bool {
	a := &r.rungs[rung]
	if a.Never {
		return true
	}
	if a.Differed == 0 || r.samples > a.Differed || e.functions[r.fn].config.NoCheck {
		return false
	}
	x := r.ladder.Rungs[rung].From
	// Which classes are loaded ahead changes no answer.
	return x.AtEnd() || r.recordings[x].Version <= a.DifferedBuilt
}

// bar brings up to date which artifacts are barred.
func (e *Engine) bar(r *revision) {
	for id := range r.rungs {
		r.views[id].Barred = e.barred(r, ladder.ID(id))
	}
}

// sampled takes the word of the shell that there are other samples: what differed may be tried with them, and
// what serves without ever having been compared is.
func (e *Engine) sampled(ev Event) {
	r := e.revision(ev.Revision)
	switch {
	case r == nil:
		e.illegal(ev, ReasonUnknownRevision)
		return
	case ev.Version < r.samples || ev.Version == 0:
		e.illegal(ev, ReasonMalformed)
		return
	}
	r.samples = ev.Version
	e.bar(r)
	if f := &e.functions[r.fn]; !r.removed && !e.drain && !f.config.NoCheck && !f.config.NoOptimize {
		for id := 1; id < len(r.rungs); id++ {
			if a := &r.rungs[id]; a.Phase == pipeline.PhaseReady && (a.Compared == 0 || ev.Complete) && a.checker == pool.None {
				e.endCheck(ev.Revision, ladder.ID(id), ReasonChecked) // one that waits begins anew
				e.wantCheck(ev.Revision, ladder.ID(id))
			}
		}
		e.consider(ev.Revision)
		e.admitAll(ev.Revision)
	}
	e.settle(ev.Revision)
}
