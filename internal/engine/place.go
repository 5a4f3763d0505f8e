package engine

import (
	"github.com/cloudjit/cloudjit/internal/function"
	"github.com/cloudjit/cloudjit/internal/pool"
)

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
