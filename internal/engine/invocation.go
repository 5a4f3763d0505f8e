package engine

import (
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pool"
)

// arrived gives a new invocation to a warm worker, lets it wait, or rejects it.
func (e *Engine) arrived(ev Event) {
	r := e.revision(ev.Revision)
	if r == nil {
		e.illegal(ev, ReasonUnknownRevision)
		return
	}
	if ev.Invocation < 0 {
		e.illegal(ev, ReasonMalformed)
		return
	}
	for int(ev.Invocation) >= len(e.inv) {
		e.inv = append(e.inv, invocation{})
	}
	inv := &e.inv[ev.Invocation]
	if inv.state != invFree {
		e.illegal(ev, ReasonTaken)
		return
	}
	f := &e.functions[r.fn]
	if e.observer != nil {
		e.observer.Arrived(e.now, r.fn, ev.Revision)
	}
	if why := e.refuse(r, f); why != ReasonNone {
		e.emit(Action{Kind: ActionReject, Invocation: ev.Invocation, Revision: ev.Revision, Reason: why})
		return
	}
	w := e.pool.Pick(pool.GroupID(ev.Revision))
	if r.recorder != pool.None && w != r.recorder && r.recording && e.pool.Get(r.recorder).Idle() {
		w = r.recorder // what it sees is wanted; it starts slower than others and would get too little
	}
	if w == pool.None {
		if why := e.refuseToWait(r, f); why != ReasonNone {
			e.emit(Action{Kind: ActionReject, Invocation: ev.Invocation, Revision: ev.Revision, Reason: why})
			return
		}
	}
	if r.again > 0 {
		r.again = 0 // it is there before it was expected
	}
	r.invocations++
	f.inflight++
	e.inflight++
	inv.rev = ev.Revision
	if w != pool.None {
		e.assign(ev.Invocation, w, false)
		return
	}
	e.enqueue(ev.Invocation, &r.queue, invWaiting)
	e.want(ev.Revision)
}

// refuse is why a new invocation may not even run on a warm worker.
func (e *Engine) refuse(r *revision, f *fn) Reason {
	switch {
	case r.removed:
		return ReasonRevisionGone
	case e.drain:
		return ReasonDraining
	case f.config.Reserved >= 0 && f.inflight >= f.config.Reserved:
		return ReasonThrottled
	case e.config.Concurrency > 0 && (e.inflight >= e.config.Concurrency || e.overShare(f)):
		return ReasonNodeThrottled
	}
	return ReasonNone
}

// refuseToWait is why a new invocation that no warm worker can take may not wait.
func (e *Engine) refuseToWait(r *revision, f *fn) Reason {
	limit := f.config.QueueLimit
	if limit == 0 {
		limit = e.config.QueueLimit
	}
	if limit > 0 && f.waiting >= limit {
		return ReasonQueueFull
	}
	if !e.pool.FitsEver(r.mib(e.place(r))) && e.pool.Live(e.group(r)) == 0 {
		return ReasonTooLarge
	}
	return ReasonNone
}

func (e *Engine) enqueue(id InvocationID, q *queue, state invState) {
	inv := &e.inv[id]
	inv.state, inv.at, inv.worker = state, e.now, pool.None
	e.pushBack(q, id)
	r := &e.revisions[inv.rev]
	e.functions[r.fn].waiting++
	e.waiting++
	if r.wait > 0 && r.giveUp == 0 {
		r.giveUp = e.now + r.wait
		e.timers.push(r.giveUp, inv.rev)
	}
}

// dequeue takes the first of a queue that is not empty.
func (e *Engine) dequeue(r *revision, q *queue) InvocationID {
	id := q.head
	e.remove(q, id)
	e.functions[r.fn].waiting--
	e.waiting--
	return id
}

// assign runs an invocation, which is in no queue, on a worker with a free slot. Cold: it
// waited for this very worker to start.
func (e *Engine) assign(id InvocationID, w WorkerID, cold bool) {
	e.pool.Acquire(w)
	wk := e.pool.Get(w)
	inv := &e.inv[id]
	inv.state, inv.at, inv.worker = invRunning, e.now, w
	inv.prev, inv.next = noInvocation, InvocationID(wk.Running)
	if inv.next != noInvocation {
		e.inv[inv.next].prev = id
	}
	wk.Running = int32(id)
	e.emit(Action{Kind: ActionAssign, Invocation: id, Worker: w, Revision: inv.rev, Rung: wk.Rung, Recording: wk.Recording, Cold: cold})

	r := &e.revisions[inv.rev]
	if wk.Served%reconsider == 0 {
		r.views[wk.Rung].Served += reconsider
		e.consider(inv.rev)
		wk = e.pool.Get(w)
	}
	if wk.Recording == ladder.RecordingMetadata && w == r.recorder && wk.Served >= r.taken {
		e.drainWorker(w, ReasonRecordDone)
	}
}

// reconsider is after how many invocations of a worker the policy is asked again.
const reconsider = 256

// cancelled takes back an invocation that still waits.
func (e *Engine) cancelled(ev Event) {
	if uint(ev.Invocation) >= uint(len(e.inv)) {
		e.illegal(ev, ReasonUnknownInvocation)
		return
	}
	inv := &e.inv[ev.Invocation]
	switch inv.state {
	case invFree:
		e.illegal(ev, ReasonUnknownInvocation)
	case invRunning:
		// It runs to its end: nobody knows how far it has come.
	default:
		e.rejectWaiting(ev.Invocation, ReasonCancelled)
		e.settle(inv.rev)
	}
}

