package engine

import (
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pipeline"
	"github.com/cloudjit/cloudjit/internal/policy"
	"github.com/cloudjit/cloudjit/internal/pool"
)

// climb is where a revision stands on its ladder: its recordings and artifacts. What belongs here
// is written in this file and in build.go, check.go and fall.go alone; placement asks one question, place.
type climb struct {
	rungs      []artifact // by rung; the first has none
	recordings [ladder.RecordingCount]recording
	// samples is the version of what the revision was asked and may be asked in a check.
	samples uint32
	// aside is the recording for which a worker is to be started beside those that serve.
	aside ladder.Recording
	// serve is the highest rung that the policy wants new workers to be of.
	serve ladder.ID
	// preparing: artifacts are made before the first invocation. pending are their rungs, by bit, that are not there yet;
	// unprepared says why the first of them came to nothing, failed which it was, if its build or check failed.
	preparing  bool
	pending    uint16
	unprepared Reason
	failed     ladder.ID
	// fallen: workers of a rung that is not ready any more may be left.
	fallen bool

	memory         []int32 // MiB that a worker of each rung reserves
	workerMB       float64 // what a worker of the first rung is expected to use
	timed, weighed uint16  // rungs whose starts and memory were measured, by bit
}

// artifact is that of one rung.
type artifact struct {
	pipeline.Rung
	// wanted: a build was decided on; it waits for a recording, back-off or its turn. why says who decided.
	wanted bool
	why    Reason
	told   int64 // the NotBefore that was recorded last

	building    bool // a builder works on it, wanted or not
	interrupted bool // and was told to stop
	version     uint32

	turn        bool // its check has had its turn
	checkWanted bool // the worker that checks has not been started yet
	checking    bool // it has, and counts in its lane
	lane        lane
	checker     WorkerID
	checkTries  int32 // sandboxes in a row that could not be made for it

	drops    int32 // how often it was given up for disk
	failures int32 // workers in a row that did not start, or crashed
	fell     Reason
	warm     durations // of its warm workers
	// odd is how many starts in a row took so long that it may be chance (startChance), those of a burst as one; oddUntil is when the last of
	// them ended.
	odd      int32
	oddUntil int64
	// startedAt is when a worker of it was ready last, and left how often that was so long ago that it was forgotten what its starts took.
	startedAt int64
	left      int32
	// firsts is how many first invocations of workers its warming is the mean of, warmingAfter at most.
	firsts int32
	// memories is how many measurements what its workers use is the mean of, memoriesMost at most.
	memories int32
}

// recording is the state of one recording.
type recording struct {
	pipeline.Recording
	wanted bool
	// beside: not by a worker that somebody waits for.
	beside bool
	// forced: it is wanted whatever the policy says, as after a deoptimization.
	forced bool
	// grown: something was recorded since the last recorder started.
	grown bool
	// taken and served count the invocations that recorders which have ended were given, and answered,
	// in this phase.
	taken, served int32
	failures      int32
	notBefore     int64
}

// climbed brings up to date what follows from a revision's phases and from what the policy wants: the
// rung of new workers is the highest that serves, is ready and wanted, and a recorder goes on as long as its
// recording is wanted and no artifact that is made from it serves.
func (r *revision) climbed() {
	r.recording = false
	for x := range r.recordings {
		rec := &r.recordings[x].Recording
		r.recording = r.recording || r.wants(ladder.Recording(x))
		r.recorded[x] = rec.Version > 0 && rec.Version >= rec.Least && (rec.Phase == pipeline.PhaseRecorded || !ladder.Recording(x).AtEnd())
	}
	for id := min(int(r.serve), len(r.rungs)-1); id > 0; id-- {
		if r.rungs[id].Phase == pipeline.PhaseReady && r.ladder.Rungs[id].Serves() {
			r.best = ladder.ID(id)
			return
		}
	}
	r.best = ladder.First
}

