package engine

import (
	"time"

	"github.com/cloudjit/cloudjit/internal/pool"
)

// What one function may take of what all of them share, so that none keeps the others waiting: places of
// the starts, and time in the queue.

const (
	// A start is late when it takes lateFactor times as long as expected, and lateLeast (ns) at least: it hangs, or
	// waits for something. It gives its place to another one.
	lateFactor, lateLeast = 3, int64(time.Second)
	// lateStarts is how many starts may be late, for each place, without taking places: enough for
	// functions that hang, and few enough that starts which are late because too many compute do not call for more.
	lateStarts = 4
)

// rank orders those that wait for room; the lowest is first.
type rank uint8

const (
	// rankBare: it has no worker, and none is coming.
	rankBare rank = iota
	// rankSound: its workers come up, as far as is known.
	rankSound
	// rankFailing: the last of its workers that started did not come up, by its own fault.
	rankFailing
)

func (e *Engine) rankOf(r *revision) rank {
	if r.initFailures > 0 {
		return rankFailing
	}
	if e.bare(r) {
		return rankBare
	}
	return rankSound
}

// bare reports whether a revision has no worker that serves or will.
func (e *Engine) bare(r *revision) bool {
	g := e.group(r)
	return e.pool.InStart(g)+e.pool.Idles(g)+e.pool.Working(g) == 0
}

// claim is what memory a worker that is to start may take. The first of a revision may take all that is free, and the
// place of any idle worker. The others leave the last idle worker of every other function where it is, as far as these
// take an eighth of the memory, and do not keep busy what is left to those that have no worker yet: so a flood
// of one function does not make others start from cold, and none without a worker waits for the flood to end.
type claim struct {
	evicts  pool.Claim
	reserve int32 // MiB
}

// reservePart is the part of the memory that is left to functions without a worker, where a worker fits into it.
const reservePart = 8

func (e *Engine) claim(r *revision) claim {
	if e.bare(r) {
		return claim{evicts: pool.ClaimAll}
	}
	return e.beside()
}

// beside is the claim of a worker that is started beside others, or that nobody waits for.
func (e *Engine) beside() claim {
	return claim{evicts: pool.ClaimSpare, reserve: int32(min(e.pool.Budget()/reservePart, 1<<30))}
}

// spares reports whether a worker of mib leaves what it has to. Idle workers are no hindrance: who has no worker may take
// their place.
func (e *Engine) spares(mib int32, c claim) bool {
	return c.reserve < mib || e.pool.Spares(mib, c.reserve)
}

// fitsSoon reports whether the next worker of a revision can start when those that are stopping are gone.
func (e *Engine) fitsSoon(r *revision) bool {
	mib := r.mib(e.place(r))
	return e.pool.FitsSoon(mib) && e.spares(mib, e.claim(r))
}

// ownPart: one function without reserved concurrency may have nine times as many invocations in flight as are free of the
// node's concurrency: 900 of 1000, and then another one 90.
const ownPart = 9

// overShare reports whether a function has as many invocations in flight as one may.
func (e *Engine) overShare(f *fn) bool {
	all := e.config.Concurrency
	return all > ownPart && f.config.Reserved < 0 && f.inflight > 0 && f.inflight >= ownPart*(all-e.inflight)
}

// begun is a worker that starts, and when (ns) its start is late. Since tells it from a later one of the same number.
type begun struct {
	worker    WorkerID
	since, at int64
}

// watch sees to it that a start is noticed when it is late.
func (e *Engine) watch(r *revision, w WorkerID, wk *pool.Worker) {
	if e.config.Starts <= 0 {
		return
	}
	takes := float64(r.views[wk.Rung].Start) * wk.Recording.Start()
	b := begun{w, e.now, e.now + max(int64(lateFactor*takes), lateLeast)}
	e.starts = append(e.starts, b)
	e.timers.push(b.at, r.id)
}

// overdue notes the starts that are late now; true: there is one more.
func (e *Engine) overdue() bool {
	found := false
	left := e.starts[:0]
	for _, b := range e.starts {
		wk := e.pool.Get(b.worker)
		switch {
		case wk == nil || wk.State != pool.Starting || wk.Since != b.since:
		case b.at <= e.now:
			e.pool.Late(b.worker)
			found = true
		default:
			left = append(left, b)
		}
	}
	e.starts = left
	return found
}

// hasPlace reports whether a revision's worker may start, as far as other starts are concerned. Those that fail
// leave half of the room for late starts to the others.
func (e *Engine) hasPlace(r *revision) bool {
	places := int(e.config.Starts)
	if places <= 0 {
		return true
	}
	late, room := e.pool.LateStarts(), lateStarts*places
	if r.initFailures > 0 && late >= room/2 {
		return false
	}
	return e.pool.Starting()-min(late, room) < places
}

// withinShare reports whether one more worker of a revision may start beside those that do. One whose starts fail, or
// are late, has one at most; one of which no worker ever came up leaves a place to others.
func (e *Engine) withinShare(r *revision) bool {
	if e.config.Starts <= 0 {
		return true
	}
	g := e.group(r)
	most := e.config.Starts
	switch {
	case r.initFailures > 0 || e.pool.IsLate(g):
		most = 1
	case !r.proven:
		most = max(most-1, 1)
	default:
		return true
	}
	if e.pool.InStart(g) < most {
		return true
	}
	r.held = true // until one of them has come up, or has not
	return false
}

// initFailed notes a start that came to nothing by the function's fault after some time (ns). What was too slow gets
// more; those of one burst are one failure.
func (e *Engine) initFailed(r *revision, why Failure, took int64) {
	r.initFailures++
	if why == FailureSlow && took >= r.initLimit {
		r.initLimit = min(2*r.initLimit, r.initMost)
	}
}

// failOlder ends those that wait since before a time: they have waited for the same start.
func (e *Engine) failOlder(rev RevisionID, w WorkerID, before int64) {
	r := &e.revisions[rev]
	for r.queue.n > 0 && e.inv[r.queue.head].at <= before && e.uncovered(r) {
		e.failFirst(rev, w, ReasonInitFailed)
	}
}

// waited ends the invocations of a revision that have waited for as long as they may, but for those that workers in
// start will take, and sees to it that the others are looked at in their time. Where there is no worker yet, all
// wait for what becomes of the first: its start has a limit of its own.
func (e *Engine) waited(rev RevisionID) {
	r := &e.revisions[rev]
	if r.giveUp == 0 || r.giveUp > e.now {
		return
	}
	r.giveUp = 0
	g := e.group(r)
	covered := e.pool.InStart(g) * r.slots
	if covered > 0 && e.pool.Working(g)+e.pool.Idles(g) == 0 {
		covered = r.queue.n
	}
	for id := r.queue.head; id != noInvocation && r.queue.n > 0; {
		next, at := e.inv[id].next, e.inv[id].at+r.wait
		switch {
		case at > e.now:
			r.giveUp = at
		case covered > 0:
			covered--
			id = next
			continue
		default:
			e.rejectWaiting(id, ReasonWaited)
			id = next
			continue
		}
		break
	}
	if r.queue.n > 0 {
		if r.giveUp == 0 {
			r.giveUp = e.now + lateLeast
		}
		e.timers.push(r.giveUp, rev)
	}
}
