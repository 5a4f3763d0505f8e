package engine

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pool"
)

const never = pool.Never

const (
	// startAttempts is how many sandboxes in a row may fail before an invocation does.
	startAttempts = 3
	// rungAttempts is how often in a row workers of a rung may fail to start, or crash, before it is left.
	rungAttempts = 2
	// soon is a start that is as good as a warm worker, ns.
	soon = int64(100 * time.Millisecond)
	// startDelay is the wait after the first failed sandbox; it doubles.
	startDelay = int64(50 * time.Millisecond)
)

// group is a revision's group in the pool: they have the same index.
func (e *Engine) group(r *revision) pool.GroupID { return pool.GroupID(r.id) }

// stop stops a worker that runs nothing.
func (e *Engine) stop(w WorkerID, why Reason) {
	wk := e.pool.Get(w)
	e.emit(Action{Kind: ActionStop, Worker: w, Revision: RevisionID(wk.Group), Rung: wk.Rung, Recording: wk.Recording, Reason: why})
	e.pool.Stop(w)
}

// drainWorker lets a worker finish what it runs, and no more; freed stops it then.
func (e *Engine) drainWorker(w WorkerID, why Reason) {
	wk := e.pool.Get(w)
	if !wk.Draining {
		wk.Why = uint8(why)
		e.pool.Drain(w)
	}
}

// stopIdle stops the idle workers of a revision.
func (e *Engine) stopIdle(rev RevisionID, why Reason) {
	for w := e.pool.FirstIdle(pool.GroupID(rev)); w != pool.None; w = e.pool.FirstIdle(pool.GroupID(rev)) {
		e.stop(w, why)
	}
}

// unusable is why a worker may run nothing more, whoever waits.
func (e *Engine) unusable(r *revision, wk *pool.Worker) Reason {
	switch {
	case wk.Draining:
		return Reason(wk.Why)
	case !e.usable(r, wk.Rung):
		return r.rungs[wk.Rung].fell
	case wk.Recording.AtEnd() && wk.Served > 0 && e.now-wk.Since >= int64(wk.Recording.Span().Busy) &&
		r.recordings[wk.Recording].served+r.answered >= wk.Recording.Least():
		return ReasonRecordDone
	case wk.Recording == ladder.RecordingNone && !r.ladder.Rungs[wk.Rung].Serves():
		return ReasonReplaced // it was there for the check
	}
	return ReasonNone
}

// unwanted is why a worker that nobody waits for is not kept. Workers of a rung that
// new ones do not have any more end here, when they have finished what they ran: so they are
// replaced one by one, and those idle at the switch serve once more or expire.
func (e *Engine) unwanted(r *revision, w WorkerID, wk *pool.Worker) Reason {
	switch {
	case e.drain:
		return ReasonDraining
	case r.removed:
		return ReasonRevisionGone
	case wk.Recording != ladder.RecordingNone:
		// One recorder at a time: one that nobody needs makes way for the recorder of another rung.
		if !r.recording || w != r.recorder || r.ladder.Recorder(r.aside) != ladder.First && !r.wants(wk.Recording) {
			return ReasonReplaced
		}
	case wk.Rung != r.best && !e.stays(r, wk):
		// The last one stays where nobody would take its place soon.
		if e.pool.Idles(e.group(r)) > 0 || r.views[r.best].Start < soon {
			return ReasonReplaced
		}
	}
	return ReasonNone
}

// stays reports whether a worker goes on though new ones are of a higher rung: its code is warm, and they do not outclass it.
func (e *Engine) stays(r *revision, wk *pool.Worker) bool {
	return wk.Rung < r.best && wk.Served >= learnAfter && !e.viewOf(r).Outclassed(wk.Rung, r.best)
}

// freed looks after a worker that has a free slot: the next invocation, or idle, or stopped.
func (e *Engine) freed(w WorkerID, rev RevisionID) {
	wk, r := e.pool.Get(w), &e.revisions[rev]
	if wk.State != pool.Ready {
		return
	}
	if why := e.unusable(r, wk); why != ReasonNone {
		e.drainWorker(w, why)
		if wk.Busy == 0 {
			e.stop(w, why)
		}
		e.want(rev)
		return
	}
	if e.starved.head != noRevision && wk.Busy == 0 && e.yields(rev, r) {
		e.stop(w, ReasonYielded)
		e.room()
		e.want(rev)
		return
	}
	if e.surplus(r, wk) {
		e.stop(w, ReasonSurplus)
		if e.starved.head != noRevision {
			e.room()
		}
		return
	}
	e.feed(w, rev, false)
	if wk = e.pool.Get(w); wk.Busy == wk.Slots || wk.Draining {
		return
	}
	e.keep(w, rev)
	if e.starved.head != noRevision {
		e.room()
	}
}