// usable reports whether a worker of a rung may still run invocations.
func (e *Engine) usable(r *revision, rung ladder.ID) bool {
	return rung == ladder.First || r.rungs[rung].Phase == pipeline.PhaseReady || r.rungs[rung].Phase == pipeline.PhaseDropped
}

// place says how a worker that starts now for a waiting invocation runs: of which rung, and
// whether it records.
func (e *Engine) place(r *revision) (ladder.ID, ladder.Recording) {
	if r.retries.n > 0 && r.recorder == pool.None && e.mayRecord(r, ladder.RecordingMetadata) {
		return ladder.First, ladder.RecordingMetadata
	}
	rung := r.best
	if rung != ladder.First || r.recorder != pool.None {
		return rung, ladder.RecordingNone
	}
	return rung, e.wantedRecording(r)
}

// wantedRecording is the one that the next worker takes, RecordingNone if there is none to take.
func (e *Engine) wantedRecording(r *revision) ladder.Recording {
	for x := ladder.RecordingNone + 1; int(x) < ladder.RecordingCount; x++ {
		if !r.recordings[x].beside && r.ladder.Recorder(x) == ladder.First && e.mayRecord(r, x) {
			return x
		}
	}
	return ladder.RecordingNone
}

// wants reports whether a recording is to be taken, or taken further.
func (r *revision) wants(x ladder.Recording) bool {
	rec := &r.recordings[x]
	return x != ladder.RecordingNone && rec.Phase == pipeline.PhaseRecording && (rec.wanted || rec.forced) && !r.serves(x) && r.useful(x)
}

// mayRecord reports whether a worker may start to take a recording.
func (e *Engine) mayRecord(r *revision, x ladder.Recording) bool {
	rec := &r.recordings[x]
	rung := r.ladder.Recorder(x)
	return r.wants(x) && !r.removed && !r.follows && !e.functions[r.fn].config.NoOptimize && e.now >= rec.notBefore &&
		(x.AtEnd() || rec.taken < e.config.TraceLimit) && e.pool.FitsEver(r.mib(rung, x)) &&
		(rung == ladder.First || r.rungs[rung].Phase == pipeline.PhaseReady)
}

// serves reports whether an artifact that is made from a recording serves: then it was good enough.
func (r *revision) serves(x ladder.Recording) bool {
	for id := 1; id < len(r.rungs); id++ {
		if row := &r.ladder.Rungs[id]; row.Needs(x) && r.rungs[id].Phase == pipeline.PhaseReady {
			return true
		}
	}
	return false
}

// move is the one place that writes an artifact's phase, and counts the disk of those that are ready. At is when it may go on, 0 if it does not wait.
func (e *Engine) move(rev RevisionID, rung ladder.ID, cause pipeline.Event, why Reason, at int64) bool {
	r := &e.revisions[rev]
	a := &r.rungs[rung]
	from := a.Phase
	to, err := from.Next(cause)
	if err != nil {
		e.emit(Action{Kind: ActionIllegal, Revision: rev, Rung: rung, From: from, Cause: cause, Reason: ReasonWrongState})
		return false
	}
	a.Phase = to
	if from == pipeline.PhaseChecking || from == pipeline.PhaseReady {
		e.endCheck(rev, rung, why)
	}
	switch pipeline.PhaseReady {
	case to:
		e.disk += a.DiskMB
	case from:
		e.disk -= a.DiskMB
		a.DiskMB = 0
	}
	r.climbed()
	v := &r.views[rung]
	v.Ready, v.Making = to == pipeline.PhaseReady, to.Making()
	v.Failures, v.Falls, v.Barred = a.Failures, a.Falls, e.barred(r, rung)
	if from == pipeline.PhaseReady {
		r.fallen, a.fell = true, why
		v.Served = 0
	}
	e.emit(Action{Kind: ActionRecord, Revision: rev, Rung: rung, From: from, To: to, Cause: cause, Reason: why,
		Version: r.recordings[r.ladder.Rungs[rung].From].Version, At: at})
	return true
}

