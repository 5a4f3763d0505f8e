package engine

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
)

// queued is an artifact that waits for a builder.
type queued struct {
	rev  RevisionID
	rung ladder.ID
}

// lastBuild is whose build a builder began last.
type lastBuild struct {
	fn  FunctionID
	rev RevisionID
}

// Artifacts that take seconds have builders of their own: they never wait for a build of minutes.
const (
	heavy = iota
	light
	weights
)

// lightBuild is the CPU time from which on a build is a heavy one, by its row's figures.
const lightBuild = 30 * time.Second

func weight(rung *ladder.Rung) int {
	if rung.Light || rung.Cost.CPU > 0 && rung.Cost.CPU < lightBuild {
		return light
	}
	return heavy
}

// wantArtifact marks the artifact of a rung to be made, which starts as soon as it can.
func (e *Engine) wantArtifact(rev RevisionID, rung ladder.ID, why Reason) {
	a := &e.revisions[rev].rungs[rung]
	if a.wanted || a.Never || a.Phase == pipeline.PhaseReady || a.Phase.Making() {
		return
	}
	a.wanted, a.why = true, why
	e.admit(rev, rung)
}

// admitFrom looks again at all artifacts that are made from a recording.
func (e *Engine) admitFrom(rev RevisionID, x ladder.Recording) {
	r := &e.revisions[rev]
	for id := 1; id < len(r.rungs); id++ {
		if r.ladder.Rungs[id].Needs(x) {
			e.admit(rev, ladder.ID(id))
		}
	}
}

// admitAll looks again at all artifacts of a revision.
func (e *Engine) admitAll(rev RevisionID) {
	for id := 1; id < len(e.revisions[rev].rungs); id++ {
		e.admit(rev, ladder.ID(id))
	}
}

// admit queues the build of an artifact that is wanted, if nothing stands against it.
func (e *Engine) admit(rev RevisionID, rung ladder.ID) {
	r := &e.revisions[rev]
	a, row := &r.rungs[rung], &r.ladder.Rungs[rung]
	rec := &r.recordings[row.From]
	switch {
	case r.follows && !own(row):
		return
	case !a.wanted, a.Never, a.Phase == pipeline.PhaseReady, a.Phase.Making(),
		r.removed, e.drain, e.builders(weight(row)) <= 0, e.functions[r.fn].config.NoOptimize:
		return
	case row.From != ladder.RecordingNone && (rec.Version == 0 || rec.Version < rec.Least || rec.Version == a.FailedVersion),
		row.From.AtEnd() && rec.Phase != pipeline.PhaseRecorded, row.Also != ladder.RecordingNone && !r.recorded[row.Also], e.barred(r, rung):
		return // until there is another recording, or other samples
	case a.NotBefore > e.now:
		if a.told != a.NotBefore {
			a.told = a.NotBefore
			e.timers.push(a.NotBefore, rev)
			e.note(rev, rung, row.From, ReasonBackoff, a.NotBefore)
		}
		return
	}
	if e.move(rev, rung, pipeline.EventPromoted, a.why, 0) {
		a.wanted = false
		e.builds = append(e.builds, queued{rev, rung})
		e.startBuilds()
	}
}

// builders is how many builds of a weight may run at once.
func (e *Engine) builders(weight int) int32 {
	if weight == light {
		return e.config.LightBuilders
	}
	return e.config.Builders
}

// startBuilds gives free builders the queued artifacts that the policy puts first.
func (e *Engine) startBuilds() {
	for w := range weights {
		for !e.drain && e.building[w] < e.builders(w) && e.startBuild(w) {
		}
	}
}