// surplus reports whether a free worker ends though invocations wait: only others that work will take them.
func (e *Engine) surplus(r *revision, wk *pool.Worker) bool {
	if e.now >= e.full || r.queue.n == 0 || wk.Busy > 0 || wk.Recording != ladder.RecordingNone {
		return false
	}
	v := e.viewOf(r)
	v.Working-- // but for this one
	return v.Working > 0 && e.policy.Surplus(e.now, v)
}

// feed gives a worker as many waiting invocations as it can take.
func (e *Engine) feed(w WorkerID, rev RevisionID, cold bool) {
	r := &e.revisions[rev]
	for {
		wk := e.pool.Get(w)
		if wk.Busy == wk.Slots || wk.Draining {
			return
		}
		switch {
		case r.retries.n > 0 && w == r.recorder:
			e.assign(e.dequeue(r, &r.retries), w, cold)
		case r.queue.n > 0:
			e.assign(e.dequeue(r, &r.queue), w, cold)
		default:
			return
		}
	}
}

// keep lists a worker that nobody waits for, or stops it.
func (e *Engine) keep(w WorkerID, rev RevisionID) {
	wk, r := e.pool.Get(w), &e.revisions[rev]
	if wk.Busy > 0 {
		e.pool.Share(w)
		return
	}
	if why := e.unwanted(r, w, wk); why != ReasonNone {
		e.stop(w, why)
		return
	}
	if wk.Recording.AtEnd() {
		idle := wk.Recording.Span().Idle
		if wk.Served == 0 && !r.preparing {
			idle = wk.Recording.Span().Fresh
		}
		e.pool.Park(w, e.now+int64(idle))
		return
	}
	if wk.Served == 1 { // it has done its first: time to look what else may be done beside
		e.consider(rev)
		if e.needsAside(r) {
			e.timers.push(e.now, rev)
		}
	}
	v := e.viewOf(r)
	v.Rung, v.Fresh = wk.Rung, wk.Served == 0
	v.Working-- // but for this one
	keep := e.policy.Keep(e.now, v)
	r.again = -keep.Again // not yet: it counts when the last worker is stopped for idleness
	if wk.Served == 0 && r.recordings[wk.Recording].forced {
		keep.Alive = max(keep.Alive, int64(wk.Recording.Span().Fresh))
	}
	if keep.Alive <= 0 {
		e.expire(w)
		return
	}
	e.pool.Park(w, e.now+keep.Alive)
}

// expire stops a worker that was idle for long enough. When it was the last of its revision, one
// may be started again ahead of the next invocation.
func (e *Engine) expire(w WorkerID) {
	wk := e.pool.Get(w)
	r := &e.revisions[wk.Group]
	why := ReasonIdle
	if wk.Recording.AtEnd() {
		why = ReasonRecordDone
	}
	e.stop(w, why)
	if e.pool.Idles(e.group(r)) > 0 {
		return
	}
	if why == ReasonRecordDone {
		// Until what it recorded is of use another one is there, as if this one had stayed.
		if e.functions[r.fn].config.Params.KeepAlive > 0 && !r.preparing && wk.Rung == ladder.First {
			r.again = e.now
			e.timers.push(e.now, r.id)
		}
		return
	}
	if again := -r.again; again > 0 {
		r.again = max(again, e.now)
		e.timers.push(r.again, r.id)
	}
	// Nothing could record while it was there, as when many functions started at once: maybe now.
	if e.consider(r.id); e.needsAside(r) {
		e.timers.push(e.now, r.id)
	}
}

// workerReady gives a new worker its first invocation.
func (e *Engine) workerReady(ev Event) {
	wk := e.pool.Get(ev.Worker)
	if wk == nil {
		e.illegal(ev, ReasonUnknownWorker)
		return
	}
	switch wk.State {
	case pool.Starting, pool.Checking:
	case pool.Stopping:
		return // it was stopped while it became ready; it exits
	default:
		e.illegal(ev, ReasonWrongState)
		return
	}
	rev := RevisionID(wk.Group)
	r := &e.revisions[rev]
	e.pool.Ready(ev.Worker)
	r.startFailures, r.initFailures, r.proven = 0, 0, true
	e.started(r, wk)
	if wk.Rung != ladder.First {
		a := &r.rungs[wk.Rung]
		a.failures = 0
		if ev.Worker == a.checker {
			a.checker = pool.None
			e.checked(rev, wk.Rung, ev)
			wk = e.pool.Get(ev.Worker)
		}
	}
	if why := e.unusable(r, wk); why != ReasonNone {
		e.stop(ev.Worker, why)
		e.want(rev)
	} else {
		e.feed(ev.Worker, rev, true)
		if wk = e.pool.Get(ev.Worker); wk.Busy < wk.Slots && !wk.Draining {
			e.keep(ev.Worker, rev)
		}
	}
	if r.held {
		r.held = false
		e.want(rev)
	}
	if e.starved.head != noRevision {
		e.room()
	}
}