// moveRecording is the one place that writes a recording's phase.
func (e *Engine) moveRecording(rev RevisionID, x ladder.Recording, cause pipeline.Event, why Reason) bool {
	r := &e.revisions[rev]
	rec := &r.recordings[x]
	from := rec.Phase
	to, err := from.Next(cause)
	if err != nil {
		e.emit(Action{Kind: ActionIllegal, Revision: rev, Recording: x, From: from, Cause: cause, Reason: ReasonWrongState})
		return false
	}
	rec.Phase = to
	r.climbed()
	e.emit(Action{Kind: ActionRecord, Revision: rev, Recording: x, From: from, To: to, Cause: cause, Reason: why, Version: rec.Version})
	return true
}

// note records something that moved nothing. Rung First: it concerns a recording.
func (e *Engine) note(rev RevisionID, rung ladder.ID, x ladder.Recording, why Reason, at int64) {
	r := &e.revisions[rev]
	phase := r.recordings[x].Phase
	if rung != ladder.First {
		phase = r.rungs[rung].Phase
	}
	e.emit(Action{Kind: ActionRecord, Revision: rev, Rung: rung, Recording: x, From: phase, To: phase, Reason: why, Version: r.recordings[x].Version, At: at})
}

// consider asks the policy what the revision should have.
func (e *Engine) consider(rev RevisionID) {
	r := &e.revisions[rev]
	if len(r.rungs) < 2 || r.removed || e.drain || e.functions[r.fn].config.NoOptimize {
		return
	}
	e.figure(r)
	d := e.policy.Decide(e.now, e.viewOf(r))
	r.serve = min(d.Serve, ladder.ID(len(r.rungs)-1))
	for x := ladder.RecordingNone + 1; int(x) < ladder.RecordingCount; x++ {
		rec := &r.recordings[x]
		rec.wanted = x == d.Record
		rec.beside = rec.wanted && d.Beside && !rec.forced
	}
	r.climbed()
	if r.follows {
		if d.Make != ladder.First && int(d.Make) < len(r.rungs) && own(&r.ladder.Rungs[d.Make]) {
			e.wantArtifact(rev, d.Make, ReasonPolicy)
		}
		return
	}
	if d.Record != ladder.RecordingNone && r.useful(d.Record) {
		e.wantRecording(rev, d.Record, ReasonPolicy)
		if d.Beside {
			e.recordAside(r, d.Record)
		}
	}
	if d.Make != ladder.First && int(d.Make) < len(r.rungs) {
		e.wantArtifact(rev, d.Make, ReasonPolicy)
	}
}

// wantRecording begins a recording, unless there is one that will do. Where better rungs serve
// already, a worker is started beside them.
func (e *Engine) wantRecording(rev RevisionID, x ladder.Recording, why Reason) {
	r := &e.revisions[rev]
	rec := &r.recordings[x]
	switch rec.Phase {
	case pipeline.PhaseAbsent:
		e.moveRecording(rev, x, pipeline.EventRecord, why)
	case pipeline.PhaseRecorded:
		if rec.Version >= rec.Least {
			return
		}
		e.moveRecording(rev, x, pipeline.EventRecord, why)
	}
	rung := r.ladder.Recorder(x)
	if rung != ladder.First {
		e.wantArtifact(rev, rung, why) // its workers are there when it is
	}
	if r.onlyAside(x) {
		e.recordAside(r, x)
	}
}

// recordAside lets a worker be started to take a recording beside those that serve, if one may: at once, or when the
// recorder of another recording has ended.
func (e *Engine) recordAside(r *revision, x ladder.Recording) {
	wk := e.pool.Get(r.recorder)
	if wk != nil && wk.Recording == x || !e.mayRecord(r, x) {
		return
	}
	r.aside = x
	if wk != nil && wk.State == pool.Ready && wk.Busy == 0 && r.ladder.Recorder(x) != ladder.First && !r.wants(wk.Recording) {
		e.stop(r.recorder, ReasonReplaced) // nobody needs what it takes; busy, it ends by itself
	}
}

// onlyAside reports whether no worker that is started for an invocation takes a recording.
func (r *revision) onlyAside(x ladder.Recording) bool {
	return r.best != ladder.First || r.ladder.Recorder(x) != ladder.First
}

