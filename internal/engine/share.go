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
	// rankSound: its workers come up, as far as is known.
	rankSound rank = iota
	// rankFailing: the last of its workers that started did not come up, by its own fault.
	rankFailing
)

func (e *Engine) rankOf(r *revision) rank {
	if r.initFailures > 0 {
		return rankFailing
	}
	return rankSound
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