// workerFailed looks for another way to serve those that waited for a worker.
func (e *Engine) workerFailed(ev Event) {
	wk := e.pool.Get(ev.Worker)
	if wk == nil {
		e.illegal(ev, ReasonUnknownWorker)
		return
	}
	if wk.State == pool.Ready {
		e.illegal(ev, ReasonWrongState)
		return
	}
	rev, rung, x, asked, since := RevisionID(wk.Group), wk.Rung, wk.Recording, wk.State == pool.Stopping, wk.Since
	r := &e.revisions[rev]
	e.pool.Gone(ev.Worker)
	switch {
	case rung != ladder.First && ev.Worker == r.rungs[rung].checker:
		r.rungs[rung].checker = pool.None
		e.checkFailed(rev, rung, ev)
	case asked || ev.Failure == FailureStopped:
		if ev.Worker == r.recorder {
			r.recorder = pool.None
		}
	case x != ladder.RecordingNone:
		r.recorder = pool.None
		switch {
		case ev.Failure == FailureSandbox:
			e.startFailed(rev, ev.Worker)
		case rung != ladder.First:
			e.recorderFailed(rev, x)
			e.rungFailed(rev, rung, ev.Failure, ReasonRungStartFailed)
		default:
			e.initFailed(r, ev.Failure, e.now-since)
			e.recorderFailed(rev, x)
		}
	case ev.Failure == FailureSandbox:
		e.startFailed(rev, ev.Worker)
	case rung != ladder.First:
		e.rungFailed(rev, rung, ev.Failure, ReasonRungStartFailed)
	default:
		e.initFailed(r, ev.Failure, e.now-since)
		e.failFirst(rev, ev.Worker, ReasonInitFailed)
		if ev.Failure == FailureSlow {
			e.failOlder(rev, ev.Worker, since+(e.now-since)/2)
		}
	}
	if r.recorder == pool.None {
		e.nextAside(r, x)
	}
	e.settle(rev)
}

// startFailed waits a little longer each time, and after some attempts fails an invocation each.
func (e *Engine) startFailed(rev RevisionID, w WorkerID) {
	r := &e.revisions[rev]
	if e.now >= r.startNotBefore { // those of one burst are one failure
		r.startFailures++
		r.startNotBefore = e.now + startDelay<<min(r.startFailures-1, 6)
		e.timers.push(r.startNotBefore, rev)
	}
	if r.startFailures >= startAttempts {
		e.failFirst(rev, w, ReasonStartFailed)
	}
}

// failFirst ends the invocation that has waited longest, unless other workers that are
// starting will serve all that wait.
func (e *Engine) failFirst(rev RevisionID, w WorkerID, why Reason) {
	r := &e.revisions[rev]
	id := r.queue.head
	if r.queue.n == 0 {
		id = r.retries.head
	}
	if r.queue.n+r.retries.n == 0 || !e.uncovered(r) {
		return
	}
	e.endWaiting(id)
	e.emit(Action{Kind: ActionFail, Invocation: id, Revision: rev, Worker: w, Reason: why})
}

// workerExited forgets a worker; its memory is free.
func (e *Engine) workerExited(ev Event) {
	wk := e.pool.Get(ev.Worker)
	if wk == nil {
		e.illegal(ev, ReasonUnknownWorker)
		return
	}
	if wk.State == pool.Starting || wk.State == pool.Checking {
		e.illegal(ev, ReasonWrongState)
		return
	}
	rev := RevisionID(wk.Group)
	r := &e.revisions[rev]
	for wk.Running >= 0 {
		id := InvocationID(wk.Running)
		inv := &e.inv[id]
		e.detach(id, inv, wk)
		e.end(r, inv)
		e.emit(Action{Kind: ActionFail, Invocation: id, Revision: rev, Worker: ev.Worker, Reason: ReasonWorkerLost})
	}
	x, served := wk.Recording, wk.Served
	r.views[wk.Rung].Served += uint64(served % reconsider)
	e.learnMemory(r, wk, ev.MemoryMB)
	e.pool.Gone(ev.Worker)
	if ev.Worker == r.recorder {
		e.recorderEnded(rev, x, served)
		e.nextAside(r, x)
	}
	e.settle(rev)
}

// settle looks after a revision to which something rare has happened: what waits gets
// workers, others get the room that is left, and a removed revision goes when it is empty.
func (e *Engine) settle(rev RevisionID) {
	if e.revisions[rev].fallen {
		e.dropFallen(rev)
	}
	e.want(rev)
	if e.starved.head != noRevision {
		e.room()
	}
	e.maybeGone(rev)
}