// nextAside lets the recorder of another recording have its turn when one has ended, if somebody still waits for what it takes.
// One of the first rung does not follow itself: what ended it may end the next one, too.
func (e *Engine) nextAside(r *revision, ended ladder.Recording) {
	for x := ladder.RecordingNone + 1; int(x) < ladder.RecordingCount && r.aside == ladder.RecordingNone; x++ {
		if r.onlyAside(x) && (x != ended || r.ladder.Recorder(x) != ladder.First) {
			e.recordAside(r, x)
		}
	}
}

// recorded notes what a recorder left, which may let a build start.
func (e *Engine) recorded(ev Event) {
	r := e.revision(ev.Revision)
	x := ev.Recording
	switch {
	case r == nil:
		e.illegal(ev, ReasonUnknownRevision)
		return
	case x == ladder.RecordingNone || int(x) >= ladder.RecordingCount || !r.ladder.Records(x):
		e.illegal(ev, ReasonWrongState)
		return
	case ev.Version < r.recordings[x].Version || ev.Version == 0:
		e.illegal(ev, ReasonMalformed)
		return
	}
	rec := &r.recordings[x]
	first := rec.Version == 0
	rec.grown = rec.grown || ev.Version > rec.Version
	rec.Version = ev.Version
	e.bar(r)
	r.climbed()
	if ev.Complete && rec.Phase != pipeline.PhaseRecorded {
		e.complete(ev.Revision, x, ReasonImported)
	}
	e.admitFrom(ev.Revision, x)
	if first {
		e.consider(ev.Revision)
	}
}

// complete ends a recording. If it brought nothing new after it was found not to be enough, there is
// nothing more to learn.
func (e *Engine) complete(rev RevisionID, x ladder.Recording, why Reason) {
	r := &e.revisions[rev]
	rec := &r.recordings[x]
	rec.failures, rec.forced = 0, false
	rec.taken, rec.served = 0, 0
	rec.Least = min(rec.Least, rec.Version)
	e.moveRecording(rev, x, pipeline.EventRecorded, why)
	for id := 1; id < len(r.rungs); id++ {
		if r.ladder.Rungs[id].Also == x {
			r.rungs[id].FailedVersion = 0 // what failed was made from another
		}
	}
	if rung := r.ladder.Recorder(x); rung != ladder.First && r.rungs[rung].Phase == pipeline.PhaseReady {
		e.drop(rev, rung, why) // it was made for this alone
	}
}

// recorderEnded is the end of the recorder, with all that it recorded stored.
func (e *Engine) recorderEnded(rev RevisionID, x ladder.Recording, taken int32) {
	r := &e.revisions[rev]
	rec := &r.recordings[x]
	r.recorder = pool.None
	rec.taken += taken
	rec.served += r.answered
	switch {
	case r.follows: // it began before another node owned the pipeline
	case rec.Phase != pipeline.PhaseRecording || r.removed:
	case !x.AtEnd() && rec.served == 0 && rec.taken < e.config.TraceLimit:
		// It died before it served: the next worker records again.
	case rec.Version == 0 || x.AtEnd() && !rec.grown:
		e.recorderFailed(rev, x)
	case rec.served < x.Least():
		e.recordAside(r, x) // the next one adds to it
	default:
		e.complete(rev, x, ReasonRecorded)
		e.admitFrom(rev, x)
		e.consider(rev)
	}
}

// recorderFailed lets workers that do not record serve for a while.
func (e *Engine) recorderFailed(rev RevisionID, x ladder.Recording) {
	r := &e.revisions[rev]
	rec := &r.recordings[x]
	rec.failures++
	rec.taken, rec.served = 0, 0
	rec.notBefore = e.now + e.policy.BuildBackoff(rec.failures)
	r.aside = ladder.RecordingNone
	if rec.forced && r.onlyAside(x) {
		r.aside = x
		e.timers.push(rec.notBefore, rev)
	}
	e.note(rev, ladder.First, x, ReasonRecorderFailed, rec.notBefore)
	e.preparedFrom(rev, x, ReasonRecorderFailed)
}

