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

// tier is how a worker that starts now runs the revision.
func (e *Engine) tier(r *revision) function.Tier {
	switch {
	case r.direct:
		return function.TierDirect
	case e.native(r):
		return function.TierNative
	case r.tracer == pool.None && e.mayTrace(r):
		return function.TierHotSpotAgent
	}
	return function.TierHotSpot
}

// want starts as many workers as the waiting invocations of a revision need and the node
// has room for; for the rest, the revision waits for its turn.
func (e *Engine) want(rev RevisionID) {
	r := &e.revisions[rev]
	if r.retries.n > 0 && r.tracer == pool.None && !e.mayTrace(r) {
		e.untrace(r)
	}
	if r.retries.n > 0 {
		if wk := e.pool.Get(r.tracer); wk != nil && wk.State == pool.Ready {
			e.feed(r.tracer, rev, false)
		}
	}
	if r.queue.n > 0 && e.pool.Live(e.group(r)) == 0 && !e.pool.FitsEver(r.mem[e.tier(r)]) {
		e.rejectAll(rev, ReasonTooLarge)
	}
	for e.needs(r) {
		if e.starved.head != noRevision && e.starved.head != rev {
			// Those that were first stay first.
			e.starve(rev)
			e.room()
			return
		}
		if !e.start(rev) {
			e.starve(rev)
			return
		}
	}
	e.unstarve(rev)
}

// untrace lets any worker take the invocations that were to run again under the tracer, ahead of
// the others: there can be no tracing worker, and a right answer is worth more than its trace.
func (e *Engine) untrace(r *revision) {
	all := r.retries
	for id := all.head; id != noInvocation; id = e.inv[id].next {
		e.inv[id].state = invWaiting
	}
	if r.queue.n > 0 {
		e.inv[all.tail].next = r.queue.head
		e.inv[r.queue.head].prev = all.tail
		all.tail = r.queue.tail
	}
	all.n += r.queue.n
	r.queue, r.retries = all, queue{}
	for r.queue.n > 0 {
		w := e.pool.Pick(e.group(r))
		if w == pool.None {
			return
		}
		e.assign(e.dequeue(r, &r.queue), w, false)
	}
}

// needs reports whether one more worker should start for the revision now.
func (e *Engine) needs(r *revision) bool {
	return r.checkWanted || r.queue.n+r.retries.n > 0 && r.startNotBefore <= e.now && e.uncovered(r)
}

// uncovered reports whether more wait than the workers that are starting will take.
func (e *Engine) uncovered(r *revision) bool {
	if r.retries.n > 0 && r.tracer == pool.None {
		return true
	}
	coming := e.pool.InStart(e.group(r))
	if e.inStart(r.checker) {
		coming-- // it may well fail
	}
	if r.retries.n > 0 && e.inStart(r.tracer) {
		coming--
	}
	return r.queue.n > coming*r.slots
}

func (e *Engine) inStart(w WorkerID) bool {
	wk := e.pool.Get(w)
	return wk != nil && wk.State == pool.Starting
}

// start starts one worker that the revision needs; false if the node has no room now.
func (e *Engine) start(rev RevisionID) bool {
	r := &e.revisions[rev]
	tier, level := e.tier(r), function.LevelNone
	if r.checkWanted {
		tier, level = function.TierNative, r.saved.Wanted
	} else if tier == function.TierNative {
		level = r.saved.Level
	}
	if e.config.Starts > 0 && e.pool.Starting() >= int(e.config.Starts) {
		e.memoryShort = false
		return false
	}
	if !e.makeRoom(r.mem[tier]) {
		e.memoryShort = true
		return false
	}
	w := e.pool.Start(e.group(r), tier, level, r.mem[tier], r.slots)
	a := Action{Kind: ActionStart, Worker: w, Revision: rev, Tier: tier, Level: level}
	if r.checkWanted {
		r.checkWanted, r.checker = false, w
		e.pool.Get(w).Check = true
		a.Check = true
		e.emit(a)
		return true
	}
	if tier == function.TierHotSpotAgent {
		r.tracer = w
	}
	a.Cold = true
	e.emit(a)
	r.colds++
	f := &e.functions[r.fn]
	f.recent.Add(e.now, f.config.Params.Threshold)
	e.consider(rev)
	return true
}

// makeRoom reports whether a worker of mib can start, and evicts idle workers if that helps.
// What they leave is free only when they are gone: the start is tried again then.
func (e *Engine) makeRoom(mib int32) bool {
	if e.pool.Fits(mib) {
		return true
	}
	if e.pool.FitsEvicting(mib) {
		for !e.pool.FitsSoon(mib) {
			e.stop(e.pool.Oldest(), ReasonEvicted)
		}
	}
	return false
}

// room lets those that wait for memory, or for a start to end, start workers: one each in
// turn, so that no function takes it all. The first stays first until it has its worker, but a
// mere start-up check lets others past.
func (e *Engine) room() {
	passed := noRevision
	for e.starved.head != noRevision && e.starved.head != passed {
		rev := e.starved.head
		r := &e.revisions[rev]
		if e.needs(r) && !e.start(rev) {
			if r.queue.n+r.retries.n > 0 {
				return
			}
			if passed == noRevision {
				passed = rev
			}
		}
		e.unstarve(rev)
		if e.needs(r) {
			e.starve(rev)
		}
	}
}

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

// yields reports whether a free worker of a revision should be given up, although invocations
// wait for it, because the first of those that wait for memory has fewer workers, or needs one
// for tracing, and has waited longer.
func (e *Engine) yields(rev RevisionID, r *revision) bool {
	head := e.starved.head
	first := &e.revisions[head]
	toTrace := first.retries.n > 0 && first.tracer == pool.None
	if !e.memoryShort || r.queue.n == 0 || first.queue.n+first.retries.n == 0 || e.pool.FitsSoon(first.mem[e.tier(first)]) {
		return false
	}
	if !toTrace && (head == rev || e.pool.Live(e.group(first)) >= e.pool.Live(e.group(r))) {
		return false
	}
	since := int64(never)
	if first.queue.n > 0 {
		since = e.inv[first.queue.head].at
	}
	if toTrace {
		since = min(since, e.inv[first.retries.head].at)
	}
	return e.now-since >= e.config.Patience && (toTrace || since < e.inv[r.queue.head].at)
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