// rejectWaiting ends an invocation that waits.
func (e *Engine) rejectWaiting(id InvocationID, why Reason) {
	e.endWaiting(id)
	e.emit(Action{Kind: ActionReject, Invocation: id, Revision: e.inv[id].rev, Reason: why})
}

// endWaiting takes an invocation out of its queue and forgets it.
func (e *Engine) endWaiting(id InvocationID) {
	inv := &e.inv[id]
	r := &e.revisions[inv.rev]
	q := &r.queue
	if inv.state == invRetrying {
		q = &r.retries
	}
	e.remove(q, id)
	e.functions[r.fn].waiting--
	e.waiting--
	e.end(r, inv)
}

// end forgets an invocation that is in no list.
func (e *Engine) end(r *revision, inv *invocation) {
	inv.state = invFree
	e.functions[r.fn].inflight--
	e.inflight--
}

// fullFor is how long (ns) a machine counts as full after it was measured to be; it is measured once a second.
const fullFor = int64(2500e6)

// finished takes an invocation off its worker, and gives the worker its next one.
func (e *Engine) finished(ev Event) {
	if uint(ev.Invocation) >= uint(len(e.inv)) {
		e.illegal(ev, ReasonUnknownInvocation)
		return
	}
	inv := &e.inv[ev.Invocation]
	if inv.state != invRunning || inv.worker != ev.Worker {
		e.illegal(ev, ReasonUnknownInvocation)
		return
	}
	w, rev := inv.worker, inv.rev
	wk, r := e.pool.Get(w), &e.revisions[rev]
	e.detach(ev.Invocation, inv, wk)
	e.pool.Release(w)
	took := e.now - inv.at
	r.busy += took
	if r.cpu += max(ev.CPU, 0); ev.Full {
		e.full = e.now + fullFor
	} else if ev.CPU > 0 {
		e.full = 0
	}
	e.learnWarming(r, wk, took)
	e.learnSpeed(r, wk, took)
	e.learnMemory(r, wk, ev.MemoryMB)
	if wk.Recording == ladder.RecordingNone || wk.Rung == ladder.First { // what counts its own steps says nothing of other rungs
		if r.service += (took - r.service) >> 3; r.service <= 0 {
			r.service = max(took, 1)
		}
	}

	switch ev.Outcome {
	case function.OutcomeOK, function.OutcomeHandlerError, function.OutcomeTooLarge, function.OutcomeCancelled:
		e.end(r, inv)
		e.answered(r, wk)
	case function.OutcomeUnknown:
		e.drainWorker(w, ReasonBroken)
		e.emit(Action{Kind: ActionRetry, Invocation: ev.Invocation, Revision: rev, Worker: w, Reason: ReasonWorkerLost})
		e.enqueue(ev.Invocation, &r.queue, invWaiting)
		e.toFront(&r.queue, ev.Invocation)
	case function.OutcomeDeoptimized:
		e.drainWorker(w, ReasonDeoptimized)
		e.met(ev, inv, wk.Rung)
	default:
		e.drainWorker(w, ReasonBroken)
		e.end(r, inv)
		if wk.Rung != ladder.First && ev.Outcome == function.OutcomeCrashed {
			e.rungFailed(rev, wk.Rung, FailureInit, ReasonRungCrashed)
		}
	}
	e.freed(w, rev)
}

// detach takes an invocation out of its worker's list.
func (e *Engine) detach(id InvocationID, inv *invocation, wk *pool.Worker) {
	if inv.prev != noInvocation {
		e.inv[inv.prev].next = inv.next
	} else {
		wk.Running = int32(inv.next)
	}
	if inv.next != noInvocation {
		e.inv[inv.next].prev = inv.prev
	}
}

// answered notes that a worker did what it should.
func (e *Engine) answered(r *revision, wk *pool.Worker) {
	if wk.Recording != ladder.RecordingNone {
		r.answered++
		return
	}
	if wk.Rung != ladder.First {
		r.rungs[wk.Rung].failures = 0
	}
}

// met is an invocation whose worker met an element that the binary has no metadata for: the
// function leaves the rung and records again, and the invocation runs again or fails, as its
// function says.
func (e *Engine) met(ev Event, inv *invocation, rung ladder.ID) {
	r := &e.revisions[inv.rev]
	switch {
	case rung == ladder.First:
	case ev.Failure == FailureNever:
		e.giveUp(inv.rev, rung)
	default:
		e.deoptimize(inv.rev, rung, ReasonDeoptimized)
	}
	f := &e.functions[r.fn]
	if rung == ladder.First || ev.NoRetry || f.config.Deopt == function.DeoptError || f.removed {
		e.emit(Action{Kind: ActionFail, Invocation: ev.Invocation, Revision: inv.rev, Worker: ev.Worker, Reason: ReasonDeoptimized})
		e.end(r, inv)
		return
	}
	e.emit(Action{Kind: ActionRetry, Invocation: ev.Invocation, Revision: inv.rev, Worker: ev.Worker, Reason: ReasonDeoptimized})
	e.enqueue(ev.Invocation, &r.retries, invRetrying)
}