// startBuild starts the first build of a weight; false if there is none.
func (e *Engine) startBuild(w int) bool {
	best, score, behind := -1, 0.0, int32(0)
	for _, q := range e.builds {
		e.functions[e.revisions[q.rev].fn].ahead = 0
	}
	for i, q := range e.builds {
		r := &e.revisions[q.rev]
		if weight(&r.ladder.Rungs[q.rung]) != w || r.rungs[q.rung].building {
			continue // another queue's, or its cancelled build has not ended yet
		}
		// Functions take turns: the second build of one waits for the first of all others, and so does another revision
		// of the one that was built last.
		f := &e.functions[r.fn]
		turn := f.ahead
		f.ahead++
		if l := e.lastBuilt[w]; l.fn == r.fn && l.rev != q.rev {
			turn++
		}
		if s := e.policy.Priority(e.now, e.viewOf(r), q.rung); best < 0 || turn < behind || turn == behind && s > score {
			best, score, behind = i, s, turn
		}
	}
	if best < 0 {
		return false
	}
	q := e.builds[best]
	e.builds = append(e.builds[:best], e.builds[best+1:]...)
	if !e.move(q.rev, q.rung, pipeline.EventBuildStarted, ReasonTurn, 0) {
		return true
	}
	r := &e.revisions[q.rev]
	a := &r.rungs[q.rung]
	a.building, a.interrupted, a.version = true, false, r.recordings[r.ladder.Rungs[q.rung].From].Version
	e.building[w]++
	e.lastBuilt[w] = lastBuild{r.fn, q.rev}
	e.emit(Action{Kind: ActionBuild, Revision: q.rev, Rung: q.rung, Version: a.version})
	return true
}

// builderFree takes the end of a build, wanted or not; nil if there was none.
func (e *Engine) builderFree(ev Event) *artifact {
	r := e.revision(ev.Revision)
	if r == nil {
		e.illegal(ev, ReasonUnknownRevision)
		return nil
	}
	if int(ev.Rung) >= len(r.rungs) || !r.rungs[ev.Rung].building {
		e.illegal(ev, ReasonWrongState)
		return nil
	}
	a := &r.rungs[ev.Rung]
	a.building = false
	if newest := r.recordings[r.ladder.Rungs[ev.Rung].From].Version; ev.Version > a.version && ev.Version <= newest {
		a.version = ev.Version
	}
	e.building[weight(&r.ladder.Rungs[ev.Rung])]--
	return a
}

// buildDone has the new artifact checked: only if that ends well does it serve.
func (e *Engine) buildDone(ev Event) {
	a := e.builderFree(ev)
	if a == nil {
		return
	}
	r := &e.revisions[ev.Revision]
	e.learnCost(r.ladder, ev.Rung, ev.Cost)
	if a.Phase == pipeline.PhaseBuilding && !e.drain {
		a.DiskMB = ev.Cost.DiskMB
		e.move(ev.Revision, ev.Rung, pipeline.EventBuilt, ReasonBuilt, 0)
		e.wantCheck(ev.Revision, ev.Rung)
	}
	e.startBuilds()
	e.settle(ev.Revision)
}

// buildFailed backs off; what serves goes on serving.
func (e *Engine) buildFailed(ev Event) {
	a := e.builderFree(ev)
	if a == nil {
		return
	}
	if a.Phase == pipeline.PhaseBuilding && !e.drain {
		why := ReasonBuildFailed
		if ev.Failure == FailureInputs {
			why = ReasonInputsFailed
			a.FailedVersion = a.version
		}
		e.backOff(ev.Revision, ev.Rung, pipeline.EventBuildFailed, why)
		if ev.Failure == FailureInputs {
			e.recordAgain(ev.Revision, ev.Rung)
			if x := e.revisions[ev.Revision].ladder.Rungs[ev.Rung].Also; x != ladder.RecordingNone && e.revisions[ev.Revision].recordings[x].Phase != pipeline.PhaseAbsent {
				e.lose(ev.Revision, x) // it may be this that cannot be built with
			}
		}
	}
	e.admitAll(ev.Revision)
	e.startBuilds()
	e.settle(ev.Revision)
}

// recordAgain gives up a recording that one artifact is made from and that is good for nothing else,
// when the artifact cannot be made from it, or is gone: the next one may be better.
func (e *Engine) recordAgain(rev RevisionID, rung ladder.ID) {
	r := &e.revisions[rev]
	x := r.ladder.Rungs[rung].From
	if x.AtEnd() && !x.Kept() && r.recordings[x].Phase != pipeline.PhaseAbsent {
		e.lose(rev, x)
	}
}

