package engine

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/ladder"
	"github.com/cloudjit/cloudjit/internal/pool"
)

// mib is what a worker reserves.
func (r *revision) mib(rung ladder.ID, x ladder.Recording) int32 { return r.memory[rung] + x.MiB() }

// want starts as many workers as the waiting invocations of a revision need and the node
// has room for; for the rest, the revision waits for its turn.
func (e *Engine) want(rev RevisionID) {
	r := &e.revisions[rev]
	e.untrace(r)
	if r.retries.n > 0 {
		if wk := e.pool.Get(r.recorder); wk != nil && wk.State == pool.Ready {
			e.feed(r.recorder, rev, false)
		}
	}
	if r.queue.n > 0 && e.pool.Live(e.group(r)) == 0 && !e.pool.FitsEver(r.mib(e.place(r))) {
		e.rejectAll(rev, ReasonTooLarge)
	}
	for why := e.needs(r); why != needNone; why = e.needs(r) {
		if e.starved.head != noRevision && e.starved.head != rev {
			// Those that were first stay first.
			e.starve(rev)
			e.room()
			return
		}
		if !e.start(rev, why) {
			e.starve(rev)
			return
		}
	}
	e.unstarve(rev)
}

// untrace lets any worker take the invocations that were to run again on a recorder, ahead of
// the others: there can be none, and a right answer is worth more than its trace.
func (e *Engine) untrace(r *revision) {
	if r.retries.n == 0 || r.recorder != pool.None || e.mayRecord(r, ladder.RecordingMetadata) {
		return
	}
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

// need is what one more worker is for.
type need uint8

const (
	needNone  need = iota
	needCheck      // of an artifact
	needCold       // an invocation waits
	needAside      // it records beside those that serve
	needAhead      // an invocation may come
)

// needs is what one more worker should start for now. Where invocations wait, the policy has the word of each worker that starts for them, also
// while another one is needed for something else.
func (e *Engine) needs(r *revision) need {
	switch {
	case r.nextCheck() != ladder.First:
		return needCheck
	case e.needsCold(r):
		return needCold
	case e.needsAside(r):
		return needAside
	case e.needsAhead(r):
		return needAhead
	}
	return needNone
}

// needsCold reports whether a worker is to be started for an invocation that waits.
func (e *Engine) needsCold(r *revision) bool { return e.short(r) && e.worthOneMore(r) }

// short reports whether invocations wait that no worker is coming for, and one may start.
func (e *Engine) short(r *revision) bool {
	return r.queue.n+r.retries.n > 0 && r.startNotBefore <= e.now && e.uncovered(r) && e.withinShare(r)
}

// needsAside reports whether a recorder is to be started beside the workers that serve.
func (e *Engine) needsAside(r *revision) bool {
	return r.aside != ladder.RecordingNone && r.recorder == pool.None && e.mayRecord(r, r.aside)
}

// needsAhead reports whether it is time to start a worker ahead of the next invocation.
func (e *Engine) needsAhead(r *revision) bool {
	return r.again > 0 && r.again <= e.now && !r.removed && !e.drain
}

// worthOneMore asks the policy whether another worker starts while others work or start.
func (e *Engine) worthOneMore(r *revision) bool {
	if r.retries.n > 0 {
		return true
	}
	v := e.viewOf(r)
	if v.Starting+v.Working == 0 || e.policy.Start(e.now, v) {
		return true
	}
	if r.asked <= e.now {
		r.asked = e.now + max(r.views[v.Rung].Start/4, int64(time.Millisecond))
		e.timers.push(r.asked, r.id)
	}
	return false
}

// uncovered reports whether more wait than the workers that are starting will take.
func (e *Engine) uncovered(r *revision) bool {
	if r.retries.n > 0 && r.recorder == pool.None {
		return true
	}
	coming := e.pool.InStart(e.group(r))
	if r.retries.n > 0 && e.inStart(r.recorder) {
		coming--
	}
	return r.queue.n > coming*r.slots
}

func (e *Engine) inStart(w WorkerID) bool {
	wk := e.pool.Get(w)
	return wk != nil && wk.State == pool.Starting
}

// start starts the worker that the revision needs; false if the node has no room now.
func (e *Engine) start(rev RevisionID, why need) bool {
	r := &e.revisions[rev]
	if why == needCheck {
		if e.startCheck(r, r.nextCheck()) {
			return true
		}
		if !e.needsCold(r) { // invocations may get more memory than a check
			return false
		}
		why = needCold
	}
	if !e.hasPlace(r) {
		e.memoryShort = false
		return false
	}
	switch why {
	case needCold:
		return e.startCold(r)
	case needAside:
		rung := r.ladder.Recorder(r.aside)
		if !e.makeRoom(r.mib(rung, r.aside), e.beside()) {
			return false
		}
		e.begin(r, Action{Rung: rung, Recording: r.aside})
		return true
	}
	// Ahead of an invocation that may come: nobody else is stopped for it.
	r.again = 0
	if g := e.group(r); e.pool.InStart(g)+e.pool.Idles(g)+e.pool.Working(g) == 0 && e.starved.head == noRevision {
		e.consider(rev)
		if rung, x := e.place(r); e.pool.Fits(r.mib(rung, x)) {
			e.begin(r, Action{Rung: rung, Recording: x})
		}
	}
	return true
}

// startCold starts a worker that an invocation waits for.
func (e *Engine) startCold(r *revision) bool {
	rung, x := e.place(r)
	if !e.makeRoom(r.mib(rung, x), e.claim(r)) {
		return false
	}
	r.colds++
	r.again = 0
	f := &e.functions[r.fn]
	f.recent.Add(e.now, f.config.Params.Threshold)
	e.consider(r.id)
	if r.best == rung { // as it was before the policy was asked; what is recorded may be new
		rung, x = e.place(r)
		if !e.pool.Fits(r.mib(rung, x)) {
			x = ladder.RecordingNone
		}
	}
	e.begin(r, Action{Rung: rung, Recording: x, Cold: true})
	return true
}

// begin starts a worker as an action says it; there is room.
func (e *Engine) begin(r *revision, a Action) WorkerID {
	return e.beginWith(r, a, r.mib(a.Rung, a.Recording))
}

// beginWith is begin with memory of its own.
func (e *Engine) beginWith(r *revision, a Action, mib int32) WorkerID {
	w := e.pool.Start(e.group(r), a.Rung, a.Recording, mib, r.slots)
	if a.Check {
		e.pool.Check(w)
	}
	wk := e.pool.Get(w)
	wk.Since = e.now
	if !a.Check {
		e.watch(r, w, wk)
		a.At = int64(float64(r.initLimit) * a.Recording.Start())
	}
	if a.Recording != ladder.RecordingNone {
		r.recorder = w
		rec := &r.recordings[a.Recording]
		rec.grown = false
		r.taken, r.answered = e.config.TraceLimit-rec.taken, 0
		if r.aside == a.Recording {
			r.aside = ladder.RecordingNone
		}
	}
	a.Kind, a.Worker, a.Revision = ActionStart, w, r.id
	e.emit(a)
	return w
}

// makeRoom reports whether a worker of mib can start, and evicts idle workers if that helps.
// What they leave is free only when they are gone: the start is tried again then.
func (e *Engine) makeRoom(mib int32, c claim) bool {
	if !e.spares(mib, c) {
		e.memoryShort = true
		return false
	}
	if e.pool.Fits(mib) {
		return true
	}
	e.evict(mib, c.evicts)
	e.memoryShort = true
	return false
}

// evict stops as many idle workers as have to go for mib; false, and none of them, if that would not be enough.
func (e *Engine) evict(mib int32, c pool.Claim) bool {
	if !e.pool.FitsEvicting(mib, c) {
		return false
	}
	for !e.pool.FitsSoon(mib) {
		w := e.pool.Evict(c)
		if w == pool.None {
			return false
		}
		e.stop(w, ReasonEvicted)
	}
	return true
}

// room lets those that wait for memory, or for a start to end, start workers: one each in
// turn, so that no function takes it all. The first stays first until it has its worker, but a
// mere start-up check lets others past.
func (e *Engine) room() {
	passed := noRevision
	vain, most := 0, 0 // a revision of a better rank comes back to the head: none is tried for ever
	for e.starved.head != noRevision && e.starved.head != passed && vain <= most {
		rev := e.starved.head
		r := &e.revisions[rev]
		e.untrace(r)
		why := e.needs(r)
		if why != needNone && !e.start(rev, why) {
			if r.queue.n+r.retries.n > 0 {
				if e.memoryShort {
					e.evictAhead()
				}
				return
			}
			if passed == noRevision {
				passed = rev
				for id := e.starved.head; id != noRevision; id = e.revisions[id].starvedNx {
					most++
				}
			}
			vain++
		}
		e.unstarve(rev)
		if why != needNone && e.needs(r) != needNone {
			e.starve(rev)
		}
	}
}

// ahead is for how many revisions that wait for memory idle workers are evicted at the same time.
const ahead = 16

// evictAhead makes room for more than the first of those that wait for memory: a worker takes a while to end, and
// one after the other would keep the last of them waiting that long for each. Only for those that have no worker and
// are to get none by themselves: others may find one free before it is there.
func (e *Engine) evictAhead() {
	all := int32(0)
	id := e.starved.head
	for n := 0; n < ahead && id != noRevision; n++ {
		r := &e.revisions[id]
		id = r.starvedNx
		if !e.bare(r) || !e.short(r) {
			continue
		}
		if all += r.mib(e.place(r)); all <= 0 || !e.evict(all, pool.ClaimAll) {
			return
		}
	}
}

// yields reports whether a free worker of a revision should be given up, although invocations
// wait for it, because the first of those that wait for memory has fewer workers, or needs one
// to record, and has waited longer.
func (e *Engine) yields(rev RevisionID, r *revision) bool {
	head := e.starved.head
	first := &e.revisions[head]
	toTrace := first.retries.n > 0 && first.recorder == pool.None
	if !e.memoryShort || r.queue.n == 0 || first.queue.n+first.retries.n == 0 || e.fitsSoon(first) {
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
