package engine

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/pool"
)

const never = pool.Never

const (
	// startAttempts is how many sandboxes in a row may fail before an invocation does.
	startAttempts = 3
	// nativeAttempts is how often in a row a binary may fail to start before it is given up.
	nativeAttempts = 2
	// startDelay is the wait after the first failed sandbox; it doubles.
	startDelay = int64(50 * time.Millisecond)
)

// group is a revision's group in the pool: they have the same index.
func (e *Engine) group(r *revision) pool.GroupID { return pool.GroupID(r.id) }

// stop stops a worker that runs nothing.
func (e *Engine) stop(w WorkerID, why Reason) {
	wk := e.pool.Get(w)
	e.emit(Action{Kind: ActionStop, Worker: w, Revision: RevisionID(wk.Group), Tier: wk.Tier, Level: wk.Level, Reason: why})
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
	case wk.Tier == function.TierNative && !e.native(r):
		return ReasonDeoptimized
	}
	return ReasonNone
}

// unwanted is why a worker that nobody waits for is not kept. Workers of a tier or level that
// new ones do not have any more end here, when they have finished what they ran: so they are
// replaced one by one, and those idle at the switch serve once more or expire.
func (e *Engine) unwanted(r *revision, wk *pool.Worker) Reason {
	switch {
	case e.drain:
		return ReasonDraining
	case r.removed:
		return ReasonRevisionGone
	case e.native(r) && (wk.Tier != function.TierNative || wk.Level != r.saved.Level):
		return ReasonReplaced
	case wk.Tier == function.TierHotSpotAgent && !e.mayTrace(r):
		return ReasonReplaced
	}
	return ReasonNone
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
	e.feed(w, rev, false)
	if wk = e.pool.Get(w); wk.Busy == wk.Slots || wk.Draining {
		return
	}
	e.keep(w, rev)
	if e.starved.head != noRevision {
		e.room()
	}
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
		case r.retries.n > 0 && w == r.tracer:
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
	if why := e.unwanted(r, wk); why != ReasonNone {
		e.stop(w, why)
		return
	}
	v := e.viewOf(rev)
	v.Tier = wk.Tier
	keep := e.policy.KeepAlive(e.now, v)
	if keep <= 0 {
		e.stop(w, ReasonIdle)
		return
	}
	e.pool.Park(w, e.now+keep)
}

// workerReady gives a new worker its first invocation.
func (e *Engine) workerReady(ev Event) {
	wk := e.pool.Get(ev.Worker)
	if wk == nil {
		e.illegal(ev, ReasonUnknownWorker)
		return
	}
	switch wk.State {
	case pool.Starting:
	case pool.Stopping:
		return // it was stopped while it became ready; it exits
	default:
		e.illegal(ev, ReasonWrongState)
		return
	}
	rev := RevisionID(wk.Group)
	r := &e.revisions[rev]
	e.pool.Ready(ev.Worker)
	r.startFailures = 0
	if ev.Worker == r.checker {
		r.checker = pool.None
		e.checked(rev)
	}
	if wk.Tier == function.TierNative {
		r.nativeFailures = 0
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
	rev, tier, asked := RevisionID(wk.Group), wk.Tier, wk.State == pool.Stopping
	r := &e.revisions[rev]
	e.pool.Gone(ev.Worker)
	switch {
	case ev.Worker == r.checker:
		r.checker = pool.None
		e.checkFailed(rev, ev.Failure)
	case asked || ev.Failure == FailureStopped:
		if ev.Worker == r.tracer {
			r.tracer = pool.None
		}
	case tier == function.TierHotSpotAgent:
		r.tracer = pool.None
		if ev.Failure == FailureSandbox {
			e.startFailed(rev, ev.Worker)
		} else {
			e.tracerFailed(rev)
		}
	case ev.Failure == FailureSandbox:
		e.startFailed(rev, ev.Worker)
	case tier == function.TierNative:
		e.nativeFailed(rev, ev.Failure, ReasonNativeStartFailed)
	default:
		e.failFirst(rev, ev.Worker, ReasonInitFailed)
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
	if wk.State == pool.Starting {
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
	e.pool.Gone(ev.Worker)
	if ev.Worker == r.tracer {
		r.tracer = pool.None
		e.traceEnded(rev)
	}
	e.settle(rev)
}

// settle looks after a revision to which something rare has happened: what waits gets
// workers, others get the room that is left, and a removed revision goes when it is empty.
func (e *Engine) settle(rev RevisionID) {
	e.want(rev)
	if e.starved.head != noRevision {
		e.room()
	}
	e.maybeGone(rev)
}
