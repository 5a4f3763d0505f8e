package engine

import (
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
)

// Of several nodes one owns a revision's pipeline: it records, builds, checks and falls for all. The others follow it: they
// make nothing, take the artifacts that it has made, and tell it what they saw. A snapshot is of one machine and of one
// server; that each node makes for itself.

// adopted takes the state of a pipeline that another node owns, or that this one owns from now on.
func (e *Engine) adopted(ev Event) {
	r, c := e.revision(ev.Revision), ev.RevisionConfig
	switch {
	case r == nil:
		e.illegal(ev, ReasonUnknownRevision)
		return
	case c == nil || !c.Restored.Legal():
		e.illegal(ev, ReasonMalformed)
		return
	case r.removed:
		return
	}
	r.follows = c.Follows
	kept := pipeline.Saved{Recordings: c.Restored.Recordings, Samples: c.Restored.Samples}
	for id := 1; id < len(r.rungs); id++ {
		a, rung := &r.rungs[id], ladder.ID(id)
		if own(&r.ladder.Rungs[id]) {
			kept.Rungs = append(kept.Rungs, a.Rung)
			continue
		}
		saved := c.Restored.Rung(a.Name)
		e.cancelBuild(ev.Revision, rung, ReasonAdopted)
		e.endCheck(ev.Revision, rung, ReasonAdopted)
		if a.Phase == pipeline.PhaseReady {
			e.disk -= a.DiskMB
			if saved == nil || saved.Phase != pipeline.PhaseReady {
				r.fallen, a.fell = true, ReasonAdopted
			}
		}
		name := a.Name
		if a.Rung = (pipeline.Rung{Name: name}); saved != nil {
			a.Rung = *saved
		}
		if a.wanted = false; a.Phase.Making() { // who made it does not any more, or is another node
			a.Phase, a.wanted, a.why = pipeline.PhaseAbsent, !r.follows, ReasonAdopted
		}
		v := &r.views[id]
		v.Ready, v.Making, v.Failures, v.Falls = a.Phase == pipeline.PhaseReady, false, a.Failures, a.Falls
		if a.Phase == pipeline.PhaseReady {
			e.disk += a.DiskMB
		}
	}
	for x := range r.recordings {
		rec := &r.recordings[x]
		if rec.Recording = c.Restored.Recordings[x]; !r.ladder.Records(ladder.Recording(x)) {
			rec.Recording = pipeline.Recording{}
		}
		rec.forced, rec.wanted = !r.follows && rec.Least > rec.Version, false
	}
	if r.follows {
		r.aside = ladder.RecordingNone
		e.prepared(ev.Revision, ReasonNone)
	}
	r.samples = max(r.samples, kept.Samples)
	e.bar(r)
	r.climbed()
	e.consider(ev.Revision)
	e.admitAll(ev.Revision)
	e.startBuilds()
	e.settle(ev.Revision)
}

// own reports whether each node makes a rung's artifact for itself.
func own(rung *ladder.Rung) bool { return rung.Artifact == ladder.ArtifactSnapshot }

// elsewhere counts what other nodes did with a revision: the function is one, wherever it runs.
func (e *Engine) elsewhere(ev Event) {
	r := e.revision(ev.Revision)
	if r == nil || r.removed {
		return // it went meanwhile
	}
	r.invocations += uint64(ev.Invocations)
	r.colds += uint64(ev.ColdStarts)
	f := &e.functions[r.fn]
	for range min(ev.ColdStarts, maxElsewhere) {
		f.recent.Add(e.now, f.config.Params.Threshold)
	}
	e.consider(ev.Revision)
	e.settle(ev.Revision)
}

// maxElsewhere is how many cold starts are told at once: more are no other news.
const maxElsewhere = 1000

// fell takes the word of another node that an artifact, made from version Version of its recording, turned out wrong there.
func (e *Engine) fell(ev Event) {
	r := e.revision(ev.Revision)
	switch {
	case r == nil || r.removed:
		return
	case ev.Rung == ladder.First || int(ev.Rung) >= len(r.rungs):
		e.illegal(ev, ReasonMalformed)
		return
	}
	a := &r.rungs[ev.Rung]
	if a.Phase != pipeline.PhaseReady || a.Built != ev.Version {
		return // it was left already
	}
	why := ReasonRungCrashed
	switch ev.Failure {
	case FailureMetadata:
		why = ReasonDeoptimized
	case FailureNever:
	default:
		a.failures = rungAttempts // that node has tried it often enough
	}
	e.rungFailed(ev.Revision, ev.Rung, ev.Failure, why)
	e.settle(ev.Revision)
}