// prepare makes what can be made before the first invocation: light artifacts, whose recording is
// taken from a worker that only starts, and those that are for this.
func (e *Engine) prepare(rev RevisionID) {
	r := &e.revisions[rev]
	r.preparing, r.pending, r.unprepared, r.failed = true, 0, ReasonNone, ladder.First
	x := ladder.RecordingNone
	for id := 1; id < len(r.rungs); id++ {
		row, a := &r.ladder.Rungs[id], &r.rungs[id]
		if row.Weighed() || a.Never {
			continue
		}
		if a.Phase == pipeline.PhaseAbsent && row.Light {
			x = row.From
		}
		if a.Phase == pipeline.PhaseAbsent || a.Phase.Making() { // a restart may have cut it off
			r.pending |= 1 << id
			e.wantArtifact(rev, ladder.ID(id), ReasonPrepare)
		}
	}
	if r.pending == 0 || e.functions[r.fn].config.NoOptimize || e.drain {
		e.prepared(rev, ReasonNone)
		return
	}
	if x == ladder.RecordingNone {
		return
	}
	r.recordings[x].forced = true
	r.climbed()
	e.wantRecording(rev, x, ReasonPrepare)
	if e.mayRecord(r, x) {
		r.aside = x
	} else {
		e.preparedFrom(rev, x, ReasonTooLarge)
	}
}

// preparedRung takes a rung out of the preparation of its revision, ReasonNone if its artifact serves. The preparation ends with
// the last one.
func (e *Engine) preparedRung(rev RevisionID, rung ladder.ID, why Reason) {
	r := &e.revisions[rev]
	if !r.preparing || r.pending>>rung&1 == 0 {
		return
	}
	r.pending &^= 1 << rung
	if r.unprepared == ReasonNone && why != ReasonNone {
		r.unprepared = why
		if r.rungs[rung].Phase == pipeline.PhaseFailed {
			r.failed = rung
		}
	}
	if r.pending == 0 {
		e.prepared(rev, r.unprepared)
	}
}

// preparedFrom does so with all rungs that are made from a recording.
func (e *Engine) preparedFrom(rev RevisionID, x ladder.Recording, why Reason) {
	for id, row := range e.revisions[rev].ladder.Rungs {
		if row.Needs(x) {
			e.preparedRung(rev, ladder.ID(id), why)
		}
	}
}

// prepared ends the preparation of a revision, ReasonNone if all went well.
func (e *Engine) prepared(rev RevisionID, why Reason) {
	if r := &e.revisions[rev]; r.preparing {
		r.preparing, r.pending = false, 0
		e.emit(Action{Kind: ActionPrepared, Revision: rev, Rung: r.failed, Reason: why})
	}
}

// viewOf is what the policy sees of a revision, until the next call. Every invocation asks for one, so
// that each field costs.
func (e *Engine) viewOf(r *revision) *policy.View {
	f := &e.functions[r.fn]
	v := &e.view
	v.Function, v.Revision, v.Params = r.fn, r.id, f.config.Params
	v.Ladder, v.Rung, v.Rungs, v.Recorded = r.ladder, r.best, r.views, r.recorded
	v.Recent = &f.recent
	v.Invocations, v.ColdStarts = r.invocations, r.colds
	v.Busy, v.CPU, v.Added, v.Service = r.busy, r.cpu, r.added, r.service
	g := e.group(r)
	v.Waiting, v.Starting, v.Idle, v.Working = r.queue.n+r.retries.n, e.pool.InStart(g), e.pool.Idles(g), e.pool.Working(g)
	if r.queue.n > 0 {
		v.Oldest = e.inv[r.queue.head].at
	}
	v.Fresh, v.Full, v.Cores = false, e.now < e.full, e.config.Cores
	v.Crowded = e.starved.head != noRevision && (e.starved.head != r.id || e.starved.tail != r.id)
	return v
}