// lose forgets a recording.
func (e *Engine) lose(rev RevisionID, x ladder.Recording) {
	rec := &e.revisions[rev].recordings[x]
	e.moveRecording(rev, x, pipeline.EventLost, ReasonRecordingLost)
	rec.Least = rec.Version + 1
	rec.taken, rec.served, rec.grown = 0, 0, false
	e.revisions[rev].climbed()
}

// backOff moves an artifact away from its build; the next try waits.
func (e *Engine) backOff(rev RevisionID, rung ladder.ID, cause pipeline.Event, why Reason) {
	a := &e.revisions[rev].rungs[rung]
	a.Failures++
	a.NotBefore = e.now + e.policy.BuildBackoff(a.Failures)
	if e.revisions[rev].ladder.Rungs[rung].Early && a.why != ReasonOperator {
		e.move(rev, rung, cause, why, 0) // its time is over
	} else if e.move(rev, rung, cause, why, a.NotBefore) {
		// Whoever wanted it still does: the next try begins by itself.
		a.wanted, a.told = true, a.NotBefore
		e.timers.push(a.NotBefore, rev)
	}
	e.preparedRung(rev, rung, why)
}

// cancelBuild forgets the build of an artifact, wherever it stands; the caller moves the phase.
func (e *Engine) cancelBuild(rev RevisionID, rung ladder.ID, why Reason) {
	a := &e.revisions[rev].rungs[rung]
	switch a.Phase {
	case pipeline.PhaseQueued:
		for i, q := range e.builds {
			if q == (queued{rev, rung}) {
				e.builds = append(e.builds[:i], e.builds[i+1:]...)
				break
			}
		}
	case pipeline.PhaseBuilding:
		e.interrupt(rev, rung, why)
	case pipeline.PhaseChecking:
		e.endCheck(rev, rung, why)
	}
}

// interrupt cancels a build that runs, once.
func (e *Engine) interrupt(rev RevisionID, rung ladder.ID, why Reason) {
	if a := &e.revisions[rev].rungs[rung]; a.building && !a.interrupted {
		a.interrupted = true
		e.emit(Action{Kind: ActionCancelBuild, Revision: rev, Rung: rung, Reason: why})
	}
}

// spareDisk drops the artifacts that are worth least for their size while all together take more
// disk than they may.
func (e *Engine) spareDisk() {
	for e.config.ArtifactMB > 0 && e.disk > float64(e.config.ArtifactMB) {
		var least queued
		found, worth := false, 0.0
		for id := range e.revisions {
			r := &e.revisions[id]
			if !r.used {
				continue
			}
			for rung := 1; rung < len(r.rungs); rung++ {
				a := &r.rungs[rung]
				if a.Phase != pipeline.PhaseReady || a.DiskMB <= 0 {
					continue
				}
				if w := e.policy.Worth(e.now, e.viewOf(r), ladder.ID(rung)) / a.DiskMB; !found || w < worth {
					least, found, worth = queued{RevisionID(id), ladder.ID(rung)}, true, w
				}
			}
		}
		if !found {
			return
		}
		e.drop(least.rev, least.rung, ReasonDisk)
		e.revisions[least.rev].rungs[least.rung].drops++
	}
}

// drop gives an artifact up. Workers of it go on; no new one starts. It is not made again at once, and each time later if that was
// for disk: it would only be given up again.
func (e *Engine) drop(rev RevisionID, rung ladder.ID, why Reason) {
	a := &e.revisions[rev].rungs[rung]
	a.NotBefore = max(a.NotBefore, e.now+e.policy.BuildBackoff(4+a.drops))
	if e.move(rev, rung, pipeline.EventDropped, why, a.NotBefore) {
		e.emit(Action{Kind: ActionDrop, Revision: rev, Rung: rung, Reason: why})
		e.recordAgain(rev, rung)
	}
}
